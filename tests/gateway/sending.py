"""A modality that sends films, as a DICOM node of its own."""

import io
import ssl

import pydicom
import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE
from pynetdicom.association import Association

TITLE = "SENDER"

leaves_sockets = [
    pytest.mark.filterwarnings("ignore:unclosed <(socket|ssl):ResourceWarning"),
    pytest.mark.usefixtures("collected_sockets"),
]
"""Where nobody listens, or TLS fails, pynetdicom leaves the socket to the garbage collector."""


def associate(
    port: int,
    *contexts: tuple[str, str],
    title: str = TITLE,
    called: str = "MEDXGAN",
    tls: ssl.SSLContext | None = None,
) -> Association:
    """Ask for an association with SOP classes in transfer syntaxes."""
    node = AE(title)
    node.acse_timeout = node.dimse_timeout = node.network_timeout = 30
    for sop_class, syntax in contexts:
        node.add_requested_context(sop_class, syntax)
    return node.associate("127.0.0.1", port, ae_title=called, tls_args=None if tls is None else (tls, "localhost"))


def send(port: int, content: bytes, *, title: str = TITLE) -> int | None:
    """Send a DICOM file; gives the status that was answered, None where no answer came."""
    film = pydicom.dcmread(io.BytesIO(content))
    association = associate(port, (film.SOPClassUID, film.file_meta.TransferSyntaxUID), title=title)
    if not association.is_established:
        return None
    try:
        status: Dataset = association.send_c_store(film)
        return int(status.Status) if "Status" in status else None
    finally:
        association.release()
