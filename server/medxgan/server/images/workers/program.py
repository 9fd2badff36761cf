"""The process that workers are forked from: it has imported everything, and never sees a file itself.

A fork takes milliseconds where starting Python takes most of a second, so that each file gets a process of its own.
"""

import encodings
import gc
import json
import logging
import os
import signal
import socket
import sys
import warnings

from medxgan.server.images.limits import ImageLimits
from medxgan.server.images.workers.confinement import drop_privileges
from medxgan.server.images.workers.loading import load_everything
from medxgan.server.images.workers.messages import FORK
from medxgan.server.images.workers.worker import serve_one


def main(control_file: int, settings: str) -> None:
    """Fork a worker whenever the server asks, until it is gone.

    Args:
        control_file: descriptor of the socket to the server.
        settings: JSON with `limits`, `memory_bytes`, `cpu_seconds` and `shared_bytes` of the pool.
    """
    given = json.loads(settings)
    given["limits"] = ImageLimits(**given["limits"])
    control = socket.socket(fileno=control_file)
    # What native libraries print goes nowhere: it may quote the file.
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    logging.disable()
    warnings.simplefilter("ignore")
    load_everything(given["limits"])
    # A file may name a character set that there is not. Looked for where nothing opens, it would be an error of the
    # system's; as one that is not there, pydicom takes its own, and no element of the picture is text anyway.
    encodings.__path__.clear()
    gc.freeze()  # a collection in a worker would copy every page of what was imported
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how a worker ended
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal: the server ends its workers itself
    drop_privileges()
    while True:
        asked, descriptors, _, _ = socket.recv_fds(control, len(FORK), 2)
        if asked != FORK:
            return
        if os.fork() == 0:
            control.close()
            try:
                serve_one(socket.socket(fileno=descriptors[0]), descriptors[1], **given)
            finally:
                os._exit(0)
        for descriptor in descriptors:
            os.close(descriptor)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
