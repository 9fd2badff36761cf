"""TLS between DICOM nodes: both sides show a certificate of an authority that the other trusts (DICOM PS3.15, B.9)."""

import ssl

from medxgan.gateway.settings import TlsFiles


def acceptor(files: TlsFiles) -> ssl.SSLContext:
    """For a node that is called."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=files.authority)
    context.verify_mode = ssl.CERT_REQUIRED
    return _with_certificate(context, files)


def requestor(files: TlsFiles) -> ssl.SSLContext:
    """For a node that calls; the called one's certificate has to name its host."""
    return _with_certificate(ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=files.authority), files)


def _with_certificate(context: ssl.SSLContext, files: TlsFiles) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(files.certificate, files.key)
    return context
