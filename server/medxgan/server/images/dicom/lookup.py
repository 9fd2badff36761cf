"""Lookup tables of the Modality LUT and VOI LUT modules (DICOM PS3.3, C.11.1 and C.11.2)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from medxgan.server.images.dicom.errors import refused
from medxgan.server.images.dicom.header import numbers

_FULL = 2**16
"""What 0 entries mean: one more than the number fits."""


@dataclass(frozen=True)
class LookupTable:
    """A table from stored values to levels.

    Attributes:
        first: the value that the first entry is of.
        entries: [N] levels.
    """

    first: int
    entries: NDArray[np.int64]

    @classmethod
    def of(cls, item: Dataset) -> "LookupTable":
        """Read the table of an item.

        Raises:
            ImageError: if it has not as many entries as it states.
        """
        descriptor = numbers(item, "LUTDescriptor")
        if len(descriptor) != 3 or "LUTData" not in item:
            raise refused("LUTDescriptor", "expected three numbers and LUTData")
        count, first, bits = int(descriptor[0]) % _FULL or _FULL, int(descriptor[1]), int(descriptor[2])
        data = item["LUTData"].value
        if isinstance(data, bytes):
            order = cls._byte_order(item)
            packed = bits == 8 and len(data) in (count, count + count % 2)
            if packed and order == ">" and len(data) % 2 == 0:  # two entries are a word, the first one its low byte
                data = np.frombuffer(data, "u2").byteswap().tobytes()
            kind = "u1" if packed else order + "u2"
            entries = np.frombuffer(data[: len(data) // np.dtype(kind).itemsize * np.dtype(kind).itemsize], kind)
        else:
            entries = np.asarray(list(data) if isinstance(data, MultiValue | list) else [data])
        if len(entries) < count:
            raise refused("LUTData", f"expected {count} entries, got {len(entries)}")
        return cls(first, entries[:count].astype(np.int64))

    @staticmethod
    def _byte_order(item: Dataset) -> str:
        return "<" if item.original_encoding[1] in (True, None) else ">"

    @property
    def falling(self) -> bool:
        """Whether higher values are by and large mapped to lower levels."""
        # Not by its ends: some writers leave a 0 behind a table that rises.
        places = np.arange(len(self.entries)) - (len(self.entries) - 1) / 2
        return bool(places @ self.entries < 0)

    def apply(self, values: NDArray[np.generic]) -> NDArray[np.generic]:
        """Map values; what lies outside the table takes its nearest end."""
        # The first value is of the pixels' sign, whatever the writer has taken it for.
        first = self.first % _FULL
        if values.dtype.kind == "i" and first >= _FULL // 2:
            first -= _FULL
        places = np.clip(values.astype(np.int64) - first, 0, len(self.entries) - 1)
        mapped: NDArray[np.generic] = self.entries[places].astype(np.float32)
        return mapped
