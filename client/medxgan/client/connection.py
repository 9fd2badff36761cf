"""How a client reaches its server: what `Client` and `AsyncClient` have in common."""

import ipaddress
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

from medxgan.client.errors import UnavailableError
from medxgan.client.loopback import is_loopback
from medxgan.client.retries import Tries
from medxgan.client.security import Tls, bearer, refuse_in_the_clear
from medxgan.client.tracing import trace_headers
from medxgan.v1 import explanation_pb2_grpc

KEEPALIVE = 310.0
"""Seconds without traffic after which a connection in use is checked.

A gRPC server that is set up no further closes the connection of a client that checks more often than every 300 seconds
(gRPC's keepalive guide, GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS); ten more make up for delays on the way.
"""
KEEPALIVE_TIMEOUT = 20.0
"""Seconds for the answer to a check, after which the connection counts as dead; for sent data that nobody confirms too
(TCP_USER_TIMEOUT, which gRPC sets with keepalive)."""

CONNECT_TIMEOUT = 5.0
"""Seconds for one attempt to connect, TLS included; gRPC's 20 outlast the patience with a server that is away."""

PROXY_VARIABLES = ("grpc_proxy", "https_proxy", "http_proxy")
EXCEPTION_VARIABLES = ("no_grpc_proxy", "no_proxy")
"""What gRPC takes a proxy from, and the hosts that it reaches without one: of each the first that is set."""


class Connection:
    """A connection to a medxgan server.

    Args:
        address: HOST:PORT, or another name that gRPC knows, such as unix:PATH. Loopback is reached past any proxy.
        timeout: seconds for one method, its retries included.
        patience: seconds, from the first failure on, in which a call is made again where the server was away or busy,
            within `timeout`; 0 for never. Calls change nothing on the server.
        tls: whom to trust, and the caller's certificate; None sends in the clear.
        token: shows who calls: a bearer token, or the file that holds it, which is read again for every call. Without
            TLS it goes to this machine alone.
        metadata: sent with every call.
        keepalive: seconds without traffic after which a connection in use is checked. Where the server allows it, a
            smaller number finds a dead server sooner.

    Raises:
        CredentialsError: a file of `tls` can't be used, or a token would go out in the clear.
    """

    _grpc: ClassVar[Any]
    """The module that opens channels: `grpc`, or `grpc.aio`."""

    def __init__(
        self,
        address: str,
        *,
        timeout: float = 300.0,
        patience: float = 15.0,
        tls: Tls | None = None,
        token: str | Path | None = None,
        metadata: Mapping[str, str] | None = None,
        keepalive: float = KEEPALIVE,
    ) -> None:
        self._metadata = tuple((name.lower(), value) for name, value in (metadata or {}).items())
        self._token = token
        self._closed = False
        if tls is None and (token is not None or any(name == "authorization" for name, _ in self._metadata)):
            refuse_in_the_clear(address)
        options = [
            # Maps are as large as the bundle makes them, and the caller has chosen this server.
            ("grpc.max_receive_message_length", -1),
            # A server that starts again is found within a second.
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 1000),
            # By this name gRPC has the time for one attempt.
            ("grpc.min_reconnect_backoff_ms", round(CONNECT_TIMEOUT * 1000)),
            # Another try is made by `Tries`. gRPC's own, unseen, lost a stream that a restarting server had cut off:
            # neither an answer nor its deadline ever came.
            ("grpc.enable_retries", 0),
            ("grpc.keepalive_time_ms", round(keepalive * 1000)),
            ("grpc.keepalive_timeout_ms", round(KEEPALIVE_TIMEOUT * 1000)),
            ("grpc.keepalive_permit_without_calls", 0),
            # gRPC would stop checking a long silent call after two checks.
            ("grpc.http2.max_pings_without_data", 0),
        ]
        if _is_here(_host(address)):
            options.append(("grpc.enable_http_proxy", 0))
        self._channel = (
            self._grpc.secure_channel(address, tls.credentials(), options=options)
            if tls is not None
            else self._grpc.insecure_channel(address, options=options)
        )
        self._stub = explanation_pb2_grpc.ExplanationServiceStub(self._channel)  # type: ignore[no-untyped-call]
        self._address, self._timeout, self._patience = address, timeout, patience

    def _headers(self) -> tuple[tuple[str, str], ...]:
        """What goes with one call: a token that a file holds may have been exchanged since the last."""
        token = () if self._token is None else (("authorization", bearer(self._token)),)
        return (*self._metadata, *trace_headers(), *token)

    def _tries(self) -> Tries:
        if self._closed:
            raise UnavailableError("the client was closed")
        return Tries(self._timeout, self._patience, hint=proxy_hint(self._address), is_closed=lambda: self._closed)


def proxy_hint(address: str) -> str:
    """A sentence that names the variable by which calls to `address` go through a proxy; empty where none does."""
    variable = next((name for name in PROXY_VARIABLES if os.environ.get(name)), None)
    host = _host(address)
    if variable is None or not host or _is_here(host):
        return ""
    excluded = next((os.environ[name] for name in EXCEPTION_VARIABLES if os.environ.get(name)), "")
    if any(_covers(part.strip(), host) for part in excluded.split(",")):
        return ""
    return (
        f"the variable {variable} sends calls to {host} through a proxy; where the server is to be reached directly, "
        f"add {host} to no_proxy"
    )


def _host(address: str) -> str:
    """The host of an address; empty for a socket file."""
    if address.startswith(("unix:", "unix-abstract:")):
        return ""
    return urlsplit("//" + re.sub(r"^(dns:(//[^/]*/)?|ipv4:|ipv6:)", "", address)).hostname or ""


def _is_here(host: str) -> bool:
    """Whether gRPC is to reach a host without a proxy: also a name below `localhost` (RFC 6761)."""
    return is_loopback(host) or host.endswith(".localhost")


def _covers(exception: str, host: str) -> bool:
    """Whether gRPC takes a part of no_proxy for this host: the end of its name, or a network such as 10.0.0.0/8."""
    if exception and host.endswith(exception):
        return True
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(exception, strict=False)
    except ValueError:
        return False
