"""The maps of an explanation as PNG files: pixel for pixel, or at the size of the film."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from medxgan.client.geometry import FloatArray
from medxgan.client.pictures.sheet import largest_magnitude
from medxgan.client.results import Explanation, Interval, Map
from medxgan.client.vocabulary import MapKind, Unrecognised

SHORT_NAMES: Mapping[MapKind, str] = {
    MapKind.NEGATIVE_REALIZATION: "negative",
    MapKind.POSITIVE_REALIZATION: "positive",
}
FIXED_SCALES: Mapping[MapKind, Interval] = {
    MapKind.ORIGINAL: Interval(-1.0, 1.0),
    MapKind.RECONSTRUCTION: Interval(-1.0, 1.0),
    MapKind.NEGATIVE_REALIZATION: Interval(-1.0, 1.0),
    MapKind.APPLIED_NEGATIVE: Interval(-1.0, 1.0),
    MapKind.POSITIVE_REALIZATION: Interval(-1.0, 1.0),
    MapKind.DIFFERENCE: Interval(-2.0, 2.0),
    MapKind.COLORIZED: Interval(0.0, 1.0),
}
"""The levels that the files of these maps put on 0 and 255; the values of the others are mostly small."""

_UNRECOGNISED_FILE = re.compile(r"unrecognised-\d+(-film)?\.png")
_OTHER_FILES = ("panel.png", "positive-panel.png", "comparison.png", "trajectory.gif", "explanation.json")


@dataclass(frozen=True)
class MapFile:
    """The file of a map: its name, and the levels that it puts on 0 and 255.

    Attributes:
        file: pixel for pixel.
        low: the level that is 0 there.
        high: the level that is 255.
        film_file: at the size of the film; empty where it was not asked for.
    """

    file: str
    low: float
    high: float
    film_file: str = ""


def write_pictures(
    explanation: Explanation, folder: Path, *, film_size: bool = False
) -> dict[MapKind | Unrecognised, MapFile]:
    """Write the maps that an explanation holds into a folder that exists.

    Pictures put [-1, 1] on 0 to 255, the difference [-2, 2], so that 128 is no difference; the colorized map is RGB.
    The values of the other maps are mostly small: they put [-m, m] there, m being the largest magnitude, and the
    uncertainty [0, m]. There is no `positive.png` of an image that the classifier calls positive: it would be the
    reconstruction.

    Args:
        explanation: what to write. A map that can't be drawn is left out, see `drawable`.
        folder: where.
        film_size: also write every map at the size and in the layout of the film that was sent, transparent outside of
            what the networks saw, as NAME-film.png.

    Returns:
        The files, by map.

    Raises:
        GeometryError: `film_size` is asked for, and the maps can't be laid on the film.
    """
    files = {}
    for kind, entry in explanation.maps.items():
        if kind is MapKind.POSITIVE_REALIZATION and explanation.scores.original.positive:
            continue
        if not drawable(entry):
            continue
        values, name = entry.array(), _name(kind)
        scale = _scale(kind, values)
        _levels_image(_levels(values, scale)).save(folder / f"{name}.png")
        film_file = ""
        if film_size:
            film_file = f"{name}-film.png"
            laid = explanation.geometry.lay_on_film(values)
            alpha = np.where(np.isnan(laid if laid.ndim == 2 else laid[..., 0]), 0, 255).astype(np.uint8)
            _levels_image(_levels(np.nan_to_num(laid, nan=scale.minimum), scale), alpha).save(folder / film_file)
        files[kind] = MapFile(f"{name}.png", scale.minimum, scale.maximum, film_file)
    return files


def drawable(entry: Map) -> bool:
    """Whether a map came in a form that this client recognises, as a grey or a colour picture."""
    if entry.values is None:
        return entry.png is not None
    return entry.values.ndim == 2 or (entry.values.ndim == 3 and entry.values.shape[2] == 3)


def remove_own_files(folder: Path) -> None:
    """Remove what an earlier explanation wrote into a folder: it may be of another patient. Other files stay."""
    own = {f"{_name(kind)}{size}.png" for kind in MapKind for size in ("", "-film")} | {*_OTHER_FILES}
    for file in folder.iterdir() if folder.is_dir() else ():
        if file.name in own or _UNRECOGNISED_FILE.fullmatch(file.name):
            file.unlink()


def _name(kind: MapKind | Unrecognised) -> str:
    if isinstance(kind, Unrecognised):
        return f"unrecognised-{kind.number}"
    return SHORT_NAMES.get(kind, kind.value.replace("_", "-"))


def _scale(kind: MapKind | Unrecognised, values: FloatArray) -> Interval:
    if isinstance(kind, MapKind) and kind in FIXED_SCALES:
        return FIXED_SCALES[kind]
    magnitude = largest_magnitude(values)
    return Interval(0.0 if kind is MapKind.UNCERTAINTY else -magnitude, magnitude)


def _levels(values: FloatArray, scale: Interval) -> NDArray[np.uint8]:
    low, high = scale.minimum, scale.maximum
    levels: NDArray[np.uint8] = np.rint((np.clip(values, low, high) - low) * (255.0 / (high - low))).astype(np.uint8)
    return levels


def _levels_image(levels: NDArray[np.uint8], alpha: NDArray[np.uint8] | None = None) -> Image.Image:
    """An image of grey or colour levels, with transparency where `alpha` is given."""
    return Image.fromarray(levels if alpha is None else np.dstack([levels, alpha]))
