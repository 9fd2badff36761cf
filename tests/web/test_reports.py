"""A report on many films, told row by row; a row's film opens where it is at hand."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet
from tests.web.films import SAMPLE
from tests.web.reports import FIGURES, append, write_evaluation
from tests.web.rooms import Opening, entered

from medxgan.cohort.columns import schema
from medxgan.evaluation import records
from medxgan.web.errors import FilmError, MissingError, ReportError
from medxgan.web.reports import evaluation, finite
from medxgan.web.reports.film_folder import films_of
from medxgan.web.reports.report_folder import ReportFolder

MAXIMUM = 1_000_000
DOUBTFUL = {"verdict": "VERDICT_STATUS_NOT_RELIABLE", "figures": FIGURES | {"classifier_disagrees": 1.0}}


def shelf(folder: Path, films: Path | None = None, film_bytes: int = MAXIMUM) -> ReportFolder:
    return ReportFolder(folder, films, film_bytes)


def test_the_format_that_is_read_is_the_one_that_evaluation_writes() -> None:
    assert evaluation.FORMAT == records.FORMAT


def test_every_image_of_an_evaluation_has_a_row(tmp_path: Path) -> None:
    told = shelf(write_evaluation(tmp_path, {"one.png": {}, "two.png": DOUBTFUL})).told()
    first, second = told["rows"]
    assert (told["model"], told["damaged"], told["films"]) == ("phantom/3", 0, False)
    assert told["methods"] == {"difference": "Difference", "random": ""}
    assert (first["name"], first["source"], first["status"]) == ("one.png", "here", "reliable")
    assert (first["score"], first["error"], first["agreement"]) == (0.9, 0.02, 1.0)
    assert (second["status"], second["agreement"], second["opens"]) == ("not_reliable", 0.0, False)
    assert first["localisation"] == {
        "difference": {"average_precision": 0.8, "pointing_game": 1.0, "iou": 0.5},
        "random": {"average_precision": 0.1},
    }
    assert "somebody" not in json.dumps(told)


def test_halves_of_characters_are_told_as_such(tmp_path: Path) -> None:
    append(
        write_evaluation(tmp_path, {}), '{"record": "image", "image": "a\\ud800", "source": "\\udfff", "figures": {}}'
    )
    (row,) = shelf(tmp_path).told()["rows"]
    assert (row["name"], row["source"]) == ("a?", "?")


def test_damaged_lines_are_counted_and_the_rest_is_told(tmp_path: Path) -> None:
    write_evaluation(tmp_path, {"one.png": {}})
    image = {"record": "image", "image": "three.png", "score": float("nan"), "figures": {"reconstruction_mse": 10**400}}
    append(tmp_path, "{", "[" * 100_000, [1], {"record": "image", "image": 5, "figures": {}}, image, '{"record": "im')
    report = shelf(tmp_path).report()
    assert report.damaged == 5
    assert [row.name for row in report.rows] == ["one.png", "three.png"]
    assert (report.rows[1].score, report.rows[1].error, report.rows[1].status) == (None, None, "")


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), lambda inner: st.lists(inner)))
def test_a_number_of_json_is_finite_or_none(value: object) -> None:
    number = finite(value)
    assert number is None or (isinstance(value, float) and number == value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "expected a folder of"),
        ("", "expected the header"),
        ("no JSON", "expected the header"),
        ('{"record": "image"}\n', "expected the header"),
        ('{"record": "header", "format": 99}\n', "records of format 4"),
    ],
)
def test_a_folder_that_is_no_report_is_said_to_be_none(tmp_path: Path, content: str | None, said: str) -> None:
    if content is not None:
        (tmp_path / "records.jsonl").write_text(content)
    with pytest.raises(ReportError, match=said):
        shelf(tmp_path).report()


def test_a_report_that_is_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_evaluation(tmp_path, {"one.png": {}})
    monkeypatch.setattr(evaluation, "MAXIMUM_BYTES", 100)
    with pytest.raises(ReportError, match="at most 100 bytes"):
        shelf(tmp_path).report()
    monkeypatch.setattr(evaluation, "MAXIMUM_BYTES", MAXIMUM)
    monkeypatch.setattr(evaluation, "MAXIMUM_ROWS", 0)
    with pytest.raises(ReportError, match="at most 0 images"):
        shelf(tmp_path).report()


def test_a_report_that_grows_is_read_anew(tmp_path: Path) -> None:
    growing = shelf(write_evaluation(tmp_path, {"one.png": {}}))
    assert len(growing.report().rows) == 1
    assert growing.report() is growing.report()
    append(tmp_path, {"record": "image", "image": "two.png", "figures": {}})
    assert len(growing.report().rows) == 2


def test_a_film_is_found_by_its_name(tmp_path: Path) -> None:
    for path in ("a/1.dcm", "b/1.dcm", "1.2.840.dcm", "c/only.png", ".hidden/dark.png", "twice.png"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).touch()
    names = ["films/a/1.dcm", "b/1", "1.dcm", "1.2.840", "only", "dark", "x/twice.png", "y/twice.png", "", "..", "/"]
    found = films_of(tmp_path, names)
    assert {name: path.relative_to(tmp_path).as_posix() for name, path in found.items()} == {
        "films/a/1.dcm": "a/1.dcm",
        "b/1": "b/1.dcm",
        "1.2.840": "1.2.840.dcm",
        "only": "c/only.png",
    }


def write_cohort(folder: Path, *rows: dict[str, object]) -> Path:
    (folder / "rows").mkdir(parents=True)
    table = pa.Table.from_pylist(list(rows), schema(("difference",), (), region=False))
    parquet.write_table(table, folder / "rows" / "part-000000.parquet")
    return folder


def test_a_cohort_s_rows_are_told_and_its_films_open(tmp_path: Path) -> None:
    films = tmp_path / "films"
    films.mkdir()
    for name in ("same.png", "changed.png"):
        (films / name).write_bytes(SAMPLE)
    of = {"model": "phantom", "version": "3", "input_sha256": hashlib.sha256(SAMPLE).hexdigest()}
    scores = {"score": 0.9, "score_reconstruction": 0.8, "verdict": "not_reliable", "reconstruction_mse": 0.1}
    write_cohort(
        tmp_path / "run",
        {"row": 0, "film": "films/same.png", **of, **scores, "reason_sentences": ["It is far.", "And so on."]},
        {"row": 1, "film": "films/changed.png", **of, **scores, "input_sha256": "0" * 64},
        {"row": 2, "film": "films/gone.png", "error_code": "missing", "error_text": "there is no such file"},
    )
    (tmp_path / "run" / "rows" / "part-000001.parquet").write_bytes(b"PAR1 cut off")
    run = shelf(tmp_path / "run", films)
    told = run.told()
    assert (told["model"], told["damaged"], told["methods"]) == ("phantom/3", 1, {})
    same, changed, gone = told["rows"]
    assert (same["status"], same["note"], same["error"]) == ("not_reliable", "It is far.", 0.1)
    assert same["agreement"] == pytest.approx(0.9)
    assert (gone["status"], gone["note"], gone["score"]) == ("", "there is no such file", None)
    assert [row["opens"] for row in told["rows"]] == [True, True, False]
    assert run.film(same["id"]) == (SAMPLE, "phantom")
    with pytest.raises(FilmError, match="not the one"):
        run.film(changed["id"])
    with pytest.raises(MissingError, match="not at hand"):
        run.film(gone["id"])
    with pytest.raises(FilmError, match="more than 10 bytes"):
        shelf(tmp_path / "run", films, film_bytes=10).film(same["id"])


def test_a_cohort_that_has_just_begun_has_no_rows(tmp_path: Path) -> None:
    (tmp_path / "rows").mkdir()
    (tmp_path / "run.json").write_text("{}")
    assert shelf(tmp_path).told()["rows"] == []


def test_films_that_went_away_open_no_longer(tmp_path: Path) -> None:
    films = tmp_path / "films"
    films.mkdir()
    (films / "one.png").write_bytes(SAMPLE)
    report = shelf(write_evaluation(tmp_path, {"one.png": {}}), films)
    (row,) = report.told()["rows"]
    assert report.film(row["id"]) == (SAMPLE, "phantom")
    (films / "one.png").unlink()
    films.rmdir()
    assert report.told()["rows"][0]["opens"] is False
    with pytest.raises(MissingError, match="not at hand"):
        report.film(row["id"])


def test_other_tables_are_no_cohort(tmp_path: Path) -> None:
    (tmp_path / "rows").mkdir()
    file = tmp_path / "rows" / "part-000000.parquet"
    parquet.write_table(pa.table({"film": ["a"]}), file)
    with pytest.raises(ReportError, match="expected the columns"):
        shelf(tmp_path).report()
    file.write_bytes(b"no table")
    with pytest.raises(ReportError, match="expected Parquet files"):
        shelf(tmp_path).report()


@pytest.fixture(scope="module")
def visitor(opening: Opening, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder, films = tmp_path_factory.mktemp("report"), tmp_path_factory.mktemp("films")
    write_evaluation(folder, {"here.png": {}, "letter.txt": {}, "elsewhere.png": {}})
    (films / "here.png").write_bytes(SAMPLE)
    (films / "letter.txt").write_text("no film")
    with opening(report=folder, report_films=films) as url, entered(url) as reader:
        yield reader


def test_a_row_s_film_opens_in_the_session(visitor: httpx.Client) -> None:
    assert visitor.get("/api/session").json()["report"] is True
    here, letter, elsewhere = visitor.get("/api/report").json()["rows"]
    film = visitor.post(f"/api/report/{here['id']}")
    assert (film.status_code, film.json()["model"]) == (201, "phantom")
    assert [each["id"] for each in visitor.get("/api/films").json()] == [film.json()["id"]]
    assert visitor.post(f"/api/report/{letter['id']}").status_code == 415
    assert visitor.post(f"/api/report/{elsewhere['id']}").status_code == 404
    assert visitor.post("/api/report/nothing").status_code == 404


def test_nobody_without_a_session_reads_the_report(visitor: httpx.Client) -> None:
    row = visitor.get("/api/report").json()["rows"][0]["id"]
    assert httpx.get(visitor.base_url.join("/api/report")).status_code == 401
    assert httpx.post(visitor.base_url.join(f"/api/report/{row}")).status_code == 401


def test_without_a_report_there_is_none(reader: httpx.Client) -> None:
    assert reader.get("/api/session").json()["report"] is False
    assert reader.get("/api/report").json()["error"]["kind"] == "missing"
