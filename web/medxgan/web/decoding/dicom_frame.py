"""What a DICOM object states of one of its frames: in the frame's functional groups, in those all share, or by itself.

The precedence, and what is refused, are the server's, which reads the same elements to explain the film.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from medxgan.web.decoding import MOST_ELONGATED, has_pixel_shape
from medxgan.web.errors import FilmError

_SPACINGS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing", "PixelAspectRatio")
_FULL = 2**16
"""Entries of a table that states 0 of them: one more than the number fits."""


@dataclass(frozen=True)
class Frame:
    """One frame of an object.

    Attributes:
        dataset: the object.
        groups: functional groups of the frame, then those that all frames share (PS3.3, C.7.6.16).
    """

    dataset: Dataset
    groups: tuple[Dataset, ...]

    @classmethod
    def of(cls, dataset: Dataset, index: int) -> "Frame":
        """The frame of that index, from 0; raises FilmError where there are groups of frames, and none of this one."""
        groups = []
        if per_frame := dataset.get("PerFrameFunctionalGroupsSequence"):
            if index >= len(per_frame):
                raise FilmError("PerFrameFunctionalGroupsSequence: expected an item for each frame")
            groups.append(per_frame[index])
        if shared := dataset.get("SharedFunctionalGroupsSequence"):
            groups.append(shared[0])
        return cls(dataset, tuple(groups))

    def holder(self, macro: str, *keywords: str) -> Dataset:
        """The item of the functional group `macro` that holds one of these elements, else the object."""
        for group in self.groups:
            items = group.get(macro)
            if items and any(keyword in items[0] for keyword in keywords):
                item: Dataset = items[0]
                return item
        return self.dataset

    def rescale(self) -> tuple[float, float, str]:
        """Slope and intercept of the modality transformation, and the unit it leads to: "HU" or none that is known."""
        holder = self.holder("PixelValueTransformationSequence", "RescaleSlope", "RescaleIntercept")
        slope, intercept = number(holder, "RescaleSlope"), number(holder, "RescaleIntercept")
        if slope == 0:
            raise FilmError("RescaleSlope: expected another number than 0")
        stated = slope is not None or intercept is not None
        unit = self._unit(str(holder.get("RescaleType") or "HU")) if stated else ""
        return 1.0 if slope is None else slope, intercept or 0.0, unit

    def modality_table(self) -> tuple["LookupTable", str] | None:
        """The lookup table that takes the place of slope and intercept, and the unit it leads to."""
        items = self.dataset.get("ModalityLUTSequence")
        if not items:
            return None
        return LookupTable.of(items[0]), self._unit(str(items[0].get("ModalityLUTType") or ""))

    def _unit(self, stated: str) -> str:
        return "HU" if self.dataset.get("Modality") == "CT" and stated.strip() == "HU" else ""

    def inverted(self) -> bool:
        """Whether a high level in the modality's units is displayed dark."""
        photometric = str(self.dataset.PhotometricInterpretation).strip().upper()
        shape = str(self.dataset.get("PresentationLUTShape") or "").strip().upper()
        inverted = photometric == "MONOCHROME1" or shape == "INVERSE"
        tables = self._voi().get("VOILUTSequence")
        return inverted != (bool(tables) and LookupTable.of(tables[0]).falling)

    def window(self) -> tuple[float, float] | None:
        """Ends of the first window, in the modality's units; None where none is stated that can be used."""
        voi = self._voi()
        try:
            centers, widths = numbers(voi, "WindowCenter"), numbers(voi, "WindowWidth")
        except FilmError:  # the film is shown by its own levels then
            return None
        if not centers or not widths or widths[0] <= 0:
            return None
        return centers[0] - widths[0] / 2, centers[0] + widths[0] / 2

    def _voi(self) -> Dataset:
        return self.holder("FrameVOILUTSequence", "VOILUTSequence", "WindowWidth")

    def aspect(self) -> float:
        """Height of a pixel over its width; 1 where it is not stated."""
        for keyword in _SPACINGS:
            pair = numbers(self.holder("PixelMeasuresSequence", keyword), keyword)
            if pair and (len(pair) != 2 or min(pair) < 0):
                raise FilmError(f"{keyword}: expected two numbers that are not negative")
            if pair and 0 not in pair:
                if not has_pixel_shape(*pair):
                    raise FilmError(f"{keyword}: expected one side of a pixel at most {MOST_ELONGATED} times the other")
                return pair[0] / pair[1]
        return 1.0


def numbers(dataset: Dataset, keyword: str) -> tuple[float, ...]:
    """The numbers of an element; none where it is absent or empty; raises FilmError where one is not finite."""
    value = dataset.get(keyword)
    if value is None or value == "" or value == []:
        return ()
    try:
        found = tuple(float(each) for each in (value if isinstance(value, MultiValue | list) else [value]))
    except (TypeError, ValueError) as error:
        raise FilmError(f"{keyword}: expected numbers") from error
    if not all(map(math.isfinite, found)):
        raise FilmError(f"{keyword}: expected finite numbers")
    return found


def number(dataset: Dataset, keyword: str) -> float | None:
    """The one number of an element; None where it is absent or empty; raises FilmError."""
    found = numbers(dataset, keyword)
    if len(found) > 1:
        raise FilmError(f"{keyword}: expected one number")
    return found[0] if found else None


@dataclass(frozen=True)
class LookupTable:
    """A table of the Modality LUT or VOI LUT module (PS3.3, C.11.1 and C.11.2).

    Attributes:
        first: the value that the first entry is of.
        entries: [N] levels.
    """

    first: int
    entries: NDArray[np.uint16]

    @classmethod
    def of(cls, item: Dataset) -> "LookupTable":
        """Read the table of an item; raises FilmError."""
        descriptor = numbers(item, "LUTDescriptor")
        if len(descriptor) != 3 or "LUTData" not in item:
            raise FilmError("LUTDescriptor: expected three numbers and LUTData")
        count, first, bits = int(descriptor[0]) % _FULL or _FULL, int(descriptor[1]), int(descriptor[2])
        data = item["LUTData"].value
        if isinstance(data, bytes):
            order = "<" if item.original_encoding[1] in (True, None) else ">"
            packed = bits == 8 and len(data) in (count, count + count % 2)
            if packed and order == ">" and len(data) % 2 == 0:  # two entries are a word, the first one its low byte
                data = np.frombuffer(data, "u2").byteswap().tobytes()
            kind = np.dtype("u1" if packed else f"{order}u2")
            entries: NDArray[Any] = np.frombuffer(data[: len(data) // kind.itemsize * kind.itemsize], kind)
        else:
            entries = np.asarray(list(data) if isinstance(data, MultiValue | list) else [data])
        if len(entries) < count:
            raise FilmError(f"LUTData: expected {count} entries, got {len(entries)}")
        return cls(first, entries[:count].astype(np.uint16))

    @property
    def falling(self) -> bool:
        """Whether higher values are by and large mapped to lower levels."""
        # Not by its ends: some writers leave a 0 behind a table that rises.
        places = np.arange(len(self.entries)) - (len(self.entries) - 1) / 2
        return bool(places @ self.entries < 0)

    def apply(self, values: NDArray[Any]) -> NDArray[np.uint16]:
        """Map values; what lies outside the table takes its nearest end."""
        # The first value is of the pixels' sign, whatever the writer has taken it for.
        first = self.first % _FULL
        if values.dtype.kind == "i" and first >= _FULL // 2:
            first -= _FULL
        mapped = np.empty(values.shape, np.uint16)
        for row, line in enumerate(values):  # by lines: places take four times the memory of levels
            mapped[row] = self.entries[np.clip(line.astype(np.int64) - first, 0, len(self.entries) - 1)]
        return mapped
