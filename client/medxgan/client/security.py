"""What a connection trusts, and what it shows of its caller."""

import re
from dataclasses import dataclass
from pathlib import Path

import grpc

from medxgan.client.errors import CredentialsError

_THIS_MACHINE = re.compile(r"unix(-abstract)?:.+|(ipv[46]:)?(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?")
"""Addresses that lead nowhere else, whatever a resolver or a proxy says."""
_TOKEN = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True)
class Tls:
    """TLS, by PEM files that are read when the connection is made.

    Attributes:
        authority: certificates of the authority that the server's comes from; None for those that gRPC trusts: the
            list that came with it, or the file that GRPC_DEFAULT_SSL_ROOTS_FILE_PATH names.
        certificate: of the caller, where the server asks for one (mutual TLS).
        key: of that certificate, without a passphrase.
    """

    authority: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    def credentials(self) -> grpc.ChannelCredentials:
        """What gRPC opens a channel with.

        Raises:
            CredentialsError: a file can't be read, or a certificate stands without its key.
        """
        if (self.certificate is None) != (self.key is None):
            raise CredentialsError("a certificate of the caller goes with its key, and a key with its certificate")
        return grpc.ssl_channel_credentials(_content(self.authority), _content(self.key), _content(self.certificate))


def refuse_in_the_clear(address: str) -> None:
    """Check that what is secret may be sent to an address without TLS.

    Raises:
        CredentialsError: the address is beyond this machine.
    """
    if _THIS_MACHINE.fullmatch(address) is None:
        raise CredentialsError(f"a token is not sent to {address} in the clear: use TLS")


def bearer(token: str | Path) -> str:
    """The header `authorization` for a token, or for the one that a file holds now.

    Raises:
        CredentialsError: the file can't be read, or there is no token in it.
    """
    text = token
    if isinstance(token, Path):
        try:
            text = token.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise CredentialsError(f"{token}: no token can be read there") from error
    if _TOKEN.fullmatch(str(text)) is None:
        raise CredentialsError("expected a token: printable characters of ASCII, without blanks")
    return f"Bearer {text}"


def _content(file: Path | None) -> bytes | None:
    if file is None:
        return None
    try:
        return file.read_bytes()
    except OSError as error:
        raise CredentialsError(f"{file}: {error.strerror}") from error
