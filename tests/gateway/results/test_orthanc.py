"""The results in an archive: Orthanc stores them in the study of the film, draws them, and gives them back."""

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

import numpy as np
import pytest
from pydicom import Dataset
from tests.gateway.results.explanations import make_explanation
from tests.gateway.results.films import grey_film
from tests.gateway.results.objects import EVERYTHING, saved

from medxgan.gateway.results.series import result_series

SHAPE = (240, 200)


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


class Orthanc:
    """Its REST interface."""

    def __init__(self, port: int) -> None:
        self.address = f"http://127.0.0.1:{port}"

    def get(self, path: str) -> bytes:
        with urlopen(f"{self.address}/{path}", timeout=30) as answer:
            return answer.read()

    def put(self, file: Path) -> dict:
        with urlopen(Request(f"{self.address}/instances", file.read_bytes(), method="POST"), timeout=30) as answer:
            return json.loads(answer.read())


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    program = shutil.which("Orthanc")
    if program is None:
        pytest.skip("Orthanc is not installed (Debian's orthanc)")
    folder = tmp_path_factory.mktemp("orthanc")
    settings = {
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "index"),
        "HttpPort": free_port(),
        "DicomServerEnabled": False,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "Plugins": [],
    }
    (folder / "orthanc.json").write_text(json.dumps(settings))
    archive = Orthanc(settings["HttpPort"])
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, folder / "orthanc.json"], stdout=log, stderr=log)
    try:
        for _ in range(100):
            try:
                archive.get("system")
                break
            except URLError:
                assert process.poll() is None, (folder / "log").read_text()
                time.sleep(0.1)
        yield archive
    finally:
        process.terminate()
        process.wait(30)


def test_results_lie_in_the_study_of_the_film_and_are_drawn(orthanc: Orthanc, tmp_path: Path) -> None:
    values = np.zeros((32, 32), np.float32)
    values[6:14, 8:18] = 0.7
    film = grey_film(SHAPE)
    results: list[Dataset] = result_series(film, make_explanation(SHAPE, values), EVERYTHING)
    files = saved([film, *results], tmp_path)
    stored = [orthanc.put(file) for file in files]
    assert {answer["Status"] for answer in stored} == {"Success"}
    (study,) = json.loads(orthanc.get("studies?expand"))
    assert {answer["ParentStudy"] for answer in stored} == {study["ID"]}
    assert len(study["Series"]) == 6
    for file, answer, result in zip(files, stored, [film, *results], strict=True):
        assert orthanc.get(f"instances/{answer['ID']}/file") == file.read_bytes()
        if "PixelData" in result:
            assert orthanc.get(f"instances/{answer['ID']}/preview").startswith(b"\x89PNG")

    # What is sent again is there already.
    again = [
        orthanc.put(file) for file in saved(result_series(film, make_explanation(SHAPE, values), EVERYTHING), tmp_path)
    ]
    assert {answer["Status"] for answer in again} == {"AlreadyStored"}
