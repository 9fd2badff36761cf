"""Storage commitment: peers hear which of their films are kept here (DICOM PS3.4, annex J)."""

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pynetdicom import AE
from pynetdicom.pdu_primitives import SCP_SCU_RoleSelectionNegotiation
from pynetdicom.presentation import build_role

from medxgan.gateway.clock import Clock
from medxgan.gateway.journal.commitments import Commitments
from medxgan.gateway.journal.journal import Journal
from medxgan.gateway.journal.records import Commitment
from medxgan.gateway.retries import delay, is_over
from medxgan.gateway.settings import DicomSettings, RetrySettings, host_and_port
from medxgan.gateway.telemetry.log import get_logger
from medxgan.gateway.tls import requestor

log = get_logger(__name__)

STORAGE_COMMITMENT = "1.2.840.10008.1.20.1"
WELL_KNOWN_INSTANCE = "1.2.840.10008.1.20.1.1"
COMPLETE, FAILURES_EXIST = 1, 2
NO_SUCH_OBJECT = 0x0112
TIMEOUT_S = 30.0


class Committing:
    """Tells peers, one commitment at a time, on an association of its own.

    Args:
        journal: that says which films are kept.
        commitments: that wait.
        settings: of this node, with the peers' addresses.
        retries: when a peer that could not be told is told again.
        clock: by which that is reckoned.
    """

    def __init__(
        self,
        journal: Journal,
        commitments: Commitments,
        settings: DicomSettings,
        retries: RetrySettings,
        clock: Clock,
    ) -> None:
        self._journal, self._commitments, self._settings = journal, commitments, settings
        self._retries, self._clock = retries, clock

    def step(self) -> bool:
        """Tell one peer; false where none waits."""
        commitment = self._commitments.due()
        if commitment is None:
            return False
        now = self._clock()
        first_failed = now if commitment.first_failed is None else commitment.first_failed
        address = next((peer.address for peer in self._settings.peers if peer.ae_title == commitment.peer), None)
        if address is not None and self._told(commitment, address):
            self._commitments.end(commitment)
            log.info("storage commitment told", instances=len(commitment.instances))
        elif address is None or is_over(self._retries, first_failed, now):
            self._commitments.end(commitment)
            log.error("storage commitment could not be told", has_address=address is not None)
        else:
            self._commitments.postpone(commitment, first_failed, now + delay(self._retries, commitment.attempts))
        return True

    def _told(self, commitment: Commitment, address: str) -> bool:
        kept = self._commitments.take_responsibility(uid for _, uid in commitment.instances)
        report = Dataset()
        report.TransactionUID = commitment.transaction_uid
        report.ReferencedSOPSequence = _references(commitment, kept, has_reason=False)
        lost = [uid for _, uid in commitment.instances if uid not in kept]
        if lost:
            report.FailedSOPSequence = _references(commitment, frozenset(lost), has_reason=True)
        node = AE(self._settings.ae_title)
        node.acse_timeout = node.dimse_timeout = node.network_timeout = node.connection_timeout = TIMEOUT_S
        node.add_requested_context(STORAGE_COMMITMENT)
        role: SCP_SCU_RoleSelectionNegotiation = build_role(STORAGE_COMMITMENT, scp_role=True)
        host, port = host_and_port(address)
        tls = self._settings.tls
        association = node.associate(
            host,
            port,
            ae_title=commitment.peer,
            ext_neg=[role],
            tls_args=None if tls is None else (requestor(tls), host),
        )
        if not association.is_established:
            return False
        try:
            status, _ = association.send_n_event_report(
                report, FAILURES_EXIST if lost else COMPLETE, STORAGE_COMMITMENT, WELL_KNOWN_INSTANCE
            )
            return "Status" in status and status.Status == 0
        except (RuntimeError, ValueError):
            return False
        finally:
            association.release()


def _references(commitment: Commitment, chosen: frozenset[str], *, has_reason: bool) -> Sequence:
    items = []
    for sop_class, uid in commitment.instances:
        if uid in chosen:
            item = Dataset()
            item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, uid
            if has_reason:
                item.FailureReason = NO_SUCH_OBJECT
            items.append(item)
    return Sequence(items)
