"""Who asks."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

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
