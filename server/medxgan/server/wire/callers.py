"""Who asks."""

import grpc


def caller_of(context: grpc.aio.ServicerContext) -> str:
    """The address without the port, so that one who opens many connections is still one caller."""
    peer: str = context.peer()
    return peer.rpartition(":")[0] if peer.startswith(("ipv4:", "ipv6:")) else peer
