"""Who asks."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from ipaddress import IPv6Address, IPv6Network
from urllib.parse import unquote

import grpc

_identity: ContextVar[str] = ContextVar("identity", default="")


@contextmanager
def known_as(identity: str) -> Iterator[None]:
    """The calls in this context come from that identity."""
    token = _identity.set(identity)
    try:
        yield
    finally:
        _identity.reset(token)


def current_identity() -> str:
    """The name of the identity that calls in this context; empty where the server asks for none."""
    return _identity.get()


def caller_of(context: grpc.aio.ServicerContext) -> str:
    """The identity, where the server asks for one.

    Else the address without the port, so that one who opens many connections is still one caller.
    """
    if identity := _identity.get():
        return identity
    peer: str = context.peer()
    return peer.rpartition(":")[0] if peer.startswith(("ipv4:", "ipv6:")) else peer


def counted_as(caller: str) -> str:
    """Whose share a caller takes of what is bounded by caller.

    Whoever has one IPv6 address has the 2^64 of its network: they are one caller.
    """
    if not caller.startswith("ipv6:"):
        return caller
    try:
        address = IPv6Address(unquote(caller.removeprefix("ipv6:")).strip("[]"))
    except ValueError:
        return caller
    if address.ipv4_mapped is not None:
        return f"ipv4:{address.ipv4_mapped}"
    if address.is_loopback or address.is_link_local:  # other machines have these too
        return caller
    return f"ipv6:{IPv6Network((address, 64), strict=False)}"
