"""Ports for servers that are to have a number before they listen, or that come back under the one they had."""

import random
import socket

BELOW_EPHEMERAL = range(20_000, 32_000)
"""Linux gives nobody these by itself, neither to who listens on port 0 nor to who calls: they stay free until they are
taken, and while a server is away."""


def free_port() -> int:
    """A port of loopback that nobody has."""
    while True:
        port = random.choice(BELOW_EPHEMERAL)
        with socket.socket() as found:
            try:
                found.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
