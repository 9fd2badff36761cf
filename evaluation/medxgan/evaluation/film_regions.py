"""What on a chest film is not the anatomy of interest: burnt-in marks, the outer frame, all but the lungs.

The regions are estimated by thresholds and rules; nobody drew them. Lung fields are what is dark against its
surroundings, twice, side by side; where nothing on the film is like that, there are none. (For such methods: van
Ginneken et al., Computer-aided diagnosis in chest radiography: a survey, IEEE TMI 2001.)
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage.filters import gaussian, threshold_otsu
from skimage.measure import label, regionprops
from skimage.morphology import closing, footprint_rectangle, opening, white_tophat

from medxgan.evaluation.images import in_pixels_of_x
from medxgan.evaluation.metrics.localisation import Mask, separate_parts
from medxgan.server.images.film import Film
from medxgan.v1 import bundle_pb2

Picture = NDArray[np.uint8]

LONGER_SIDE = 128
"""Pixels that a film is reduced to: lung fields need no more, and strokes of marks are still there."""

FRAME = 1 / 8
"""Width of the outer frame at each border, as a share of the side."""

SMOOTHING, SURROUNDINGS = 1 / 64, 1 / 6
"""Deviations of the Gaussians, as shares of the side: against noise, and of what a lung field is darker than."""

BACKGROUND = 20
"""Grey level up to which a film counts as air beside the body, of 255."""

DARKER_STEP, DARKER_STEPS = 3, 16
"""Where Otsu's threshold joins a lung field to the outside, lower ones are tried: grey levels each, and how many."""

BRIDGE, GAP = 1 / 32, 1 / 24
"""Widths that are opened and closed: what joins a lung field to others, and the shadow of a rib that parts it."""

FIELD_AREA = (0.04, 0.25)
"""Area of one lung field, as a share of the film."""

FIELD_ROW, FIELD_COLUMN = (0.2, 0.72), (0.12, 0.48)
"""Centre of the left one in the picture, as shares of height and width; of the right one, mirrored."""

FIELD_HEIGHT = 0.2
"""Least height of a lung field, as a share of the film's."""

FIELD_FULLNESS = 0.4
"""Least share of its bounding box that a lung field fills; a field that runs out into the neck or the arm does not."""

SMALLER_FIELD, ROWS_APART = 0.3, 0.2
"""Least ratio of the two areas; most difference between the heights of the centres, as a share of the film's."""

MARK_WIDTH = 1 / 20
"""A stroke of a mark is narrower than this share of the side."""

MARK_RELIEF, MARK_LEVEL = 60, 100
"""Grey levels of 255: least of a mark above what is around it, and least of all."""

MARK_PERCENTILE = 98
"""Percentile of the film's own relief that a mark is above: where ribs and vessels stand out, marks do still more."""

MARK_AREA = 0.02
"""Most area of one connected mark, as a share of the film."""


def shortcut_regions(film: Film, specification: bundle_pb2.ImageSpecification) -> dict[str, Mask]:
    """The regions of one film in the pixels of x: [S, S] each, none of them empty.

    Args:
        film: the film as stored.
        specification: of x.

    Returns:
        "frame" always; "marks" where there are any that x can show; "outside_lungs" where two fields are plausible.
    """
    picture = reduced_film(film)
    lungs = lung_fields(picture)
    found = [burnt_in_marks(picture), np.zeros(picture.shape, np.bool_) if lungs is None else lungs]
    marks, fields = (in_pixels_of_x(each, specification, film.upright_pixel_aspect) for each in found)
    regions = {"frame": outer_frame(specification.height)}
    if marks.any():
        regions["marks"] = marks
    if lungs is not None:
        regions["outside_lungs"] = ~fields
    return regions


def reduced_film(film: Film) -> Picture:
    """The film with bright bones, [H, W] of at most 128 pixels a side, from its darkest level, 0, to its brightest."""
    levels = film.levels.astype(np.float32)
    reduced = Image.fromarray(-levels if film.inverted else levels)
    reduced.thumbnail((LONGER_SIDE, LONGER_SIDE), Image.Resampling.BOX)
    small = np.asarray(reduced, np.float64)
    span = small.max() - small.min()
    if span == 0:
        return np.zeros(small.shape, np.uint8)
    picture: Picture = np.round(255 * (small - small.min()) / span).astype(np.uint8)
    return picture


def outer_frame(side: int) -> Mask:
    """[S, S] True on the border eighth of each side."""
    width = round(side * FRAME)
    frame = np.ones((side, side), np.bool_)
    frame[width : side - width, width : side - width] = False
    return frame


def lung_fields(picture: Picture) -> Mask | None:
    """Both lung fields [H, W] of a film [H, W]; None where nothing on it is plausible as two.

    The two largest parts that are darker than their surroundings by Otsu's threshold inside the body and do not touch
    the border, closed and filled.
    """
    side = min(picture.shape)
    smooth = gaussian(picture, side * SMOOTHING, preserve_range=True)
    surroundings = gaussian(picture, side * SURROUNDINGS, preserve_range=True)
    relief = np.clip(np.round(smooth - surroundings) + 128, 0, 255).astype(np.uint8)
    body = smooth > BACKGROUND
    if not body.any():
        return None
    highest = int(threshold_otsu(relief[body]))
    for threshold in range(highest, highest - DARKER_STEP * DARKER_STEPS, -DARKER_STEP):
        # With the air beside the body: what adjoins it reaches the border by it.
        dark = opening((relief <= threshold) | ~body, _window(picture, BRIDGE))
        inside = [part for part in separate_parts(dark) if not _touches_border(part)]
        fields = sorted(inside, key=np.count_nonzero)[-2:]
        if _plausible(fields):
            closed: Mask = closing(fields[0] | fields[1], _window(picture, GAP))
            for region in regionprops(label(closed, connectivity=2)):
                closed[region.slice] |= region.image_filled
            return closed
    return None


def burnt_in_marks(picture: Picture) -> Mask:
    """Letters, drawn lines, cables and electrodes [H, W] on a film [H, W]: small, narrow and far brighter than around.

    By the white top-hat (Meyer 1979). Sharp edges of bones pass for marks on films of high contrast, and faint marks
    are missed.
    """
    relief = white_tophat(picture, _window(picture, MARK_WIDTH))
    least = max(MARK_RELIEF, float(np.percentile(relief, MARK_PERCENTILE)))
    marks = np.zeros(picture.shape, np.bool_)
    for part in separate_parts((relief > least) & (picture > MARK_LEVEL)):
        if part.mean() <= MARK_AREA:
            marks |= part
    return marks


def _plausible(fields: Sequence[Mask]) -> bool:
    if len(fields) < 2:
        return False
    left, right = sorted(fields, key=lambda field: float(np.nonzero(field)[1].mean()))
    (left_row, left_column), (right_row, right_column) = _centre(left), _centre(right)
    areas = sorted((left.mean(), right.mean()))
    return (
        all(map(_like_a_lung, fields))
        and _within(left_column, FIELD_COLUMN)
        and _within(1 - right_column, FIELD_COLUMN)
        and abs(left_row - right_row) <= ROWS_APART
        and areas[0] >= SMALLER_FIELD * areas[1]
    )


def _like_a_lung(field: Mask) -> bool:
    rows, columns = np.nonzero(field)
    height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
    return bool(
        _within(float(field.mean()), FIELD_AREA)
        and _within(_centre(field)[0], FIELD_ROW)
        and height >= FIELD_HEIGHT * len(field)
        and height >= 0.8 * width
        and len(rows) >= FIELD_FULLNESS * height * width
    )


def _centre(field: Mask) -> tuple[float, float]:
    """Row and column as shares of the film's height and width."""
    rows, columns = np.nonzero(field)
    height, width = field.shape
    return float((rows + 0.5).mean() / height), float((columns + 0.5).mean() / width)


def _within(value: float, limits: tuple[float, float]) -> bool:
    return limits[0] <= value <= limits[1]


def _touches_border(part: Mask) -> bool:
    return bool(part[0].any() or part[-1].any() or part[:, 0].any() or part[:, -1].any())


def _window(picture: Picture, width: float) -> NDArray[np.uint8]:
    """A square of an odd number of pixels, at least 3, for a share of the shorter side."""
    side = max(3, 2 * round(width * min(picture.shape) / 2) + 1)
    window: NDArray[np.uint8] = footprint_rectangle((side, side))
    return window
