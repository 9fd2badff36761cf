"""Films that are nobody's, and a source of them as a user may have it."""

import csv
from pathlib import Path

import numpy as np
from PIL import Image
from tests.gateway.films import content, film

from medxgan.training.data.phantom import phantoms

WARDS = ("north", "south")


def write_source(folder: Path, count: int = 12) -> Path:
    """Drawn slices in the folders of two wards; a film of a planted patient; what is damaged, empty or not there.

    Returns:
        A list of all of them, with labels and sources.
    """
    drawn = phantoms(count, size=48, seed=5)
    rows = []
    for number, (image, label) in enumerate(zip(drawn.images, drawn.labels, strict=True)):
        ward = WARDS[number % 2]
        (folder / ward).mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.asarray(image).squeeze()).save(folder / ward / f"{number:03}.png")
        rows.append((f"{ward}/{number:03}.png", "lesion" if label else "none", ward))
    (folder / "north" / "damaged.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"damaged")
    (folder / "south" / "empty.png").touch()
    (folder / "south" / "planted.dcm").write_bytes(content(film(seed=1)))
    rows.insert(3, ("north/damaged.dcm", "none", "north"))
    rows += [("south/planted.dcm", "", "south"), ("south/empty.png", "", "south"), ("gone.png", "", "")]
    table = folder.parent / f"{folder.name}.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "label", "source"))
        writer.writerows((f"{folder.name}/{path}", *rest) for path, *rest in rows)
    return table


FAILED = {"damaged.dcm": "invalid", "empty.png": "unreadable", "gone.png": "missing"}
"""What is wrong with the films that can't be explained."""
