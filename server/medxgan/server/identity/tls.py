"""The server's certificate and the authority of its clients' certificates, read again when the files change."""

from dataclasses import dataclass
from pathlib import Path

import grpc
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from medxgan.server.identity.reloading import Reloading, SecurityFileError
from medxgan.server.log import get_logger

_log = get_logger(__name__)


@dataclass(frozen=True)
class TlsFiles:
    """PEM files.

    Attributes:
        certificate: of the server, with those between it and its authority.
        key: of the certificate, without a passphrase.
        client_authority: certificates of the authority that clients' certificates come from; a client without one is
            then refused. None: clients show none.
    """

    certificate: Path
    key: Path
    client_authority: Path | None = None


def server_credentials(files: TlsFiles) -> grpc.ServerCredentials:
    """Credentials of a server, with what the files say when a connection begins.

    Raises:
        SecurityFileError: the files can't be used.
    """
    authority = files.client_authority
    named = [files.certificate, files.key, *([] if authority is None else [authority])]
    configuration = Reloading(named, lambda: _configuration(files))
    in_force = configuration.current()

    def changed() -> grpc.ServerCertificateConfiguration | None:
        nonlocal in_force
        before, in_force = in_force, configuration.current()
        return None if in_force is before else in_force

    return grpc.dynamic_ssl_server_credentials(in_force, changed, require_client_authentication=authority is not None)


def _configuration(files: TlsFiles) -> grpc.ServerCertificateConfiguration:
    """What gRPC is given, looked through here: gRPC would find a fault only in the handshakes of clients."""
    chain, key = files.certificate.read_bytes(), files.key.read_bytes()
    leaf, *_ = _certificates(files.certificate, chain)
    try:
        public = load_pem_private_key(key, password=None).public_key()
    except (TypeError, ValueError, UnsupportedAlgorithm) as error:
        raise SecurityFileError(f"{files.key}: expected a private key in PEM, without a passphrase") from error
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if public.public_bytes(*form) != leaf.public_key().public_bytes(*form):
        raise SecurityFileError(f"{files.key}: is not the key of {files.certificate}")
    authority = None
    if files.client_authority is not None:
        authority = files.client_authority.read_bytes()
        _certificates(files.client_authority, authority)
    _log.info("certificate", expires=leaf.not_valid_after_utc.isoformat())
    return grpc.ssl_server_certificate_configuration([(key, chain)], authority)


def _certificates(file: Path, content: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(content)
    except ValueError as error:
        raise SecurityFileError(f"{file}: expected certificates in PEM") from error
