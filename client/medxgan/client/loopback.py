"""Which hosts are this machine, and where films may go: in the clear to it alone."""

import ipaddress
from urllib.parse import urlsplit


def is_loopback(host: str) -> bool:
    """Whether a host, without a port or brackets, is this machine, reached from it alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def keeps_films_private(url: str) -> bool:
    """Whether films may be fetched from an address: https, or http on loopback, since they are patient data."""
    parts = urlsplit(url)
    if not parts.hostname:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname))
