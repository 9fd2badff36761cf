"""What is answered to each kind of object, and what is kept of it."""

import errno
import sqlite3
import threading
from pathlib import Path

import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian, generate_uid
from tests.gateway.conftest import RULE, MovedClock
from tests.gateway.films import content, film

from medxgan.gateway.intake.reception import Receiver, Reception
from medxgan.gateway.journal.database import Database
from medxgan.gateway.journal.files import FileStore
from medxgan.gateway.journal.journal import Journal
from medxgan.gateway.journal.records import ResultRecord, State
from medxgan.gateway.journal.retention import Retention
from medxgan.gateway.rules import Rule
from medxgan.gateway.settings import RetentionSettings
from medxgan.gateway.telemetry.metrics import Metrics


def kept(folder: Path) -> list[Path]:
    return sorted((folder / "films").iterdir())


def test_a_film_is_kept_as_it_came(receiver: Receiver, journal: Journal, films: FileStore) -> None:
    sent = film()
    assert receiver.receive(content(sent), "dicom") is Reception.TAKEN
    noted = journal.known(sent.SOPInstanceUID)
    assert noted is not None
    assert (noted.state, noted.model, noted.reason) == (State.RECEIVED, "phantom", "chest films")
    assert films.path(noted.file or "").read_bytes() == content(sent)


def test_a_film_that_comes_again_is_kept_once(receiver: Receiver, tmp_path: Path) -> None:
    sent = content(film())
    assert [receiver.receive(sent, way) for way in ("dicom", "folder", "dicomweb")] == [
        Reception.TAKEN,
        Reception.REPEATED,
        Reception.REPEATED,
    ]
    assert len(kept(tmp_path)) == 1


def test_the_same_film_on_many_associations_at_once_is_kept_once(
    receiver: Receiver, journal: Journal, tmp_path: Path
) -> None:
    sent, answers = content(film()), []
    callers = [threading.Thread(target=lambda: answers.append(receiver.receive(sent, "dicom"))) for _ in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert set(answers) <= {Reception.TAKEN, Reception.REPEATED}
    assert len(kept(tmp_path)) == 1
    assert journal.counts()[State.RECEIVED] == 1


def test_another_header_is_the_same_film(receiver: Receiver) -> None:
    sent = film()
    receiver.receive(content(sent), "dicom")
    sent.PatientName = "Corrected^Name"
    sent.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    assert receiver.receive(content(sent), "dicom") is Reception.REPEATED


def test_other_pixels_under_the_same_uid_are_refused_and_the_first_stay(
    receiver: Receiver, journal: Journal, films: FileStore, tmp_path: Path
) -> None:
    first = film(seed=1)
    second = film(seed=2, SOPInstanceUID=first.SOPInstanceUID)
    receiver.receive(content(first), "dicom")
    assert receiver.receive(content(second), "dicom") is Reception.OTHER_PIXELS
    noted = journal.known(first.SOPInstanceUID)
    assert noted is not None
    assert films.path(noted.file or "").read_bytes() == content(first)
    assert len(kept(tmp_path)) == 1


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"Modality": "MR"}, "no rule takes it (chest films: other Modality)"),
        ({"PixelData": None}, "no pixel data"),
        ({"NumberOfFrames": 2, "Rows": 32}, "several frames"),
        ({"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "Rows": 21}, "colour"),
    ],
)
def test_what_is_ignored_has_its_reason_kept_and_no_file(
    receiver: Receiver, journal: Journal, tmp_path: Path, attributes: dict[str, object], reason: str
) -> None:
    sent = film(**attributes)
    assert receiver.receive(content(sent), "dicom") is Reception.IGNORED
    noted = journal.known(sent.SOPInstanceUID)
    assert noted is not None
    assert (noted.state, noted.reason, noted.file) == (State.IGNORED, reason, None)
    assert kept(tmp_path) == []


def test_a_result_of_this_gateway_is_no_film(receiver: Receiver, journal: Journal) -> None:
    sent = film()
    receiver.receive(content(sent), "dicom")
    result = film()
    journal.explained(
        1,
        [ResultRecord(result.SOPInstanceUID, result.SOPClassUID, "x.dcm")],
        ["archive"],
        bundle_sha256="0",
        verdict="reliable",
    )
    assert receiver.receive(content(result), "dicom") is Reception.IGNORED
    assert journal.known(result.SOPInstanceUID).reason == "a result of this gateway"  # type: ignore[union-attr]


def test_what_was_ignored_is_taken_once_the_rules_take_it(
    receiver: Receiver, journal: Journal, films: FileStore, metrics: Metrics
) -> None:
    sent = film(Modality="MR")
    receiver.receive(content(sent), "dicom")
    wider = Rule.model_validate(RULE | {"when": {}})
    assert (
        Receiver(journal, films, (wider,), free_bytes=0, metrics=metrics).receive(content(sent), "dicom")
        is Reception.TAKEN
    )


def test_an_attribute_that_is_no_number_where_a_rule_looks_is_refused(
    journal: Journal, films: FileStore, metrics: Metrics
) -> None:
    rule = Rule(name="dark", when={"SmallestImagePixelValue": ("42",)}, model="phantom")
    sent = content(film(SmallestImagePixelValue=42)).replace(b"US\x02\x00\x2a\x00", b"US\x03\x00\x2a\x00\x00")
    picky = Receiver(journal, films, (rule,), free_bytes=0, metrics=metrics)
    assert picky.receive(content(film(SmallestImagePixelValue=42)), "folder") is Reception.TAKEN
    assert picky.receive(sent, "folder") is Reception.UNREADABLE


def test_an_object_that_was_not_announced_is_refused(receiver: Receiver, journal: Journal) -> None:
    sent = film()
    assert receiver.receive(content(sent), "dicom", (sent.SOPClassUID, generate_uid())) is Reception.MISMATCHED
    assert journal.known(sent.SOPInstanceUID) is None


def test_a_truncated_object_is_refused(receiver: Receiver, tmp_path: Path) -> None:
    assert receiver.receive(content(film())[:-100], "dicom") is Reception.UNREADABLE
    assert kept(tmp_path) == []


@pytest.mark.parametrize("deflated", [False, True])
def test_an_object_that_is_too_large_is_refused(
    journal: Journal, films: FileStore, metrics: Metrics, tmp_path: Path, deflated: bool
) -> None:
    sent = film(side=200)
    if deflated:
        sent.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
        sent.PixelData = bytes(len(sent.PixelData))
    size = len(content(sent))
    assert (size < 10_000) is deflated
    for largest, expected in ((50_000, Reception.TOO_LARGE), (100_000, Reception.TAKEN)):
        picky = Receiver(
            journal, films, (Rule.model_validate(RULE),), free_bytes=0, largest_bytes=largest, metrics=metrics
        )
        assert picky.receive(content(sent), "dicom") is expected
    assert len(kept(tmp_path)) == 1


class FullDisk(FileStore):
    """A disk that is as full as it is said to be, or turns out to be full while a file is written."""

    free = 10_000
    breaks = False

    def free_bytes(self) -> int:
        return self.free

    def write(self, content: bytes) -> str:
        if self.breaks:
            raise OSError(errno.ENOSPC, "no space left on device")
        return super().write(content)


def test_films_are_refused_while_the_disk_is_full_and_taken_again_afterwards(
    journal: Journal, metrics: Metrics, tmp_path: Path
) -> None:
    disk = FullDisk(tmp_path / "films")
    receiver = Receiver(journal, disk, (Rule.model_validate(RULE),), free_bytes=20_000, metrics=metrics)
    sent = content(film())
    assert receiver.receive(sent, "dicom") is Reception.NO_ROOM
    disk.free = 30_000
    disk.breaks = True
    assert receiver.receive(sent, "dicom") is Reception.NO_ROOM
    assert kept(tmp_path) == []
    disk.breaks = False
    assert receiver.receive(sent, "dicom") is Reception.TAKEN


def test_a_film_is_left_where_the_journal_does_not_say_whether_it_noted_it(
    receiver: Receiver, journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object) -> bool:
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as failure:
        failure.setattr(journal, "arrive", failing)
        with pytest.raises(sqlite3.OperationalError):
            receiver.receive(content(film()), "dicom")
    assert len(kept(tmp_path)) == 1


def test_no_room_for_the_journal_is_no_room(
    receiver: Receiver, journal: Journal, database: Database, tmp_path: Path
) -> None:
    pages = database.rows("PRAGMA page_count")[0][0]
    database.rows(f"PRAGMA max_page_count = {pages}")
    answers = [
        receiver.receive(content(film(SOPInstanceUID=generate_uid(), Modality="MR")), "dicom") for _ in range(50)
    ]
    assert answers[-1] is Reception.NO_ROOM
    assert receiver.receive(content(film()), "dicom") is Reception.NO_ROOM
    assert kept(tmp_path) == []
    database.rows(f"PRAGMA max_page_count = {pages + 1000}")
    assert receiver.receive(content(film()), "dicom") is Reception.TAKEN


def test_a_film_that_a_rule_ignores_since_is_not_kept_for_ever(
    receiver: Receiver,
    journal: Journal,
    database: Database,
    films: FileStore,
    metrics: Metrics,
    clock: MovedClock,
    tmp_path: Path,
) -> None:
    sent = film()
    receiver.receive(content(sent), "dicom")
    results = FileStore(tmp_path / "results")
    made = ResultRecord("2.25.1", "1.2.840.10008.5.1.4.1.1.7", results.write(b"result"))
    journal.explained(1, [made], ["archive"], bundle_sha256="0", verdict="reliable")
    journal.end_delivery(1, "archive", State.DELIVERED)
    ignoring = (Rule(name="none", ignore="not any more"),)
    assert Receiver(journal, films, ignoring, free_bytes=0, metrics=metrics).receive(content(sent), "dicom") is (
        Reception.IGNORED
    )
    clock.move(8 * 86_400)
    Retention(database, films, results, RetentionSettings(files_days=7), clock).step()
    assert kept(tmp_path) == []
    assert list((tmp_path / "results").iterdir()) == []


def test_a_film_sent_again_after_its_deletion_is_taken_again(
    receiver: Receiver, journal: Journal, database: Database, films: FileStore, clock: MovedClock, tmp_path: Path
) -> None:
    sent = film()
    receiver.receive(content(sent), "dicom")
    results = FileStore(tmp_path / "results")
    made = ResultRecord("2.25.1", "1.2.840.10008.5.1.4.1.1.7", results.write(b"result"))
    journal.explained(1, [made], ["archive"], bundle_sha256="0", verdict="reliable")
    journal.end_delivery(1, "archive", State.DELIVERED)
    clock.move(8 * 86_400)
    Retention(database, films, results, RetentionSettings(files_days=7), clock).step()
    assert kept(tmp_path) == []
    assert list((tmp_path / "results").iterdir()) == []

    assert receiver.receive(content(sent), "dicom") is Reception.TAKEN
    noted = journal.known(sent.SOPInstanceUID)
    assert noted is not None
    assert noted.state is State.RECEIVED
    assert films.path(noted.file or "").read_bytes() == content(sent)
