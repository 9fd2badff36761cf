"""The one SQLite file of a gateway."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

BUSY_S = 30.0
"""Seconds to wait for another process, such as `medxgan gateway retry`, that writes."""

Execute = Callable[..., sqlite3.Cursor]
"""Runs a statement with the values of its question marks."""


def journal_file(folder: Path) -> Path:
    """Where it is in a gateway's folder."""
    return folder / "journal.sqlite"


class Database:
    """Opens the file; several threads may share one object, and several processes one file.

    Args:
        file: made where it is not there.
    """

    def __init__(self, file: Path) -> None:
        self._lock = threading.RLock()
        self._connection = sqlite3.connect(file, timeout=BUSY_S, check_same_thread=False, isolation_level=None)
        self._connection.row_factory = sqlite3.Row
        # A transaction that has ended outlives a power cut.
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
            self._connection.execute(f"PRAGMA {pragma}")
        schema = files("medxgan.gateway.journal").joinpath("schema.sql").read_text(encoding="utf-8")
        self._connection.executescript(schema)
        file.chmod(0o600)

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._connection.close()

    def rows(self, query: str, *values: object) -> list[Any]:
        """What a query finds."""
        with self._lock:
            return self._connection.execute(query, values).fetchall()

    @contextmanager
    def transaction(self) -> Iterator[Execute]:
        """Statements that hold together: all of them are on the disk at its end, or none."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield lambda query, *values: self._connection.execute(query, values)
                self._connection.commit()
            except BaseException:
                self._connection.rollback()
                raise


def is_full(error: BaseException) -> bool:
    """Whether there was no room on the disk: then nothing was written, where of another error nobody can say so."""
    return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
