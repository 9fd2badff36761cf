"""Delivery into a real archive by C-STORE and by STOW-RS: when it is there, away, and when it refuses."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ComputedRadiographyImageStorage, CTImageStorage
from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.events import Event
from tests.gateway.conftest import MovedClock
from tests.gateway.films import content, film
from tests.gateway.orthanc import TITLE, Orthanc
from tests.gateway.sending import leaves_sockets

from medxgan.gateway.delivery.answers import Answer, Answers, DestinationAwayError, answer_of
from medxgan.gateway.delivery.delivering import Delivering, Sender
from medxgan.gateway.delivery.store import StoreSender
from medxgan.gateway.delivery.stow import StowSender
from medxgan.gateway.journal.files import FileStore
from medxgan.gateway.journal.journal import Journal
from medxgan.gateway.journal.records import Arrival, ResultRecord, State
from medxgan.gateway.settings import DicomDestination, RetrySettings, StowDestination
from medxgan.gateway.telemetry.metrics import Metrics

pytestmark = leaves_sockets

HOUR = 3600.0
RETRIES = RetrySettings(first_s=1, longest_s=120, give_up_s=24 * HOUR)


@pytest.fixture
def results(tmp_path: Path) -> FileStore:
    return FileStore(tmp_path / "results")


@pytest.fixture
def owe(journal: Journal, results: FileStore) -> Callable[..., list[Dataset]]:
    """Notes a film with two results that are owed to destinations; gives the results."""

    def note(*destinations: str) -> list[Dataset]:
        source = film()
        arrival = Arrival(source.SOPInstanceUID, source.SOPClassUID, "0", "dicom", "phantom", "", "rule")
        journal.arrive(arrival, "film.dcm")
        made = [film(seed=number, StudyInstanceUID=source.StudyInstanceUID) for number in (1, 2)]
        kept = [ResultRecord(each.SOPInstanceUID, each.SOPClassUID, results.write(content(each))) for each in made]
        number = journal.known(source.SOPInstanceUID).id  # type: ignore[union-attr]
        journal.explained(number, kept, destinations, bundle_sha256="0", verdict="reliable")
        return made

    return note


@pytest.fixture
def delivering(journal: Journal, results: FileStore, clock: MovedClock) -> Callable[..., Delivering]:
    def make(sender: Sender, name: str = "archive") -> Delivering:
        return Delivering(name, sender, journal, results, retries=RETRIES, metrics=Metrics(), clock=clock)

    return make


def store(port: int, **settings: Any) -> StoreSender:
    plain = {"protocol": "dicom", "name": "archive", "address": f"127.0.0.1:{port}", "ae_title": TITLE}
    return StoreSender(DicomDestination.model_validate(plain | settings))


def stow(url: str) -> StowSender:
    return StowSender(StowDestination(protocol="stow", name="archive", url=f"{url}/dicom-web"))


def uids(objects: Sequence[Dataset]) -> set[str]:
    return {each.SOPInstanceUID for each in objects}


@pytest.mark.parametrize("protocol", ["dicom", "stow"])
def test_results_are_in_the_archive(
    protocol: str,
    orthanc: Orthanc,
    owe: Callable[..., list[Dataset]],
    delivering: Callable[..., Delivering],
    journal: Journal,
) -> None:
    made = owe("archive")
    part = delivering(store(orthanc.dicom_port) if protocol == "dicom" else stow(orthanc.url))
    assert part.step()
    assert not part.step()
    assert journal.film(1).state is State.DELIVERED
    stored = orthanc.of_study(made[0].StudyInstanceUID)
    assert {each["SOPInstanceUID"] for each in stored} == uids(made)
    assert journal.accepted(1, "archive") == uids(made)


@pytest.mark.parametrize("protocol", ["dicom", "stow"])
def test_an_archive_that_is_away_for_an_hour_gets_everything_afterwards(
    protocol: str,
    orthanc: Orthanc,
    owe: Callable[..., list[Dataset]],
    delivering: Callable[..., Delivering],
    journal: Journal,
    clock: MovedClock,
) -> None:
    films = [owe("archive") for _ in range(2)]
    orthanc.stop()
    part = delivering(store(orthanc.dicom_port) if protocol == "dicom" else stow(orthanc.url))
    while clock() < 1_800_000_000.0 + HOUR:
        while part.step():
            pass
        clock.move(200)
    assert journal.counts()[State.EXPLAINED] == 2
    orthanc.start()
    clock.move(RETRIES.longest_s)
    while part.step():
        pass
    assert journal.counts()[State.DELIVERED] == 2
    for made in films:
        stored = orthanc.of_study(made[0].StudyInstanceUID)
        assert sorted(each["SOPInstanceUID"] for each in stored) == sorted(uids(made))


def test_a_destination_that_is_away_does_not_hold_up_another(
    orthanc: Orthanc,
    owe: Callable[..., list[Dataset]],
    delivering: Callable[..., Delivering],
    journal: Journal,
    clock: MovedClock,
) -> None:
    made = owe("archive", "away")
    away = delivering(store(1), "away")
    assert away.step()
    assert delivering(store(orthanc.dicom_port)).step()
    assert len(orthanc.of_study(made[0].StudyInstanceUID)) == 2
    assert journal.film(1).state is State.EXPLAINED
    assert journal.owed_counts() == {"away": 1}
    clock.move(25 * HOUR)
    assert away.step()
    assert (journal.film(1).state, journal.film(1).reason) == (State.DEAD, "away: no association")
    # Only what is owed still goes out again.
    assert journal.retry() == 1
    assert journal.owed_counts() == {"away": 1}


class Node:
    """A DICOM node that answers objects as it is told, one after the other; None ends the association instead."""

    def __init__(self, *statuses: int | None) -> None:
        self.received: list[str] = []
        self._statuses = iter(statuses)
        self._node = AE(TITLE)
        self._node.supported_contexts = AllStoragePresentationContexts
        server = self._node.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, self._store)])
        self.port: int = server.server_address[1]  # type: ignore[union-attr]

    def stop(self) -> None:
        self._node.shutdown()

    def _store(self, event: Event) -> int:
        self.received.append(event.request.AffectedSOPInstanceUID)  # type: ignore[union-attr,arg-type]
        status = next(self._statuses, 0)
        if status is None:
            event.assoc.abort()
            return 0
        return status


@pytest.fixture
def node() -> Iterator[Callable[..., Node]]:
    running: list[Node] = []

    def start(*statuses: int | None) -> Node:
        running.append(Node(*statuses))
        return running[-1]

    yield start
    for each in running:
        each.stop()


def test_each_object_has_its_own_answer(
    node: Callable[..., Node],
    owe: Callable[..., list[Dataset]],
    delivering: Callable[..., Delivering],
    journal: Journal,
) -> None:
    made, archive = owe("archive"), node(0xA900, 0xB000)
    part = delivering(store(archive.port))
    assert part.step()
    assert journal.film(1).state is State.FAILED
    assert journal.film(1).reason == "archive: refuses 1 of 2 objects: a900"
    assert journal.accepted(1, "archive") == {made[1].SOPInstanceUID}
    # What was accepted is not sent again.
    journal.retry()
    assert part.step()
    assert journal.film(1).state is State.DELIVERED
    assert archive.received == [made[0].SOPInstanceUID, made[1].SOPInstanceUID, made[0].SOPInstanceUID]


@pytest.mark.parametrize("first", [0xA700, 0x0110, None], ids=["out of resources", "processing failure", "aborted"])
def test_what_may_pass_later_is_sent_again_by_itself(
    first: int | None,
    node: Callable[..., Node],
    owe: Callable[..., list[Dataset]],
    delivering: Callable[..., Delivering],
    journal: Journal,
    clock: MovedClock,
) -> None:
    owe("archive")
    archive = node(first)
    part = delivering(store(archive.port, timeout_s=2))
    assert part.step()
    assert journal.film(1).state is State.EXPLAINED
    clock.move(RETRIES.longest_s)
    assert part.step()
    assert journal.film(1).state is State.DELIVERED


def test_a_class_that_a_destination_does_not_take_is_refused_for_good_and_the_others_are_stored() -> None:
    node = AE(TITLE)
    node.add_supported_context(ComputedRadiographyImageStorage)
    server = node.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, lambda event: 0)])
    taken, other = film(), film(SOPClassUID=CTImageStorage)
    answers = store(server.server_address[1]).send([other, taken])  # type: ignore[union-attr]
    assert answers == {other.SOPInstanceUID: answer_of(0x0122), taken.SOPInstanceUID: answer_of(0)}
    node.shutdown()


def test_a_result_whose_file_is_gone_fails(
    owe: Callable[..., list[Dataset]], delivering: Callable[..., Delivering], journal: Journal, results: FileStore
) -> None:
    owe("archive")
    results.remove([journal.results(1)[0].file])
    assert delivering(store(1)).step()
    assert journal.film(1).reason == "archive: a file of the results is gone"


class Broken:
    """Fails as it should not at the first films, and takes the others."""

    def __init__(self, *faults: Exception) -> None:
        self._faults = list(faults)

    def send(self, objects: Sequence[Dataset]) -> Answers:
        if self._faults:
            raise self._faults.pop(0)
        return {each.SOPInstanceUID: answer_of(0) for each in objects}


def test_a_film_that_is_not_sent_for_a_fault_holds_up_no_other(
    owe: Callable[..., list[Dataset]], delivering: Callable[..., Delivering], journal: Journal, clock: MovedClock
) -> None:
    for _ in range(2):
        owe("archive")
    part = delivering(Broken(AttributeError("Planted^Name")))
    assert part.step()
    assert (journal.film(1).state, journal.film(2).state) == (State.EXPLAINED, State.EXPLAINED)
    assert part.step()
    assert (journal.film(1).state, journal.film(2).state) == (State.EXPLAINED, State.DELIVERED)
    clock.move(RETRIES.longest_s)
    assert part.step()
    assert journal.film(1).state is State.DELIVERED


def test_a_file_of_tls_that_is_gone_is_waited_for(
    owe: Callable[..., list[Dataset]], delivering: Callable[..., Delivering], journal: Journal, tmp_path: Path
) -> None:
    owe("archive")
    files = {name: tmp_path / f"{name}.pem" for name in ("authority", "certificate", "key")}
    for file in files.values():
        file.touch()
    sender = store(1, tls=files)
    for file in files.values():
        file.unlink()
    assert delivering(sender).step()
    assert journal.film(1).state is State.EXPLAINED


def test_a_web_archive_that_lets_nobody_in_is_waited_for(
    orthanc: Orthanc, owe: Callable[..., list[Dataset]], delivering: Callable[..., Delivering], journal: Journal
) -> None:
    owe("archive")
    wrong = StowSender(StowDestination(protocol="stow", name="archive", url=f"{orthanc.url}/nowhere"))
    assert delivering(wrong).step()
    assert journal.film(1).state is State.EXPLAINED


class Silent:
    """Answers for nothing that it is sent."""

    def send(self, objects: Sequence[Dataset]) -> Answers:
        return {}


def test_no_answer_is_no_delivery(
    owe: Callable[..., list[Dataset]], delivering: Callable[..., Delivering], journal: Journal
) -> None:
    owe("archive")
    assert delivering(Silent()).step()
    assert journal.film(1).state is State.EXPLAINED


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (0x0000, Answer(accepted=True, is_final=True, status="0000")),
        (0xB007, Answer(accepted=True, is_final=True, status="b007")),
        (0xA700, Answer(accepted=False, is_final=False, status="a700")),
        (0xA7FF, Answer(accepted=False, is_final=False, status="a7ff")),
        (0x0110, Answer(accepted=False, is_final=False, status="0110")),
        (0xA900, Answer(accepted=False, is_final=True, status="a900")),
        (0xC000, Answer(accepted=False, is_final=True, status="c000")),
        (0x0122, Answer(accepted=False, is_final=True, status="0122")),
    ],
)
def test_what_a_status_means(status: int, answer: Answer) -> None:
    assert answer_of(status) == answer


def test_nobody_there_is_said() -> None:
    with pytest.raises(DestinationAwayError, match="no association"):
        store(1).send([film()])
