"""Files that are whole or not there."""

import os
from pathlib import Path

import pytest

from medxgan.gateway.journal.files import FileStore


def test_a_file_is_what_was_written_and_nobody_elses(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "films")
    name = store.write(b"film")
    assert store.path(name).read_bytes() == b"film"
    assert store.path(name).stat().st_mode & 0o077 == 0
    assert (tmp_path / "films").stat().st_mode & 0o077 == 0


def test_a_file_and_its_name_are_synchronised_before_the_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FileStore(tmp_path / "films")
    calls: list[str] = []
    synchronise, rename = os.fsync, Path.rename

    def noting_fsync(descriptor: int) -> None:
        calls.append("folder" if Path(f"/proc/self/fd/{descriptor}").resolve().is_dir() else "file")
        synchronise(descriptor)

    def noting_rename(path: Path, target: Path) -> Path:
        calls.append("name")
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", noting_fsync)
    monkeypatch.setattr(Path, "rename", noting_rename)
    store.write(b"film")
    assert calls == ["file", "name", "folder"]


def test_nothing_is_left_of_a_write_that_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FileStore(tmp_path / "films")

    def failing(descriptor: int) -> None:
        raise OSError(28, "no space left on device")

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(OSError, match="no space"):
        store.write(b"film")
    assert list((tmp_path / "films").iterdir()) == []


def test_a_sweep_leaves_what_is_known(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "films")
    known, other = store.write(b"known"), store.write(b"other")
    (tmp_path / "films" / "half.dcm.part").write_bytes(b"half")
    assert store.sweep([known], tmp_path / "unclaimed") == 2
    assert [path.name for path in (tmp_path / "unclaimed").iterdir()] == [other]
    assert [path.name for path in (tmp_path / "films").iterdir()] == [known]
    third = store.write(b"third")
    assert store.sweep([known]) == 1
    assert not store.path(third).exists()
