"""The DICOM node that modalities and archives send to: C-STORE, C-ECHO, storage commitment."""

from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

from pydicom.dataset import Dataset
from pydicom.uid import AllTransferSyntaxes
from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.association import Association
from pynetdicom.events import Event
from pynetdicom.transport import ThreadedAssociationServer

from medxgan.gateway.intake.commitment import STORAGE_COMMITMENT
from medxgan.gateway.intake.reception import Receiver, Reception
from medxgan.gateway.journal.commitments import Commitments
from medxgan.gateway.settings import DicomSettings, host_and_port
from medxgan.gateway.telemetry.log import get_logger
from medxgan.gateway.telemetry.metrics import Metrics
from medxgan.gateway.tls import acceptor

log = get_logger(__name__)

VERIFICATION = "1.2.840.10008.1.1"

SUCCESS = 0x0000
OUT_OF_RESOURCES = 0xA700
MISMATCH = 0xA900
CANNOT_UNDERSTAND = 0xC000
OTHER_PIXELS = 0xC111
"""A failure of the class "cannot understand" (DICOM PS3.4, B.2.3), which a sender does not repeat by itself."""
TOO_LARGE = 0xC112
"""Of the same class: A700 would have it sent again and again."""
PROCESSING_FAILURE = 0x0110
UNRECOGNISED_OPERATION = 0x0211
INVALID_ARGUMENT = 0x0115
NOT_AUTHORISED = 0x0124

STATUS: Mapping[Reception, int] = {
    Reception.TAKEN: SUCCESS,
    Reception.REPEATED: SUCCESS,
    Reception.IGNORED: SUCCESS,
    Reception.OTHER_PIXELS: OTHER_PIXELS,
    Reception.MISMATCHED: MISMATCH,
    Reception.UNREADABLE: CANNOT_UNDERSTAND,
    Reception.TOO_LARGE: TOO_LARGE,
    Reception.NO_ROOM: OUT_OF_RESOURCES,
}
"""The one table from what became of an object to the answer."""


class DicomNode:
    """Listens until it is stopped; each association has a thread.

    Args:
        settings: of the node.
        receiver: takes the objects in.
        commitments: where storage commitment is noted.
        metrics: where rejections are counted.

    Raises:
        OSError: the address can't be listened on, or a file of TLS can't be used.
    """

    def __init__(self, settings: DicomSettings, receiver: Receiver, commitments: Commitments, metrics: Metrics) -> None:
        self._receiver, self._commitments, self._metrics = receiver, commitments, metrics
        self._arrived: WeakKeyDictionary[Association, int] = WeakKeyDictionary()
        self._told = {peer.ae_title for peer in settings.peers if peer.address is not None}
        node = AE(settings.ae_title)
        node.require_called_aet = True
        node.require_calling_aet = [peer.ae_title for peer in settings.peers]
        node.maximum_associations = settings.maximum_associations
        node.network_timeout = settings.idle_s
        node.dimse_timeout = settings.idle_s
        for context in AllStoragePresentationContexts:
            # Nothing is decoded on the way in, so that any encoding may come.
            node.add_supported_context(str(context.abstract_syntax), AllTransferSyntaxes)
        node.add_supported_context(VERIFICATION)
        if settings.storage_commitment:
            node.add_supported_context(STORAGE_COMMITMENT)
        server = node.start_server(
            host_and_port(settings.address),
            block=False,
            ssl_context=None if settings.tls is None else acceptor(settings.tls),
            evt_handlers=[
                (evt.EVT_C_STORE, self._store),
                (evt.EVT_N_ACTION, self._commit),
                (evt.EVT_REJECTED, self._rejected),
                (evt.EVT_DATA_RECV, self._count),
                (evt.EVT_DIMSE_RECV, self._end_count),
            ],
        )
        assert isinstance(server, ThreadedAssociationServer)  # noqa: S101 - it does not block
        self._node, self._server = node, server

    @property
    def port(self) -> int:
        """That it listens on."""
        return int(self._server.server_address[1])

    def stop(self) -> None:
        """Answer no more; associations are aborted, and what they were sending is sent again by their peers."""
        self._node.shutdown()

    def _store(self, event: Event) -> int:
        request: Any = event.request
        announced = (str(request.AffectedSOPClassUID), str(request.AffectedSOPInstanceUID))
        try:
            reception = self._receiver.receive(event.encoded_dataset(), "dicom", announced)
        except Exception as fault:  # noqa: BLE001 - the peer keeps the film, and the next may pass
            self._metrics.fault("dicom")
            log.error("an object could not be taken", fault=type(fault).__name__)
            return PROCESSING_FAILURE
        return STATUS[reception]

    def _count(self, event: Event) -> None:
        """Bound what is held of a message that has not ended: pynetdicom keeps all of it in memory.

        What is a little too large is let in, to be answered; beyond that the association ends.
        """
        before, most = self._arrived.get(event.assoc, 0), 2 * self._receiver.largest_bytes
        self._arrived[event.assoc] = arrived = before + len(event.data)
        if before <= most < arrived:
            self._receiver.refuse("dicom")
            event.assoc.abort()

    def _end_count(self, event: Event) -> None:
        self._arrived[event.assoc] = 0

    def _commit(self, event: Event) -> tuple[int, Dataset | None]:
        try:
            information = event.action_information
            transaction = str(information.TransactionUID)
            instances = [
                (str(item.ReferencedSOPClassUID), str(item.ReferencedSOPInstanceUID))
                for item in information.ReferencedSOPSequence
            ]
        except Exception:  # noqa: BLE001 - a damaged request fails in whatever way pydicom does
            return INVALID_ARGUMENT, None
        if event.action_type != 1:
            return UNRECOGNISED_OPERATION, None
        peer = event.assoc.requestor.ae_title.strip()
        if peer not in self._told:
            return NOT_AUTHORISED, None
        self._commitments.ask(transaction, peer, instances)
        return SUCCESS, None

    def _rejected(self, _event: Event) -> None:
        self._metrics.rejected()
        log.warning("association rejected")
