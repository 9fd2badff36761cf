"""What may be said where a setting is an address."""

import ipaddress
import re
from typing import Annotated

from pydantic import AfterValidator


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, reached from it alone."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def stays_on_this_machine(address: str) -> bool:
    """Whether what listens on an address is reached from this machine alone."""
    return address.startswith(("unix:", "unix-abstract:")) or is_loopback(address.rpartition(":")[0])


def _listenable(address: str) -> str:
    if address.startswith(("unix:", "unix-abstract:")):
        return address
    matched = re.fullmatch(r"\S+:(\d{1,5})", address)
    if matched is None or int(matched[1]) > 65_535:
        raise ValueError("expected HOST:PORT with a port from 0 to 65535, or unix:PATH")
    return address


def _host_and_port(address: str) -> str:
    if address.startswith("unix"):
        raise ValueError("expected HOST:PORT with a port from 0 to 65535")
    return _listenable(address) if address else address


def _collector(endpoint: str) -> str:
    if endpoint and re.fullmatch(r"https?://[^\s/?#@]+:\d{1,5}/?", endpoint) is None:
        raise ValueError("expected http://HOST:PORT or https://HOST:PORT")
    return endpoint


Address = Annotated[str, AfterValidator(_listenable)]
"""HOST:PORT or unix:PATH."""

OptionalAddress = Annotated[str, AfterValidator(_host_and_port)]
"""HOST:PORT or nothing."""

OptionalCollector = Annotated[str, AfterValidator(_collector)]
"""URL of a host and a port, or nothing."""
