"""TLS between DICOM nodes: both sides show a certificate of an authority that the other trusts (DICOM PS3.15, B.9)."""

import socket
import ssl
from typing import Any

from medxgan.gateway.settings import TlsFiles

RECEIVE_S = 30.0
"""Seconds in which a caller has to send what it has begun, the handshake included."""


class _AcceptorContext(ssl.SSLContext):
    """Leaves the handshake to the thread of the association.

    pynetdicom takes all connections on one thread, on which a caller that says nothing would hold up all others.
    """

    def wrap_socket(self, sock: socket.socket, *arguments: Any, **options: Any) -> ssl.SSLSocket:
        """Wrap a connection; the first that is read of it shakes hands."""
        sock.settimeout(RECEIVE_S)
        return super().wrap_socket(sock, *arguments, **options | {"do_handshake_on_connect": False})


def acceptor(files: TlsFiles) -> ssl.SSLContext:
    """For a node that is called."""
    context = _AcceptorContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_verify_locations(files.authority)
    context.verify_mode = ssl.CERT_REQUIRED
    return _with_certificate(context, files)


def requestor(files: TlsFiles) -> ssl.SSLContext:
    """For a node that calls; the called one's certificate has to name its host."""
    return _with_certificate(ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=files.authority), files)


def _with_certificate(context: ssl.SSLContext, files: TlsFiles) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(files.certificate, files.key)
    return context
