"""`medxgan cohort`: rows, maps, errors, and how a run goes on."""

import errno
import fcntl
import hashlib
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.cohort.films import FAILED, write_source
from tests.cohort.runs import assert_same, cohort, maps_of, rows_of, succeed
from tests.gateway.films import PATIENT, PATIENT_ID

from medxgan.client import Client, InversionSettings, MapKind, Settings
from medxgan.cohort import durable, map_store
from medxgan.cohort.report import page

pytestmark = pytest.mark.usefixtures("plain_terminal", "quick_runs")


def words(text: str) -> str:
    return " ".join(text.split())


def test_every_film_has_its_row_in_the_order_of_the_list(finished: Path, listed: Path) -> None:
    rows = rows_of(finished)
    lines = [line.split(",") for line in listed.read_text().splitlines()[1:]]
    assert [row["row"] for row in rows] == list(range(len(lines)))
    assert [[row["film"], row["label"] or "", row["source"] or ""] for row in rows] == lines
    for row in rows:
        failed = FAILED.get(Path(row["film"]).name)
        assert row["error_code"] == failed
        assert (row["verdict"] is None) == (failed is not None)
        if failed is None:
            content = (listed.parent / row["film"]).read_bytes()
            assert (row["input_sha256"], row["input_bytes"]) == (hashlib.sha256(content).hexdigest(), len(content))
    (damaged,) = [row for row in rows if row["error_code"] == "invalid"]
    assert damaged["error_field"] == "image.dicom"
    assert damaged["error_text"]


def test_a_row_and_its_maps_are_what_the_server_answers(finished: Path, listed: Path, server: str) -> None:
    rows, maps = rows_of(finished), maps_of(finished)
    row = rows[1]
    kinds = (MapKind.ORIGINAL, MapKind.RECONSTRUCTION, MapKind.NEGATIVE_REALIZATION, MapKind.DIFFERENCE)
    with Client(server) as client:
        settings = Settings(seed=0, inversion=InversionSettings(steps=2))
        answer = client.explain(listed.parent / row["film"], model="phantom", maps=kinds, settings=settings)
    assert set(maps) == {kind.value for kind in kinds}
    for kind in kinds:
        np.testing.assert_array_equal(maps[kind.value][1], answer[kind])
    assert row["score"] == answer.scores.original.probability
    assert row["verdict"] == answer.verdict.status.value
    assert row["reasons"] == [reason.code.value for reason in answer.verdict.reasons]
    assert row["reconstruction_mse"] == answer.outcome.reconstruction_mse
    assert row["difference_mean"] == pytest.approx(float(answer.difference.mean()), abs=1e-6)
    assert (row["film_rows"], row["film_columns"]) == (answer.geometry.rows, answer.geometry.columns)
    assert row["bundle_sha256"] == answer.model.bundle_sha256
    for check in answer.image_checks:
        assert row[f"check_{check.name}"] == check.measured
    for number, each in enumerate(rows):
        assert np.isnan(maps["difference"][number]).all() == (each["error_code"] is not None)


def test_nothing_of_a_patient_is_in_the_folder(finished: Path) -> None:
    files = [path for path in finished.rglob("*") if path.is_file()]
    assert len(files) > 10
    for path in files:
        content = path.read_bytes()
        for planted in (PATIENT, PATIENT_ID, "Planted"):
            assert planted.encode() not in content
    columns = {name: value for row in rows_of(finished) for name, value in row.items() if isinstance(value, str)}
    assert not any("PLANTED" in value.upper() for name, value in columns.items() if name != "film")


def test_a_folder_gives_the_rows_of_its_list(listed: Path, finished: Path, server: str, tmp_path: Path) -> None:
    run = succeed(listed.with_suffix(""), tmp_path / "run", "--server", server, "--region", "0,0,0.5,1")
    by_name = {Path(row["film"]).name: row for row in rows_of(run)}
    for row in rows_of(finished):
        other = by_name.get(Path(row["film"]).name)
        if other is not None:
            assert other["input_sha256"] == row["input_sha256"]
            assert other["score"] == row["score"]
            if row["verdict"] is not None:
                assert 0 <= other["difference_region_share"] <= 1
    assert len(by_name) == len(rows_of(finished)) - 1, "the one that is nowhere"
    other = cohort(listed.with_suffix(""), run, "--server", server, "--region", "0,0,0.5,1", "--pattern", "*.dcm")
    assert other.exit_code == 1
    assert "source_options.pattern began as '*', and is '*.dcm' now" in words(other.output)


def test_a_finished_run_is_left_as_it_is(listed: Path, server: str, tmp_path: Path) -> None:
    run = succeed(listed, tmp_path / "run", "--server", server)
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file() and path.name != "report.html"}
    (run / "report.html").unlink()
    succeed(listed, run, "--server", server)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert (run / "report.html").exists()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--steps", "3"], "settings.inversion.steps began as 2, and is 3 now"),
        (["--seed", "9"], "settings.seed"),
        (["--map", "difference"], "maps"),
        (["--part-films", "5"], "part_films"),
        (["--region", "0,0,1,1"], "region"),
        (["--label-column", "source"], "source_options.label_column began as 'label', and is 'source' now"),
    ],
)
def test_a_run_does_not_go_on_otherwise(
    options: list[str], named: str, finished: Path, listed: Path, server: str
) -> None:
    result = cohort(listed, finished, "--server", server, *options)
    assert result.exit_code == 1
    assert named in words(result.output)


def test_a_run_does_not_go_on_with_another_model_or_source(
    finished: Path, listed: Path, server: str, tmp_path: Path
) -> None:
    manifest = finished / "run.json"
    kept = manifest.read_text()
    try:
        manifest.write_text(json.dumps(json.loads(kept) | {"bundle_sha256": "0" * 64}))
        result = cohort(listed, finished, "--server", server)
        assert result.exit_code == 1
        assert "bundle_sha256 began as" in words(result.output)
    finally:
        manifest.write_text(kept)
    other = write_source(tmp_path / "others", 2)
    result = cohort(other, finished, "--server", server)
    assert result.exit_code == 1
    assert "source began as" in words(result.output)


@pytest.mark.parametrize(
    ("source", "out", "options", "named"),
    [
        ("nowhere", "run", [], "SOURCE: there is no"),
        ("n" * 300, "run", [], "SOURCE: "),
        ("empty", "run", [], "no film"),
        ("empty", "empty/run", [], "outside of SOURCE"),
        ("link", "empty/run", [], "outside of SOURCE"),
        ("empty", "link/run", [], "outside of SOURCE"),
        ("empty", "empty/../run", [], "no film"),
        ("empty", "file", [], "a folder that can be written to"),
        ("empty", "file/run", [], "a folder that can be written to"),
        ("one", "run", ["--part-films", "100000"], "--part-films: expected at most"),
        ("empty", "foreign", [], "expected an empty folder"),
        ("empty", "run", ["--map", "nothing"], "has no map"),
        ("empty", "run", ["--map", "uncertainty"], "--restarts"),
        ("empty", "run", ["--version", "8"], "8"),
        ("one", "run", ["--steps", "100000"], "settings.inversion.steps"),
    ],
)
def test_what_can_t_be_is_refused_by_name(
    source: str, out: str, options: list[str], named: str, server: str, tmp_path: Path
) -> None:
    for folder in ("empty", "foreign", "one"):
        (tmp_path / folder).mkdir()
    Image.new("L", (48, 48)).save(tmp_path / "one" / "1.png")
    (tmp_path / "foreign" / "thesis.txt").touch()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    (tmp_path / "file").touch()
    result = cohort(tmp_path / source, tmp_path / out, "--server", server, *options)
    assert result.exit_code == 1
    assert named in words(result.output)
    assert not list((tmp_path / out / "rows").glob("*"))


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--server", "localhost:1", "--batch", "4"], "--batch"),
        (["--server", "localhost:1", "--region", "1,2"], "--region"),
        (["--tls"], "--tls"),
    ],
)
def test_options_that_mean_nothing_are_refused(options: list[str], named: str, listed: Path, tmp_path: Path) -> None:
    result = cohort(listed, tmp_path / "run", *options)
    assert result.exit_code == 2
    assert named in result.output


def test_rows_of_which_it_is_not_known_what_they_are_do_not_go_on(
    finished: Path, listed: Path, server: str, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    (run / "run.json").unlink()
    result = cohort(listed, run, "--server", server)
    assert result.exit_code == 1
    assert "no run.json" in words(result.output)


def test_a_run_of_another_layout_does_not_go_on(finished: Path, listed: Path, server: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    (run / "run.json").write_text(json.dumps(json.loads((run / "run.json").read_text()) | {"format": 1}))
    result = cohort(listed, run, "--server", server)
    assert result.exit_code == 1
    assert "expected format 2, got 1" in words(result.output)


def test_a_full_disk_is_named_and_the_run_goes_on_when_there_is_room(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "one").mkdir()
    Image.new("L", (48, 48)).save(tmp_path / "one" / "1.png")
    run = tmp_path / "run"

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    # What a run begins with, its maps, its report.
    for module, name in ((durable, "synchronise"), (map_store, "synchronise"), (page, "write_durably")):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, full)
            result = cohort(tmp_path / "one", run, "--server", server)
        assert result.exit_code == 1
        assert "--out: expected a folder that can be written to: No space left on device" in words(result.output)
    assert len(rows_of(succeed(tmp_path / "one", run, "--server", server))) == 1


def test_two_commands_do_not_work_in_one_folder(listed: Path, server: str, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with (tmp_path / "run" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        result = cohort(listed, tmp_path / "run", "--server", server)
    assert result.exit_code == 1
    assert "another command works" in words(result.output)


def test_a_server_that_is_away_loses_nothing(listed: Path, finished: Path, server: str, tmp_path: Path) -> None:
    """No film gets a row for what is not its fault: the run ends, and goes on when the server is there."""
    run = tmp_path / "run"
    result = cohort(listed, run, "--server", "127.0.0.1:1")
    assert result.exit_code == 1
    assert "no answer from the server" in words(result.output)
    assert_same(succeed(listed, run, "--server", server), finished)
