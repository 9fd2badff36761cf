"""A watched folder: what is taken leaves it, and nothing else is lost."""

import os
import time
from pathlib import Path

import pytest
from tests.gateway.conftest import RULE
from tests.gateway.films import content, film

from medxgan.gateway.intake.folder import WatchedFolder
from medxgan.gateway.intake.reception import Receiver
from medxgan.gateway.journal.files import FileStore
from medxgan.gateway.journal.journal import Journal
from medxgan.gateway.rules import Rule
from medxgan.gateway.settings import FolderSettings
from medxgan.gateway.telemetry.metrics import Metrics


@pytest.fixture
def watched(tmp_path: Path, receiver: Receiver) -> WatchedFolder:
    return WatchedFolder(FolderSettings(path=tmp_path / "in", settle_s=0), receiver)


def take_all(watched: WatchedFolder) -> None:
    while watched.step():
        pass


def left(tmp_path: Path) -> set[str]:
    return {str(path.relative_to(tmp_path / "in")) for path in (tmp_path / "in").rglob("*") if path.is_file()}


def test_a_film_is_taken_and_leaves_the_folder(watched: WatchedFolder, journal: Journal, tmp_path: Path) -> None:
    sent = film()
    (tmp_path / "in" / "film").write_bytes(content(sent))
    take_all(watched)
    assert journal.known(sent.SOPInstanceUID).source == "folder"  # type: ignore[union-attr]
    assert left(tmp_path) == set()


def test_what_is_no_film_is_put_aside_and_kept(watched: WatchedFolder, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    first = film(seed=1)
    (folder / "a.dcm").write_bytes(content(first))
    (folder / "b.dcm").write_bytes(content(film(seed=2, SOPInstanceUID=first.SOPInstanceUID)))
    (folder / "c.dcm").write_bytes(content(film())[:3000])
    (folder / "d.dcm").write_bytes(content(film(Modality="MR")))
    (folder / "notes.txt").write_text("no DICOM")
    take_all(watched)
    assert left(tmp_path) == {"refused/b.dcm", "refused/c.dcm", "refused/notes.txt", "ignored/d.dcm"}


def test_a_file_that_is_too_large_is_put_aside_unread(
    journal: Journal, films: FileStore, metrics: Metrics, tmp_path: Path
) -> None:
    rules = (Rule.model_validate(RULE),)
    picky = Receiver(journal, films, rules, free_bytes=0, largest_bytes=10_000, metrics=metrics)
    watched = WatchedFolder(FolderSettings(path=tmp_path / "in", settle_s=0), picky)
    (tmp_path / "in" / "large.dcm").write_bytes(content(film(side=100)))
    (tmp_path / "in" / "small.dcm").write_bytes(content(film(side=50)))
    take_all(watched)
    assert left(tmp_path) == {"refused/large.dcm"}


def test_two_refused_files_of_one_name_are_both_kept(watched: WatchedFolder, tmp_path: Path) -> None:
    for text in ("one", "two"):
        (tmp_path / "in" / "notes.txt").write_text(text)
        take_all(watched)
    refused = sorted(path.read_text() for path in (tmp_path / "in" / "refused").iterdir())
    assert refused == ["one", "two"]


def test_what_is_still_being_written_is_left(receiver: Receiver, tmp_path: Path) -> None:
    watched = WatchedFolder(FolderSettings(path=tmp_path / "in", settle_s=60), receiver)
    for name in ("film.dcm", "old.dcm", "old.dcm.part", ".hidden"):
        (tmp_path / "in" / name).write_bytes(content(film()))
    for name in ("old.dcm", "old.dcm.part", ".hidden"):
        os.utime(tmp_path / "in" / name, (0, time.time() - 61))
    take_all(watched)
    assert left(tmp_path) == {"film.dcm", "old.dcm.part", ".hidden"}


def test_a_full_disk_leaves_films_in_the_folder(
    journal: Journal, films: FileStore, metrics: Metrics, tmp_path: Path
) -> None:
    full = Receiver(journal, films, (Rule.model_validate(RULE),), free_bytes=2**60, metrics=metrics)
    watched = WatchedFolder(FolderSettings(path=tmp_path / "in", settle_s=0), full)
    (tmp_path / "in" / "film.dcm").write_bytes(content(film()))
    assert not watched.step()
    assert left(tmp_path) == {"film.dcm"}


@pytest.mark.parametrize("of", ["read_bytes", "unlink"])
def test_a_file_that_can_not_be_taken_is_left_and_holds_up_no_other(
    of: str, watched: WatchedFolder, journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = getattr(Path, of)

    def of_another(path: Path, *arguments: object, **options: object) -> object:
        if path.name == "a.dcm":
            raise PermissionError(13, "denied")
        return plain(path, *arguments, **options)

    monkeypatch.setattr(Path, of, of_another)
    first, second = film(seed=1), film(seed=2)
    (tmp_path / "in" / "a.dcm").write_bytes(content(first))
    (tmp_path / "in" / "b.dcm").write_bytes(content(second))
    take_all(watched)
    assert left(tmp_path) == {"a.dcm"}
    assert journal.known(second.SOPInstanceUID) is not None
    assert (journal.known(first.SOPInstanceUID) is not None) == (of == "unlink")
    # Another of that name is a new one.
    monkeypatch.undo()
    (tmp_path / "in" / "a.dcm").unlink()
    assert not watched.step()
    third = film(seed=3)
    (tmp_path / "in" / "a.dcm").write_bytes(content(third))
    take_all(watched)
    assert left(tmp_path) == set()
    assert journal.known(third.SOPInstanceUID) is not None
