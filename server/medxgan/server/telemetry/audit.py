"""The audit trail: who asked for what, and what was answered, in a file that shows whether it was changed.

A line is a record in JSON. It holds the hash of the line before, and its own over everything else in it, so that a line
that is changed, taken out or put in between breaks the chain from there on. What a chain can't show is that its end was
cut off, or that all of it was written anew: that takes a hash that was noted elsewhere, to look for.
"""

import fcntl
import hashlib
import json
import os
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from medxgan.server.errors import AuditError

FIRST = "0" * 64
"""Stands for the hash of the line before the first."""


@dataclass(frozen=True)
class Verified:
    """A trail that was checked.

    Attributes:
        records: that are whole and in their place.
        last_hash: of the last of them.
        broken: the number of the first line, from 1, that is not, and what is wrong with it; None where all are.
        holds_noted: whether one of them has the hash that was looked for.
    """

    records: int
    last_hash: str
    broken: tuple[int, str] | None = None
    holds_noted: bool = False


class AuditTrail:
    """Appends to a trail. Only one process may have it open.

    Args:
        file: the trail; made, or gone on with.

    Raises:
        AuditError: it can't be written, another process writes it, or its chain is broken.
    """

    def __init__(self, file: Path) -> None:
        try:
            # Nobody but the server's user may read who was examined when.
            descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError as error:
            raise AuditError(f"{file}: can't be written ({error.strerror})") from error
        # No buffer: what could not be written may not be tried again behind the next record's back.
        self._file = os.fdopen(descriptor, "ab+", buffering=0)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._file.close()
            raise AuditError(f"{file}: another process writes it") from error
        try:
            self._end = _whole(file)
            self._cut_off_torn_line()
        except OSError as error:
            self._file.close()
            raise AuditError(f"{file}: can't be written ({error.strerror})") from error
        found = verify(file)
        if found.broken is not None:
            self._file.close()
            raise AuditError(f"{file}: line {found.broken[0]}: {found.broken[1]}")
        self._last_hash = found.last_hash
        self._lock = threading.Lock()

    @property
    def last_hash(self) -> str:
        """Of the last line: noted elsewhere, it shows later that the end was not cut off."""
        return self._last_hash

    def append(self, record: Mapping[str, object]) -> str:
        """Write a record and wait until it is on the disk.

        Args:
            record: JSON values by name; `time`, `previous` and `hash` are put to it.

        Returns:
            The hash of the line.

        Raises:
            AuditError: it could not be written; then nothing of it is in the trail.
        """
        with self._lock:
            line = {"time": datetime.now(UTC).isoformat(), **record, "previous": self._last_hash}
            line["hash"] = _hash(line)
            try:
                self._cut_off_torn_line()
                self._write(json.dumps(line).encode() + b"\n")
            except OSError as error:
                raise AuditError(f"the audit trail can't be written ({error.strerror})") from error
            self._last_hash = str(line["hash"])
            return self._last_hash

    def close(self) -> None:
        """Let another process have the trail. May be called again."""
        self._file.close()

    def _write(self, line: bytes) -> None:
        """Write a line and wait for the disk, or leave the trail as it was. A full disk may take a part of it."""
        before = self._file.seek(0, os.SEEK_END)
        try:
            rest = memoryview(line)
            while rest:
                rest = rest[self._file.write(rest) :]
            os.fsync(self._file.fileno())
        except OSError:
            with suppress(OSError):  # then it is tried again before the next line
                self._file.truncate(before)
            raise
        self._end = before + len(line)

    def _cut_off_torn_line(self) -> None:
        """Cut off what stands behind the last whole line, whose answer was never given."""
        if self._file.seek(0, os.SEEK_END) > self._end:
            self._file.truncate(self._end)


def verify(file: Path, noted: str = "") -> Verified:
    """Check the chain of a trail.

    Args:
        file: the trail.
        noted: a hash to look for among those of its whole lines.

    Raises:
        AuditError: the file can't be read.
    """
    records, last_hash, holds = 0, FIRST, False
    try:
        with file.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                try:
                    last_hash = _checked(line.removesuffix(b"\n"), last_hash)
                except _BrokenLineError as broken:
                    return Verified(records, last_hash, (number, str(broken)), holds)
                records, holds = number, holds or last_hash == noted
    except OSError as error:
        raise AuditError(f"{file}: can't be read ({error.strerror})") from error
    return Verified(records, last_hash, holds_noted=holds)


def _whole(file: Path) -> int:
    """Bytes of the lines that have their end. One without was being written when the process died."""
    with file.open("rb") as lines:
        return sum(len(line) for line in lines if line.endswith(b"\n"))


class _BrokenLineError(Exception):
    """A line is not as it was written; says why."""


def _checked(written: bytes, last_hash: str) -> str:
    """The hash of a line that is as it was written after the one with `last_hash`."""
    try:
        line = json.loads(written)
    except (ValueError, RecursionError):
        line = None
    if not isinstance(line, dict):
        raise _BrokenLineError("expected a record in JSON")
    # A record has one form. In another, such as one with a name twice, a reader could see what was not hashed.
    if json.dumps(line).encode() != written:
        raise _BrokenLineError("it was changed")
    if line.get("previous") != last_hash:
        raise _BrokenLineError("the line before is not the one that it was written after")
    own = _hash({name: value for name, value in line.items() if name != "hash"})
    if line.get("hash") != own:
        raise _BrokenLineError("it was changed")
    return own


def _hash(line: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps(line, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
