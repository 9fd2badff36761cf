"""A gateway as a whole: its ways in and out together, and what it leaves behind."""

import socket
from pathlib import Path

import pytest
from tests.gateway.conftest import Settings, wait_until
from tests.gateway.films import content, film
from tests.gateway.orthanc import Orthanc

from medxgan.gateway.gateway import Gateway, RunningError


def test_a_film_from_a_folder_and_one_from_an_archive_go_out_by_the_web(
    server: str, settings: Settings, orthanc: Orthanc, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    dropped, stored = film(seed=1), film(seed=2)
    orthanc.store(content(stored))
    made = settings(
        server={"address": server},
        dicom=None,
        folders=[{"path": tmp_path / "in", "settle_s": 0}],
        dicomweb=[{"name": "orthanc", "url": orthanc.url, "changes": "orthanc", "interval_s": 0.5}],
        destinations=[{"protocol": "stow", "name": "archive", "url": f"{orthanc.url}/dicom-web"}],
        fhir={"folder": tmp_path / "fhir"},
    )
    with Gateway(made):
        (tmp_path / "in" / "film.dcm").write_bytes(content(dropped))
        for each in (dropped, stored):
            wait_until(lambda each=each: "SR" in {one["Modality"] for one in orthanc.of_study(each.StudyInstanceUID)})
    assert list((tmp_path / "in").glob("*.dcm")) == []
    assert len(list((tmp_path / "fhir").glob("*.json"))) == 2


@pytest.mark.slow
def test_a_gateway_that_can_not_start_leaves_nothing_running(server: str, settings: Settings) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        made = settings(
            server={"address": server},
            dicom={"address": f"127.0.0.1:{port}", "peers": [{"ae_title": "SENDER"}]},
        )
        with pytest.raises(OSError, match="in use"), Gateway(made):
            pass
    # Its folder is free again.
    with Gateway(settings(server={"address": server})) as gateway:
        assert gateway.dicom_port
        with pytest.raises(RunningError), Gateway(settings(server={"address": server})):
            pass
