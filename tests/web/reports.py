"""Reports on films that are nobody's, in the forms in which evaluation and cohort write them."""

import json
from pathlib import Path

from medxgan.evaluation.records import Records

FIGURES = {"reconstruction_mse": 0.02, "classifier_disagrees": 0.0, "applied_label_flips": 1.0}


def write_evaluation(folder: Path, images: dict[str, dict[str, object]]) -> Path:
    """`records.jsonl` of images, as evaluation writes it.

    Args:
        folder: where it goes.
        images: what differs in the record of each, by name; the difference finds every other lesion.
    """
    records = Records(folder / "records.jsonl", {"bundle": "phantom/3", "methods": ["difference", "random"]})
    for number, (name, given) in enumerate(images.items()):
        about = {"image": name, "patient": "somebody", "source": "here"}
        image = {"record": "image", **about, "score": 0.9, "verdict": "VERDICT_STATUS_RELIABLE", "figures": FIGURES}
        found = {"average_precision": 0.8 / (1 + number), "pointing_game": float(number % 2 == 0), "iou": 0.5}
        methods = [
            {"record": "method", **about, "method": method, "figures": figures, "curves": {"deletion": [0.9, 0.1]}}
            for method, figures in (("difference", found), ("random", {"average_precision": 0.1}))
        ]
        records.add(name, [image | given, *methods])
    return folder


def append(folder: Path, *lines: object) -> None:
    """Further lines of records: text as it is, the rest as JSON."""
    with (folder / "records.jsonl").open("a", encoding="utf-8") as file:
        file.writelines(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines)
