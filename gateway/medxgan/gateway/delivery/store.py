"""Delivery by C-STORE."""

from collections.abc import Sequence

from pydicom.dataset import Dataset
from pynetdicom import AE

from medxgan.gateway.delivery.answers import Answer, Answers, DestinationAwayError, answer_of
from medxgan.gateway.settings import DicomDestination, host_and_port
from medxgan.gateway.tls import requestor

_NOT_SUPPORTED = 0x0122
"""SOP class not supported (DICOM PS3.7, annex C)."""


class StoreSender:
    """Sends objects to a DICOM node.

    Args:
        settings: of the destination.
    """

    def __init__(self, settings: DicomDestination) -> None:
        self._settings = settings

    def send(self, objects: Sequence[Dataset]) -> Answers:
        """Send objects on one association.

        Returns:
            The answers that came; one that ended the association has none.

        Raises:
            DestinationAwayError: there is no association, or a file of TLS can't be used.
        """
        settings = self._settings
        host, port = host_and_port(settings.address)
        node = AE(settings.calling)
        node.acse_timeout = node.dimse_timeout = node.network_timeout = node.connection_timeout = settings.timeout_s
        for sop_class, syntax in dict.fromkeys(
            (each.SOPClassUID, each.file_meta.TransferSyntaxUID) for each in objects
        ):
            node.add_requested_context(sop_class, syntax)
        try:
            tls = None if settings.tls is None else (requestor(settings.tls), host)
        except OSError as error:
            raise DestinationAwayError("a file of TLS can't be used") from error
        association = node.associate(host, port, ae_title=settings.ae_title, tls_args=tls)
        if not association.is_established:
            raise DestinationAwayError("rejects the association" if association.is_rejected else "no association")
        answers: dict[str, Answer] = {}
        try:
            for each in objects:
                try:
                    status = association.send_c_store(each)
                except ValueError:
                    # No context was accepted for it.
                    answers[each.SOPInstanceUID] = answer_of(_NOT_SUPPORTED)
                    continue
                except RuntimeError:
                    # The association has ended; what is left is sent on the next.
                    break
                if "Status" in status:
                    answers[each.SOPInstanceUID] = answer_of(status.Status)
        finally:
            if association.is_established:
                association.release()
        return answers
