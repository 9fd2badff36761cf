"""Storage commitment: a modality asks whether it may delete its films, and hears which are kept."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from pynetdicom import AE, evt
from pynetdicom.events import Event
from tests.gateway.conftest import MovedClock
from tests.gateway.films import content, film
from tests.gateway.sending import associate, leaves_sockets, send

from medxgan.gateway.intake.commitment import STORAGE_COMMITMENT, WELL_KNOWN_INSTANCE, Committing
from medxgan.gateway.intake.reception import Receiver
from medxgan.gateway.intake.scp import DicomNode
from medxgan.gateway.journal.commitments import Commitments
from medxgan.gateway.journal.database import Database
from medxgan.gateway.journal.files import FileStore
from medxgan.gateway.journal.journal import Journal
from medxgan.gateway.journal.records import State
from medxgan.gateway.journal.retention import Retention
from medxgan.gateway.settings import DicomSettings, RetentionSettings, RetrySettings
from medxgan.gateway.telemetry.metrics import Metrics

pytestmark = leaves_sockets


class Modality:
    """Listens for reports."""

    def __init__(self) -> None:
        self.reports: list[tuple[int, Dataset]] = []
        node = AE("SENDER")
        node.add_supported_context(STORAGE_COMMITMENT, scu_role=True, scp_role=True)
        self._server = node.start_server(
            ("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_N_EVENT_REPORT, self._hear)]
        )
        self._node = node
        self.address = f"127.0.0.1:{self._server.server_address[1]}"  # type: ignore[union-attr]

    def stop(self) -> None:
        self._node.shutdown()

    def _hear(self, event: Event) -> tuple[int, None]:
        self.reports.append((event.event_type, event.event_information))
        return 0, None


@pytest.fixture
def modality() -> Iterator[Modality]:
    listening = Modality()
    yield listening
    listening.stop()


def ask(port: int, *films: Dataset) -> int:
    """Ask for storage commitment; gives the status."""
    action = Dataset()
    action.TransactionUID = generate_uid()
    action.ReferencedSOPSequence = []
    for each in films:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = each.SOPClassUID, each.SOPInstanceUID
        action.ReferencedSOPSequence.append(item)
    association = associate(port, (STORAGE_COMMITMENT, ExplicitVRLittleEndian))
    status, _ = association.send_n_action(action, 1, STORAGE_COMMITMENT, WELL_KNOWN_INSTANCE)
    association.release()
    return int(status.Status)


def node_of(
    address: str | None, receiver: Receiver, database: Database, clock: MovedClock
) -> tuple[DicomNode, Committing]:
    settings = DicomSettings.model_validate(
        {
            "address": "127.0.0.1:0",
            "peers": [{"ae_title": "SENDER", "address": address}],
            "storage_commitment": True,
        }
    )
    commitments = Commitments(database, clock)
    node = DicomNode(settings, receiver, commitments, Metrics())
    retries = RetrySettings(first_s=60, longest_s=60, give_up_s=3600)
    return node, Committing(Journal(database, clock), commitments, settings, retries, clock)


def test_a_modality_hears_which_films_are_kept(
    modality: Modality, receiver: Receiver, database: Database, clock: MovedClock
) -> None:
    node, committing = node_of(modality.address, receiver, database, clock)
    kept, ignored, unknown = film(), film(Modality="MR"), film()
    for each in (kept, ignored):
        assert send(node.port, content(each)) == 0
    assert ask(node.port, kept, ignored, unknown) == 0
    assert committing.step()
    assert not committing.step()
    ((kind, report),) = modality.reports
    assert kind == 2
    assert [item.ReferencedSOPInstanceUID for item in report.ReferencedSOPSequence] == [kept.SOPInstanceUID]
    assert {item.ReferencedSOPInstanceUID: item.FailureReason for item in report.FailedSOPSequence} == {
        ignored.SOPInstanceUID: 0x0112,
        unknown.SOPInstanceUID: 0x0112,
    }
    node.stop()


def test_a_film_that_was_committed_to_is_never_deleted(
    modality: Modality,
    receiver: Receiver,
    database: Database,
    journal: Journal,
    films: FileStore,
    clock: MovedClock,
    tmp_path: Path,
) -> None:
    node, committing = node_of(modality.address, receiver, database, clock)
    kept, other = film(), film()
    for each in (kept, other):
        send(node.port, content(each))
    ask(node.port, kept)
    committing.step()
    assert modality.reports[0][0] == 1
    for number in (1, 2):
        journal.explained(number, [], ["archive"], bundle_sha256="0", verdict="reliable")
        journal.end_delivery(number, "archive", State.DELIVERED)
    clock.move(10_000 * 86_400)
    Retention(database, films, FileStore(tmp_path / "results"), RetentionSettings(), clock).step()
    assert journal.known(kept.SOPInstanceUID).file is not None  # type: ignore[union-attr]
    assert journal.known(other.SOPInstanceUID) is None
    node.stop()


def test_a_modality_that_is_away_is_told_later(
    modality: Modality, receiver: Receiver, database: Database, clock: MovedClock
) -> None:
    node, committing = node_of("127.0.0.1:1", receiver, database, clock)
    kept = film()
    send(node.port, content(kept))
    ask(node.port, kept)
    assert committing.step()
    assert not committing.step(), "it waits for its time"
    clock.move(61)
    # By another process, after a restart, that finds the modality.
    node.stop()
    node, committing = node_of(modality.address, receiver, database, clock)
    assert committing.step()
    assert [kind for kind, _ in modality.reports] == [1]
    node.stop()


def test_a_modality_that_stays_away_is_given_up(receiver: Receiver, database: Database, clock: MovedClock) -> None:
    node, committing = node_of("127.0.0.1:1", receiver, database, clock)
    ask(node.port, film())
    assert committing.step()
    clock.move(3601)
    assert committing.step()
    assert Commitments(database, clock).due() is None
    node.stop()


def test_a_request_that_says_nothing_is_refused(receiver: Receiver, database: Database, clock: MovedClock) -> None:
    node, _ = node_of(None, receiver, database, clock)
    association = associate(node.port, (STORAGE_COMMITMENT, ExplicitVRLittleEndian))
    action = Dataset()
    action.TransactionUID = generate_uid()
    status, _ = association.send_n_action(action, 1, STORAGE_COMMITMENT, WELL_KNOWN_INSTANCE)
    assert status.Status == 0x0115
    association.release()
    node.stop()


def test_a_peer_that_could_not_be_told_may_not_ask(receiver: Receiver, database: Database, clock: MovedClock) -> None:
    node, committing = node_of(None, receiver, database, clock)
    assert ask(node.port, film()) == 0x0124
    assert not committing.step()
    node.stop()


def test_without_the_setting_nothing_is_committed_to(receiver: Receiver, database: Database, metrics: Metrics) -> None:
    settings = DicomSettings.model_validate({"address": "127.0.0.1:0", "peers": [{"ae_title": "SENDER"}]})
    node = DicomNode(settings, receiver, Commitments(database), metrics)
    association = associate(node.port, (STORAGE_COMMITMENT, ExplicitVRLittleEndian))
    assert not association.accepted_contexts
    association.abort()
    node.stop()
