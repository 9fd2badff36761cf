"""The difference over the film, by numbers: it lies on the film where it lay on the map."""

import re

import numpy as np
import pytest
from pydicom import Dataset
from tests.gateway.results.explanations import make_explanation, to_map
from tests.gateway.results.films import centre_of_mass, grey_film, make_film, spot

from medxgan.client import Explanation, Orientation
from medxgan.client.geometry import Box
from medxgan.gateway.results.outputs import Outputs
from medxgan.gateway.results.overlay import BLUE, OPACITY, RED
from medxgan.gateway.results.series import result_series

ONLY = Outputs(blink=False, report=False, parametric_map=False, segmentation=False)

SHAPE = (480, 400)
CENTRES = [(190.0, 150.0), (260.5, 240.25)]
SIDEWAYS = {Orientation.TRANSPOSED, Orientation.TURNED_90, Orientation.TRANSVERSED, Orientation.TURNED_270}
"""Turns that exchange rows and columns."""


def burnt_in_rows(result: Dataset) -> slice:
    """The rows that the legend covers, as the object says it."""
    first, last = re.search(r"rows (\d+) to (\d+) of the film", result.DerivationDescription).groups()
    return slice(int(first) - 1, int(last))


def picture(film: Dataset, explanation: Explanation) -> tuple[np.ndarray, slice]:
    """The picture, and the rows of its legend."""
    (result,) = result_series(film, explanation, ONLY)
    assert (result.Rows, result.Columns) == (film.Rows, film.Columns)
    return result.pixel_array.astype(np.float32), burnt_in_rows(result)


def centre_of_red(colours: np.ndarray, legend: slice) -> tuple[float, float]:
    """Of what red has more than blue, beside the legend."""
    redness = np.maximum(0, colours[..., 0] - colours[..., 2])
    redness[legend] = 0
    return centre_of_mass(redness)


@pytest.mark.parametrize("centre", CENTRES)
@pytest.mark.parametrize("orientation", Orientation)
def test_a_spot_lies_where_it_was_however_the_film_was_turned(orientation: Orientation, centre: tuple) -> None:
    rows, columns = SHAPE[::-1] if orientation in SIDEWAYS else SHAPE
    box = Box(0, 0, rows, columns)
    difference = to_map(spot(SHAPE, centre), orientation, box)
    explanation = make_explanation(SHAPE, difference, box=box, orientation=orientation)
    assert centre_of_red(*picture(grey_film(SHAPE), explanation)) == pytest.approx(centre, abs=1)


@pytest.mark.parametrize(
    "box", [Box(40, 0, 440, 400), Box(0, -40, 480, 440), Box(30.5, 20.25, 450.5, 380.75)], ids=["crop", "pad", "cut"]
)
def test_a_spot_lies_where_it_was_on_a_film_that_was_cropped_or_padded(box: Box) -> None:
    centre = (200.0, 150.0)
    explanation = make_explanation(SHAPE, to_map(spot(SHAPE, centre), Orientation.AS_STORED, box), box=box)
    colours, legend = picture(grey_film(SHAPE), explanation)
    assert centre_of_red(colours, legend) == pytest.approx(centre, abs=1)
    # What x does not cover has no colour.
    outside = np.ones(SHAPE, bool)
    outside[max(0, round(box.top)) : round(box.bottom), max(0, round(box.left)) : round(box.right)] = False
    outside[legend] = False
    assert not np.ptp(colours[outside], axis=-1).any()


def test_a_film_that_is_stored_upside_down_keeps_its_layout_and_says_so() -> None:
    film = grey_film(SHAPE, PatientOrientation=["R", "H"])
    centre = (200.0, 150.0)
    explanation = make_explanation(SHAPE, to_map(spot(SHAPE, centre), Orientation.AS_STORED, Box(0, 0, *SHAPE)))
    (result,) = result_series(film, explanation, ONLY)
    assert result.PatientOrientation == ["R", "H"]
    assert centre_of_red(*picture(film, explanation)) == pytest.approx(centre, abs=1)


@pytest.mark.parametrize("aspect", [0.5, 2.0])
def test_pixels_that_are_not_square_change_no_place(aspect: float) -> None:
    film = grey_film(SHAPE, PixelSpacing=[0.2 * aspect, 0.2])
    centre = (200.0, 150.0)
    difference = to_map(spot(SHAPE, centre), Orientation.AS_STORED, Box(0, 0, *SHAPE))
    colours, legend = picture(film, make_explanation(SHAPE, difference, aspect=aspect))
    assert centre_of_red(colours, legend) == pytest.approx(centre, abs=1)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_every_pixel_is_the_film_drawn_towards_the_colour_by_the_map(photometric: str) -> None:
    random = np.random.default_rng(3)
    stored = random.integers(0, 4096, SHAPE).astype(np.uint16)
    film = make_film(stored, photometric=photometric, WindowCenter=2048, WindowWidth=4096)
    difference = random.uniform(-1, 1, (32, 32)).astype(np.float32)
    explanation = make_explanation(SHAPE, difference)
    colours, legend = picture(film, explanation)

    grey = stored / 4095 * 255
    grey = 255 - grey if photometric == "MONOCHROME1" else grey
    # Every pixel of the film lies in one of the map, so that its place there is known without the client.
    rows = np.clip((np.arange(SHAPE[0]) + 0.5) * 32 / SHAPE[0] - 0.5, 0, 31)
    columns = np.clip((np.arange(SHAPE[1]) + 0.5) * 32 / SHAPE[1] - 0.5, 0, 31)
    by_row = np.stack([np.interp(rows, np.arange(32), difference[:, column]) for column in range(32)], axis=1)
    laid = np.stack([np.interp(columns, np.arange(32), row) for row in by_row])
    weight = OPACITY * np.abs(laid) / np.abs(difference).max()
    tint = np.where(laid[..., np.newaxis] > 0, RED, BLUE)
    expected = grey[..., np.newaxis] + weight[..., np.newaxis] * (tint - grey[..., np.newaxis])
    assert np.abs(np.delete(colours - expected, legend, axis=0)).max() <= 1


def test_a_difference_that_is_next_to_nothing_is_next_to_invisible() -> None:
    explanation = make_explanation(SHAPE, np.full((32, 32), 1e-4, np.float32))
    colours, legend = picture(grey_film(SHAPE), explanation)
    assert np.ptp(np.delete(colours, legend, axis=0), axis=-1).max() <= 3


def test_the_legend_lies_at_the_edge_with_less_of_the_map_and_lets_the_film_through() -> None:
    box, plain = Box(0, 0, *SHAPE), round(1600 / 4095 * 255)
    for row, at_top in ((470.0, True), (10.0, False)):
        explanation = make_explanation(SHAPE, to_map(spot(SHAPE, (row, 200.0)), Orientation.AS_STORED, box))
        colours, legend = picture(grey_film(SHAPE), explanation)
        assert (legend.start == 0) == at_top
        assert (legend.stop == SHAPE[0]) != at_top
        assert legend.stop - legend.start < SHAPE[0] / 8
        assert np.median(colours[legend]) == pytest.approx(0.3 * plain, abs=1)
        assert (colours[legend].min(axis=-1) > 150).any()
        # Beyond it nothing but the film and the map is drawn.
        assert np.delete(colours, legend, axis=0)[..., 1].max() <= plain


def test_it_says_what_it_is() -> None:
    film = grey_film(SHAPE, ImagerPixelSpacing=[0.25, 0.25])
    (result,) = result_series(film, make_explanation(SHAPE, np.eye(16, dtype=np.float32)), ONLY)
    assert result.Modality == "OT"
    assert result.ConversionType == "WSD"
    assert result.ImageType == ["DERIVED", "SECONDARY"]
    assert result.BurnedInAnnotation == "YES"
    assert result.ContentQualification == "RESEARCH"
    assert result.ImageComments == "Research use only. Not a medical device."
    assert result.PatientOrientation == ["L", "F"]
    assert result.PixelSpacing == [0.2, 0.2]
    assert result.ImagerPixelSpacing == [0.25, 0.25]
    (reference,) = result.SourceImageSequence
    assert reference.ReferencedSOPInstanceUID == film.SOPInstanceUID
    assert reference.ReferencedSOPClassUID == film.SOPClassUID
    assert reference.SpatialLocationsPreserved == "YES"
    assert result.StudyInstanceUID == film.StudyInstanceUID
    assert result.SeriesInstanceUID != film.SeriesInstanceUID
    assert result.DeviceSerialNumber == "ab" * 32


@pytest.mark.parametrize("shape", [(64, 64), (256, 256), (120, 1500), (1500, 120)])
def test_a_film_of_any_shape_gets_its_legend(shape: tuple[int, int]) -> None:
    colours, legend = picture(grey_film(shape), make_explanation(shape, np.eye(16, dtype=np.float32)))
    assert colours[legend].max() > 150
