"""The weights of a bundle in one file, each stored once for all graphs."""

import hashlib
from pathlib import Path

ALIGNMENT = 4096
"""Offsets are multiples of a page of memory, so that a runtime can map a weight instead of reading it."""

SMALLEST = 1024
"""Bytes from which a weight is worth a place in the file; a smaller one stays inside its graph."""


class WeightFile:
    """A file that grows by a weight at a time.

    Attributes:
        file: where it is; there is none as long as nothing has been added.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._offsets: dict[str, int] = {}

    def add(self, content: bytes) -> int:
        """Offset of a weight's bytes in the file; the same bytes are stored once."""
        digest = hashlib.sha256(content).hexdigest()
        if digest not in self._offsets:
            end = self.file.stat().st_size if self.file.exists() else 0
            offset = -(-end // ALIGNMENT) * ALIGNMENT
            with self.file.open("ab") as file:
                file.write(bytes(offset - end) + content)
            self._offsets[digest] = offset
        return self._offsets[digest]
