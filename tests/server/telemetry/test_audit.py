"""The audit trail: a chain that shows what was changed, and that survives what kills a server."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medxgan.server.errors import AuditError
from medxgan.server.telemetry.audit import FIRST, AuditTrail, verify


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


def write(file: Path, count: int, first: int = 0) -> list[str]:
    trail = AuditTrail(file)
    hashes = [trail.append({"number": number, "verdict": "RELIABLE"}) for number in range(first, first + count)]
    trail.close()
    return hashes


def test_a_trail_is_verified_from_its_first_line_to_its_last(file: Path) -> None:
    hashes = write(file, 3)
    found = verify(file)
    assert (found.records, found.last_hash, found.broken) == (3, hashes[-1], None)
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["number"] for line in lines] == [0, 1, 2]
    assert [line["previous"] for line in lines] == [FIRST, *hashes[:-1]]
    assert all(line["time"].endswith("+00:00") for line in lines)


def test_an_empty_trail_is_whole(file: Path) -> None:
    write(file, 0)
    assert verify(file).records == 0


def test_a_trail_goes_on_where_it_was(file: Path) -> None:
    write(file, 2)
    write(file, 2, first=2)
    assert (verify(file).records, verify(file).broken) == (4, None)


@settings(max_examples=60)
@given(st.data())
def test_whatever_is_done_to_a_line_is_found_out(file: Path, data: st.DataObject) -> None:
    file.unlink(missing_ok=True)
    write(file, 5)
    lines = file.read_text().splitlines()
    place = data.draw(st.integers(0, 3), "place")
    match data.draw(st.sampled_from(["change", "take out", "put in", "swap"]), "what"):
        case "change":
            # What can be drawn may not depend on a line, which has the time and so is another whenever it is written.
            column = data.draw(st.integers(0, 999)) % len(lines[place])
            other = data.draw(st.sampled_from("0a{}"))
            other = "1" if other == lines[place][column] else other
            lines[place] = lines[place][:column] + other + lines[place][column + 1 :]
        case "take out":
            del lines[place]
        case "put in":
            lines.insert(place, lines[place])
        case "swap":
            lines[place], lines[place + 1] = lines[place + 1], lines[place]
    file.write_text("\n".join(lines) + "\n")
    found = verify(file)
    assert found.broken is not None
    assert place + 1 <= found.broken[0] <= place + 2
    assert found.records == found.broken[0] - 1
    with pytest.raises(AuditError, match=f"line {found.broken[0]}: "):
        AuditTrail(file)


def test_a_line_without_its_end_was_never_answered_and_is_cut_off(file: Path) -> None:
    hashes = write(file, 2)
    with file.open("a") as torn:
        torn.write('{"time": "2026-')
    write(file, 1, first=2)
    found = verify(file)
    assert (found.records, found.broken) == (3, None)
    assert json.loads(file.read_text().splitlines()[-1])["previous"] == hashes[-1]


def test_one_process_writes_a_trail(file: Path) -> None:
    trail = AuditTrail(file)
    code = "import sys; from pathlib import Path; from medxgan.server.telemetry.audit import AuditTrail\n"
    other = subprocess.run(
        [sys.executable, "-c", code + "AuditTrail(Path(sys.argv[1]))", str(file)], capture_output=True, text=True
    )
    assert "another process writes it" in other.stderr
    trail.close()
    AuditTrail(file).close()


def test_nobody_else_may_read_it(file: Path) -> None:
    write(file, 1)
    assert file.stat().st_mode & 0o077 == 0


def test_a_record_that_can_not_be_written_is_an_error_and_leaves_the_chain_whole(file: Path, monkeypatch) -> None:
    trail = AuditTrail(file)
    trail.append({"number": 0})

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", full)
        with pytest.raises(AuditError, match="No space left on device"):
            trail.append({"number": 1})
    trail.append({"number": 2})
    trail.close()
    assert (verify(file).records, verify(file).broken) == (2, None)


FULL_DISK = """
import resource, signal, sys
from pathlib import Path

from medxgan.server.errors import AuditError
from medxgan.server.telemetry.audit import AuditTrail

file = Path(sys.argv[1])
trail = AuditTrail(file)
trail.append({"number": 0})
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (file.stat().st_size + 20, resource.RLIM_INFINITY))
for number in (1, 2):
    try:
        trail.append({"number": number})
    except AuditError as error:
        print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
trail.append({"number": 3})
"""


def test_a_disk_that_takes_a_part_of_a_line_leaves_the_chain_whole(file: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FULL_DISK, str(file)], capture_output=True, text=True, check=True)
    assert done.stdout.count("the audit trail can't be written (File too large)") == 2
    assert [json.loads(line)["number"] for line in file.read_text().splitlines()] == [0, 3]
    assert verify(file).broken is None
    write(file, 1, first=4)


def test_a_name_that_stands_twice_in_a_line_is_a_change(file: Path) -> None:
    # Parsers take the last of two, so what a reader sees first would not be what was hashed.
    hashes = write(file, 3)
    lines = file.read_text().splitlines()[:2]
    lines[-1] = f'{{"number": 7, "hash": "{hashes[-1]}", {lines[-1][1:]}'
    file.write_text("\n".join(lines) + "\n")
    found = verify(file, hashes[-1])
    assert (found.broken, found.holds_noted) == ((2, "it was changed"), False)


def test_a_noted_hash_is_looked_for_among_those_of_whole_lines(file: Path) -> None:
    hashes = write(file, 3)
    assert all(verify(file, noted).holds_noted for noted in hashes)
    trail = AuditTrail(file)
    trail.append({"caller": f'"hash": "{FIRST}"'})
    trail.close()
    assert not verify(file, FIRST).holds_noted


def test_a_place_that_can_not_be_written_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(AuditError, match="can't be written"):
        AuditTrail(tmp_path / "missing" / "audit.jsonl")
    with pytest.raises(AuditError, match="can't be read"):
        verify(tmp_path / "audit.jsonl")
