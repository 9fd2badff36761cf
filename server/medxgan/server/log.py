"""Log lines of the server: structured, and without anything of an image or a patient.

The library logs through the standard library's `logging`, so that an embedding program decides what is shown;
`logging_to_standard_error` makes that decision for `medxgan serve`.
"""

import logging
import queue
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from logging.handlers import QueueHandler, QueueListener

import structlog

from medxgan.server.settings import LogFormat, LogLevel

MAXIMUM_WAITING_LINES = 10_000
"""Lines that may wait for a slow reader of standard error; further ones are dropped and counted."""

LAST_LINES_SECONDS = 2.0
"""Seconds that the last lines have to be written when the process ends."""

_SHARED: list[structlog.typing.Processor] = [
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """A structured logger of that name, for use as `log.info("event", key=value)`."""
    logger: structlog.stdlib.BoundLogger = structlog.wrap_logger(
        logging.getLogger(name),
        wrapper_class=structlog.stdlib.BoundLogger,
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.contextvars.merge_contextvars,
            *_SHARED,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
    )
    return logger


@contextmanager
def logging_to_standard_error(form: LogFormat, level: LogLevel) -> Iterator[None]:
    """Write this process's log lines to standard error; other libraries speak from warnings up.

    A thread of its own writes them: a reader that does not read never holds a request up. On leaving, it gets a moment
    to write what still waits.
    """
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
    waiting: queue.Queue[logging.LogRecord] = queue.Queue(MAXIMUM_WAITING_LINES)
    logging.basicConfig(level=logging.WARNING, handlers=[DroppingHandler(waiting)], force=True)
    logging.getLogger("medxgan").setLevel(level.upper())
    QueueListener(waiting, writer).start()
    try:
        yield
    finally:
        end = time.monotonic() + LAST_LINES_SECONDS
        while waiting.unfinished_tasks and time.monotonic() < end:
            time.sleep(0.01)


class DroppingHandler(QueueHandler):
    """Hands lines to the thread that writes them, and drops what it can't take; the next line that passes says so.

    Attributes:
        dropped: lines dropped since one last passed.
    """

    dropped = 0

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        """Leave the line as it is: it is rendered by the thread that writes it."""
        if self.dropped and isinstance(record.msg, dict):
            record.msg = record.msg | {"lines_dropped_before": self.dropped}
        return record

    def enqueue(self, record: logging.LogRecord) -> None:
        """Hand a line over, or drop it."""
        try:
            self.queue.put_nowait(record)
        except queue.Full:
            self.dropped += 1
        else:
            self.dropped = 0
