"""The results in an archive: Orthanc stores them in the study of the film, draws them, and gives them back."""

from pathlib import Path

import numpy as np
from pydicom import Dataset
from tests.gateway.orthanc import Orthanc
from tests.gateway.results.explanations import make_explanation
from tests.gateway.results.films import grey_film
from tests.gateway.results.objects import EVERYTHING, saved

from medxgan.gateway.results.series import result_series

SHAPE = (240, 200)


def test_results_lie_in_the_study_of_the_film_and_are_drawn(orthanc: Orthanc, tmp_path: Path) -> None:
    values = np.zeros((32, 32), np.float32)
    values[6:14, 8:18] = 0.7
    film = grey_film(SHAPE)
    results: list[Dataset] = result_series(film, make_explanation(SHAPE, values), EVERYTHING)
    files = saved([film, *results], tmp_path)
    stored = [orthanc.stored(file.read_bytes()) for file in files]
    assert {answer["Status"] for answer in stored} == {"Success"}
    (study,) = orthanc.get("/studies?expand")
    assert {answer["ParentStudy"] for answer in stored} == {study["ID"]}
    assert len(study["Series"]) == 6
    for file, answer, result in zip(files, stored, [film, *results], strict=True):
        assert orthanc.file(answer["ID"]) == file.read_bytes()
        if "PixelData" in result:
            assert orthanc.preview(answer["ID"]).startswith(b"\x89PNG")

    # What is sent again is there already.
    repeated = saved(result_series(film, make_explanation(SHAPE, values), EVERYTHING), tmp_path)
    again = [orthanc.stored(file.read_bytes()) for file in repeated]
    assert {answer["Status"] for answer in again} == {"AlreadyStored"}
