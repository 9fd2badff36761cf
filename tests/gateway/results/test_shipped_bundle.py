"""A real radiograph, explained by the shipped bundle through a real server, and its results as they are stored."""

from importlib.resources import files
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom import Dataset
from pydicom.uid import (
    Comprehensive3DSRStorage,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
    SecondaryCaptureImageStorage,
)
from tests.gateway.results.objects import of_class, saved
from tests.gateway.results.programs import Program

from medxgan.client import Client, Explanation, VerdictStatus
from medxgan.gateway.results.film import displayed
from medxgan.gateway.results.outputs import Outputs
from medxgan.gateway.results.series import result_series
from medxgan.server.embedded import EmbeddedServer

MODELS = Path(__file__).parents[3] / "models"
FILM = Path(str(files("data_store") / "data" / "RG1_UNCR.dcm"))
OUTPUTS = Outputs(presentation_state=True, show_unreliable=True, trajectory=3)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def film() -> Dataset:
    return pydicom.dcmread(FILM)


@pytest.fixture(scope="module")
def explanation() -> Explanation:
    with EmbeddedServer(MODELS, "cpu") as server, Client(server.address) as client:
        return client.explain(FILM, model="chest", maps=OUTPUTS.maps, trajectory=OUTPUTS.requested_trajectory)


@pytest.fixture(scope="module")
def results(film: Dataset, explanation: Explanation) -> list[Dataset]:
    return result_series(film, explanation, OUTPUTS)


def test_its_colours_are_the_map_laid_back_on_the_film(
    film: Dataset, explanation: Explanation, results: list[Dataset]
) -> None:
    picture = of_class(results, SecondaryCaptureImageStorage).pixel_array.astype(np.float32)
    laid = np.nan_to_num(explanation.geometry.lay_on_film(explanation.difference))
    strength = laid / np.abs(explanation.difference).max()
    grey = displayed(film).levels
    middle = np.s_[200:-200]  # beside the legend
    # Green stays what the film leaves: the less, the stronger the map.
    green = np.where(strength > 0, 40, 104)
    expected = grey + 0.75 * np.abs(strength) * (green - grey)
    assert np.abs(picture[middle][..., 1] - expected[middle]).max() <= 1
    assert np.corrcoef((picture[..., 0] - picture[..., 2])[middle].ravel(), strength[middle].ravel())[0, 1] > 0.9


def test_the_pathology_is_taken_away_from_picture_to_picture(results: list[Dataset]) -> None:
    frames = of_class(results, MultiFrameTrueColorSecondaryCaptureImageStorage).pixel_array[:, 200:-200, :, 0]
    brightness = [float(frame.mean()) for frame in frames]
    assert len(brightness) == 3
    assert brightness == sorted(brightness, reverse=True)


def test_the_report_says_what_the_explanation_says(
    explanation: Explanation, results: list[Dataset], program: Program, tmp_path: Path
) -> None:
    (file,) = saved([of_class(results, Comprehensive3DSRStorage)], tmp_path)
    told = program("dsrdump", "+Pl", file).stdout
    assert explanation.verdict.status.value.replace("_", " ") in told
    assert f'"{explanation.scores.original.probability:.6g}"' in told
    assert all(reason.sentence in told for reason in explanation.verdict.reasons)


def test_it_is_not_shown_where_it_is_not_reliable(film: Dataset, explanation: Explanation) -> None:
    results = result_series(film, explanation, Outputs())
    alone = explanation.verdict.status is not VerdictStatus.RELIABLE
    assert (len(results) == 1) == alone


def test_every_object_is_valid(results: list[Dataset], program: Program, tmp_path: Path) -> None:
    for file, result in zip(saved(results, tmp_path), results, strict=True):
        done = program("dciodvfy", "-new", file)
        errors = [line for line in done.stderr.splitlines() if line.startswith("Error")]
        assert not errors, (result.SOPClassUID.name, errors)
