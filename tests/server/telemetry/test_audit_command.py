"""`medxgan audit verify`."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from medxgan.server.audit import audit_app
from medxgan.server.telemetry.audit import AuditTrail


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


def write(file: Path, *verdicts: str) -> list[str]:
    trail = AuditTrail(file)
    hashes = [trail.append({"verdict": verdict}) for verdict in verdicts]
    trail.close()
    return hashes


def verify(*arguments: object) -> Result:
    return CliRunner().invoke(audit_app, ["verify", *map(str, arguments)])


def test_a_whole_trail_is_said_to_be_whole(file: Path) -> None:
    hashes = write(file, "RELIABLE", "NOT_RELIABLE")
    done = verify(file, "--last-hash", hashes[0])
    assert done.exit_code == 0
    assert done.stdout == f"2 records, whole; the last has the hash {hashes[1]}\n"


def test_the_first_line_that_was_changed_is_named(file: Path) -> None:
    write(file, "RELIABLE", "NOT_RELIABLE", "RELIABLE")
    file.write_text(file.read_text().replace('"NOT_RELIABLE"', '"RELIABLE"'))
    done = verify(file)
    assert done.exit_code == 1
    assert "line 2: it was changed; 1 lines before it are whole" in done.stderr


def test_a_trail_whose_end_was_cut_off_lacks_the_hash_that_was_noted(file: Path) -> None:
    hashes = write(file, "RELIABLE", "NOT_RELIABLE")
    file.write_text(file.read_text().splitlines()[0] + "\n")
    assert verify(file).exit_code == 0
    done = verify(file, "--last-hash", hashes[1])
    assert done.exit_code == 1
    assert "its end was cut off" in done.stderr


def test_a_trail_that_is_not_there_is_said_so(file: Path) -> None:
    done = verify(file)
    assert done.exit_code == 1
    assert "can't be read" in done.stderr
