"""From a film to its results by a real server: when it is there, when it is not, and when the film is no good."""

import errno
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import (
    AdvancedBlendingPresentationStateStorage,
    Comprehensive3DSRStorage,
    SecondaryCaptureImageStorage,
)
from tests.gateway.conftest import RULE, MovedClock
from tests.gateway.films import content, film
from tests.ports import free_port

from medxgan.client import Client, ServerFaultError
from medxgan.gateway.explaining.explaining import MAXIMUM_FAULTS, Explaining
from medxgan.gateway.fhir.folder import FhirFolder
from medxgan.gateway.intake.reception import Receiver
from medxgan.gateway.journal.database import Database
from medxgan.gateway.journal.files import FileStore
from medxgan.gateway.journal.journal import Journal
from medxgan.gateway.journal.records import State
from medxgan.gateway.results.outputs import Outputs
from medxgan.gateway.rules import Rule
from medxgan.gateway.settings import RetrySettings
from medxgan.gateway.telemetry.metrics import Metrics

HOUR = 3600.0
RETRIES = RetrySettings(first_s=1, longest_s=120, give_up_s=24 * HOUR)

Make = Callable[..., Explaining]


@pytest.fixture
def films(tmp_path: Path) -> FileStore:
    return FileStore(tmp_path / "films")


@pytest.fixture
def results(tmp_path: Path) -> FileStore:
    return FileStore(tmp_path / "results")


@pytest.fixture
def explaining(journal: Journal, films: FileStore, results: FileStore, clock: MovedClock) -> Iterator[Make]:
    """Makes the part that explains, with a client of an address."""
    clients: list[Client] = []

    def make(address: str, client: type[Client] = Client, **options: Any) -> Explaining:
        clients.append(client(address, patience=0))
        plain: dict[str, Any] = {
            "outputs": Outputs(show_unreliable=True),
            "destinations": ["archive"],
            "de_identify": True,
            "retries": RETRIES,
            "metrics": Metrics(),
            "clock": clock,
        }
        return Explaining(clients[-1], journal, films, results, **plain | options)

    yield make
    for each in clients:
        each.close()


@pytest.fixture
def receive(journal: Journal, films: FileStore) -> Callable[..., int]:
    """Takes a film in; gives its number."""

    def take(**attributes: object) -> int:
        sent = film(**attributes)
        Receiver(journal, films, (Rule.model_validate(RULE),), free_bytes=0, metrics=Metrics()).receive(
            content(sent), "dicom"
        )
        return journal.known(sent.SOPInstanceUID).id  # type: ignore[union-attr]

    return take


def test_results_are_kept_and_owed(
    explaining: Make, receive: Callable[..., int], journal: Journal, results: FileStore, server: str
) -> None:
    number = receive()
    part = explaining(server)
    assert part.step()
    assert not part.step()
    assert journal.film(number).state is State.EXPLAINED
    assert len(journal.film(number).bundle_sha256 or "") == 64
    kept = journal.results(number)
    assert len(kept) >= 2
    assert all(results.path(each.file).is_file() for each in kept)
    assert journal.owed("archive") is not None


def test_a_rule_may_have_results_of_its_own(
    explaining: Make, receive: Callable[..., int], journal: Journal, server: str
) -> None:
    wanted = Outputs(blink=False, parametric_map=False, segmentation=False, blending=True, show_unreliable=True)
    number = receive()
    explaining(server, rule_outputs={RULE["name"]: wanted, "another": Outputs()}).step()
    assert {each.sop_class_uid for each in journal.results(number)} == {
        SecondaryCaptureImageStorage,
        AdvancedBlendingPresentationStateStorage,
        Comprehensive3DSRStorage,
    }


def test_what_is_said_is_written_for_an_integration_engine_once(
    explaining: Make, receive: Callable[..., int], journal: Journal, database: Database, server: str, tmp_path: Path
) -> None:
    receive()
    part = explaining(server, fhir=FhirFolder(tmp_path / "fhir", "https://archive/dicom-web"))
    assert part.step()
    (file,) = (tmp_path / "fhir").iterdir()
    bundle = json.loads(file.read_text())
    kinds = [entry["resource"]["resourceType"] for entry in bundle["entry"]]
    assert kinds[:2] == ["ImagingStudy", "DiagnosticReport"]
    assert kinds.count("DocumentReference") == len(journal.results(1))
    assert file.stat().st_mode & 0o077 == 0
    # A repeat, as after a crash before the results were noted, writes the same file.
    database.rows("UPDATE films SET state = 'received', bundle_sha256 = NULL")
    assert part.step()
    assert [json.loads(path.read_text()) for path in (tmp_path / "fhir").iterdir()] == [bundle]


def test_results_that_can_not_be_noted_leave_no_files(
    explaining: Make,
    receive: Callable[..., int],
    journal: Journal,
    results: FileStore,
    clock: MovedClock,
    server: str,
    tmp_path: Path,
) -> None:
    receive()
    part = explaining(server, fhir=FhirFolder(tmp_path / "fhir", ""))
    (tmp_path / "fhir").rmdir()
    assert part.step()
    assert (journal.film(1).state, journal.film(1).reason) == (State.RECEIVED, "disk: ENOENT")
    assert not list((tmp_path / "results").iterdir())
    (tmp_path / "fhir").mkdir()
    clock.move(RETRIES.longest_s)
    assert part.step()
    assert all(results.path(each.file).is_file() for each in journal.results(1))


@pytest.mark.slow
def test_a_server_that_is_away_for_an_hour_loses_nothing(
    explaining: Make,
    receive: Callable[..., int],
    journal: Journal,
    clock: MovedClock,
    films: FileStore,
    results: FileStore,
    server: str,
) -> None:
    port, numbers = free_port(), [receive() for _ in range(3)]
    part = explaining(f"127.0.0.1:{port}")
    tries = 0
    while clock() < 1_800_000_000.0 + HOUR:
        while part.step():
            tries += 1
        clock.move(5)
    assert journal.counts()[State.RECEIVED] == 3
    assert {journal.film(number).reason for number in numbers} == {"server: Unavailable"}
    # It was tried again with growing pauses: not every five seconds of the hour, and not never.
    assert 3 * 20 < tries < 3 * 120
    back = explaining(server)
    clock.move(RETRIES.longest_s)
    while back.step():
        pass
    assert journal.counts()[State.EXPLAINED] == 3


def test_a_server_that_stays_away_leaves_dead_films_that_can_be_retried(
    explaining: Make, receive: Callable[..., int], journal: Journal, clock: MovedClock, server: str
) -> None:
    number = receive()
    part = explaining("127.0.0.1:1")
    assert part.step()
    clock.move(25 * HOUR)
    assert part.step()
    assert journal.film(number).state is State.DEAD
    clock.move(HOUR)
    assert not part.step()
    assert journal.retry([number]) == 1
    assert explaining(server).step()
    assert journal.film(number).state is State.EXPLAINED


def test_a_film_that_the_server_refuses_fails_with_the_reason(
    explaining: Make, receive: Callable[..., int], journal: Journal, server: str
) -> None:
    number = receive(RescaleSlope=0.0, RescaleIntercept=0.0, BitsStored=17, HighBit=16)
    assert explaining(server).step()
    noted = journal.film(number)
    assert noted.state is State.FAILED
    assert noted.reason.startswith("the server refuses image")


def test_a_film_that_no_results_can_be_made_of_fails_with_the_reason(
    explaining: Make, receive: Callable[..., int], journal: Journal, server: str
) -> None:
    number = receive(SeriesInstanceUID=None)
    assert explaining(server).step()
    noted = journal.film(number)
    assert (noted.state, noted.reason) == (State.FAILED, "no results can be made: SeriesInstanceUID")


def test_a_model_that_is_not_served_is_waited_for(
    explaining: Make, journal: Journal, films: FileStore, server: str
) -> None:
    rule = Rule.model_validate(RULE | {"model": "nowhere"})
    Receiver(journal, films, (rule,), free_bytes=0, metrics=Metrics()).receive(content(film()), "dicom")
    assert explaining(server).step()
    assert (journal.film(1).state, journal.film(1).reason) == (State.RECEIVED, "server: NotFound")


def test_a_film_with_writing_burnt_in_does_not_leave_unless_it_may(
    explaining: Make, receive: Callable[..., int], journal: Journal, server: str
) -> None:
    number = receive(BurnedInAnnotation="YES")
    assert explaining(server).step()
    assert journal.film(number).state is State.FAILED
    assert "BurnedInAnnotation" in journal.film(number).reason
    journal.retry()
    assert explaining(server, de_identify=False).step()
    assert journal.film(number).state is State.EXPLAINED


class Faulty(Client):
    """A client of a server that fails on every film."""

    def explain(self, *arguments: Any, **options: Any) -> Any:
        raise ServerFaultError("internal")


class Broken(Client):
    """A client with a fault of its own."""

    def explain(self, *arguments: Any, **options: Any) -> Any:
        raise RuntimeError("Planted^Name")


@pytest.mark.parametrize(("client", "reason"), [(Faulty, "server: ServerFault"), (Broken, "fault: RuntimeError")])
def test_a_film_that_makes_the_server_fail_is_given_up_after_a_few_tries(
    explaining: Make,
    receive: Callable[..., int],
    journal: Journal,
    clock: MovedClock,
    server: str,
    client: type[Client],
    reason: str,
) -> None:
    number = receive()
    # That the server was away for long before does not count.
    away = explaining("127.0.0.1:1")
    for _ in range(MAXIMUM_FAULTS):
        assert away.step()
        clock.move(RETRIES.longest_s)
    part = explaining(server, client)
    for _ in range(MAXIMUM_FAULTS):
        assert part.step()
        clock.move(RETRIES.longest_s)
    assert not part.step()
    assert (journal.film(number).state, journal.film(number).reason) == (State.FAILED, reason)


class FullDisk(FileStore):
    """Has no room for results, for a while."""

    is_full = True

    def write(self, content: bytes) -> str:
        if self.is_full:
            raise OSError(errno.ENOSPC, "no space left on device")
        return super().write(content)


@pytest.mark.slow
def test_results_wait_for_room_on_the_disk(
    journal: Journal, films: FileStore, receive: Callable[..., int], clock: MovedClock, server: str, tmp_path: Path
) -> None:
    number, disk = receive(), FullDisk(tmp_path / "results")
    with Client(server, patience=0) as client:
        part = Explaining(
            client,
            journal,
            films,
            disk,
            outputs=Outputs(),
            destinations=["archive"],
            de_identify=True,
            retries=RETRIES,
            metrics=Metrics(),
            clock=clock,
        )
        for _ in range(MAXIMUM_FAULTS + 1):
            assert part.step()
            clock.move(RETRIES.longest_s)
        assert (journal.film(number).state, journal.film(number).reason) == (State.RECEIVED, "disk: ENOSPC")
        disk.is_full = False
        assert part.step()
        assert journal.film(number).state is State.EXPLAINED


class Counting(Client):
    """Counts what it is asked to explain."""

    asked = 0

    def explain(self, *arguments: Any, **options: Any) -> Any:
        type(self).asked += 1
        return super().explain(*arguments, **options)


def test_a_film_sent_again_is_not_explained_again_by_the_same_bundle(
    explaining: Make,
    journal: Journal,
    films: FileStore,
    server: str,
) -> None:
    sent = content(film())
    receiver = Receiver(journal, films, (Rule.model_validate(RULE),), free_bytes=0, metrics=Metrics())
    receiver.receive(sent, "dicom")
    part = explaining(server, Counting)
    Counting.asked = 0
    part.step()
    first = journal.results(1)
    journal.end_delivery(1, "archive", State.DELIVERED)
    receiver.receive(sent, "dicom")
    assert journal.film(1).state is State.RECEIVED
    part.step()
    assert journal.film(1).state is State.EXPLAINED
    assert journal.results(1) == first
    assert Counting.asked == 1


def test_a_film_sent_again_is_explained_again_by_another_bundle(
    explaining: Make, journal: Journal, films: FileStore, results: FileStore, server: str, tmp_path: Path
) -> None:
    sent = content(film())
    receiver = Receiver(journal, films, (Rule.model_validate(RULE),), free_bytes=0, metrics=Metrics())
    receiver.receive(sent, "dicom")
    part = explaining(server)
    part.step()
    first = journal.results(1)
    # As another bundle would have left it.
    journal.explained(1, first, ["archive"], bundle_sha256="0" * 64, verdict="reliable")
    journal.end_delivery(1, "archive", State.DELIVERED)
    receiver.receive(sent, "dicom")
    part.step()
    assert journal.film(1).bundle_sha256 != "0" * 64
    kept = {path.name for path in (tmp_path / "results").iterdir()}
    assert kept == {each.file for each in journal.results(1)}
    assert {each.file for each in first} & kept == set()
