"""Films of a real Orthanc, found and fetched by DICOMweb."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from dicomweb_client.web import DICOMwebClient
from tests.cohort.runs import cohort, rows_of, succeed
from tests.gateway.films import PATIENT, content, film
from tests.gateway.orthanc import MISSING, Orthanc

from medxgan.cohort.film_list import FilmList

pytestmark = [
    pytest.mark.skipif(MISSING is not None, reason=str(MISSING)),
    pytest.mark.usefixtures("plain_terminal", "quick_runs"),
]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with Orthanc(tmp_path_factory.mktemp("cohort_archive")) as running:
        yield running


def test_a_query_finds_and_a_run_explains(archive: Orthanc, server: str, tmp_path: Path) -> None:
    wanted = [film(seed=seed, StudyDate="20260301") for seed in (1, 2)]
    others = [film(seed=3, StudyDate="20250301"), film(seed=4, StudyDate="20260301", Modality="MR")]
    gone = film(seed=5, StudyDate="20260301")
    names = {each.SOPInstanceUID: archive.store(content(each)) for each in (*wanted, *others, gone)}
    query = f"{archive.url}/dicom-web?ModalitiesInStudy=CR&StudyDate=20260101-20261231"
    run = tmp_path / "run"
    # Listed, and then the server is away.
    assert cohort(query, run, "--server", "127.0.0.1:1").exit_code == 1
    succeed(query, run, "--server", server)
    rows = rows_of(run)
    assert {row["film"] for row in rows} == {each.SOPInstanceUID for each in (*wanted, gone)}
    assert all(row["error_code"] is None and row["input_sha256"] for row in rows)
    listed = {each.film: each.place for each in FilmList(run / "films.parquet", 4).part(0)}
    for each in wanted:
        assert listed[each.SOPInstanceUID].startswith(f"{each.StudyInstanceUID}/{each.SeriesInstanceUID}/")
    for path in run.rglob("*"):
        if path.is_file():
            assert PATIENT.encode() not in path.read_bytes()
            assert b"20260101" not in path.read_bytes()
    # What was deleted in the meantime is a row of its own.
    (run / "rows" / "part-000000.parquet").unlink()
    archive.delete(names[gone.SOPInstanceUID])
    succeed(query, run, "--server", server)
    codes = {row["film"]: row["error_code"] for row in rows_of(run)}
    assert codes == {**{each.SOPInstanceUID: None for each in wanted}, gone.SOPInstanceUID: "missing"}


def test_an_archive_that_is_away_is_named(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # It is asked five times, in the end after 16 seconds: here of a hundredth.
    setting = DICOMwebClient.set_http_retry_params
    retry, attempts, milliseconds, codes = setting.__defaults__
    monkeypatch.setattr(setting, "__defaults__", (retry, attempts, milliseconds // 100, codes))
    result = cohort("http://127.0.0.1:1/dicom-web?StudyDate=20260101", tmp_path / "run", "--server", server)
    assert result.exit_code == 1
    assert "the archive does not answer" in " ".join(result.output.split())
