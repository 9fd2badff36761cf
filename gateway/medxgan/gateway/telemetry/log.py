"""Log lines of the gateway: structured, and without anything of a film, a patient or what a peer says.

A film is named by its number in the journal.
"""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import structlog

LogFormat = Literal["console", "json"]

_SHARED: list[structlog.typing.Processor] = [
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]

_TALKATIVE = ("pynetdicom", "pydicom", "dicomweb_client", "py.warnings", "urllib3", "highdicom", "grpc")
"""Libraries whose lines may quote an object, a peer or an address with UIDs in it."""


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """A structured logger of that name, for use as `log.info("event", key=value)`."""
    logger: structlog.stdlib.BoundLogger = structlog.wrap_logger(
        logging.getLogger(name),
        wrapper_class=structlog.stdlib.BoundLogger,
        processors=[
            structlog.stdlib.filter_by_level,
            *_SHARED,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
    )
    return logger


@contextmanager
def logging_to_standard_error(form: LogFormat) -> Iterator[None]:
    """Write this process's log lines to standard error; what libraries say of objects and peers is not written."""
    renderer = (
        structlog.processors.JSONRenderer()
        if form == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    writer = logging.StreamHandler()
    writer.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_SHARED,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.basicConfig(level=logging.WARNING, handlers=[writer], force=True)
    logging.getLogger("medxgan").setLevel(logging.INFO)
    # A warning of pydicom quotes the value that it warns of.
    logging.captureWarnings(capture=True)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logging.captureWarnings(capture=False)
