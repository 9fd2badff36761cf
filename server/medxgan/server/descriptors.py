"""File descriptors: each connection takes one, and a process that has none left can't decode a file either."""

import resource

from medxgan.server.log import get_logger

OTHER_DESCRIPTORS = 512
"""For all that is no connection: files, pipes to the processes that decode, ONNX Runtime."""

_log = get_logger(__name__)


def allow_connections(count: int) -> None:
    """Let this process have the descriptors that so many connections take, as far as the hard limit goes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + OTHER_DESCRIPTORS
    if hard != resource.RLIM_INFINITY and hard < wanted:
        _log.warning("few_descriptors", limit=hard, wanted=wanted)
        wanted = hard
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
