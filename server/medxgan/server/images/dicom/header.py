"""The Image Pixel module (DICOM PS3.3, C.7.6.3): what the stored bits mean."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import SupportsFloat

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from medxgan.server.errors import ImageError
from medxgan.server.images.dicom.errors import FIELD, element, refused

GREY_INTERPRETATIONS = ("MONOCHROME1", "MONOCHROME2")
PALETTE = "PALETTE COLOR"
_SAMPLES = {
    **dict.fromkeys((*GREY_INTERPRETATIONS, PALETTE), 1),
    **dict.fromkeys(("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_RCT", "YBR_ICT"), 3),
}
_FLOATING = {"FloatPixelData": 32, "DoubleFloatPixelData": 64}
_BITS_ALLOCATED = (1, 8, 16, 32, 64)


@dataclass(frozen=True)
class PixelModule:
    """How the pixels of an object are stored.

    Attributes:
        rows: height of a frame.
        columns: width of a frame.
        samples: values of a pixel, 1 or 3.
        interpretation: what the samples are, by Photometric Interpretation.
        bits_allocated: bits from one value to the next.
        bits_stored: bits of a value.
        high_bit: the value's highest bit, counted from 0.
        signed: whether values are two's complements.
        frames: frames in the object.
        data: keyword of the element that holds the pixels.
    """

    rows: int
    columns: int
    samples: int
    interpretation: str
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    frames: int
    data: str

    @property
    def floating(self) -> bool:
        """Whether values are floating-point numbers."""
        return self.data in _FLOATING

    @property
    def bytes_per_pixel(self) -> int:
        """Bytes of all samples of a pixel."""
        return math.ceil(self.bits_allocated / 8) * self.samples

    @property
    def native_bytes(self) -> int:
        """Bytes of all frames, uncompressed, without the byte that makes their number even."""
        samples = 2 if self.interpretation == "YBR_FULL_422" else self.samples  # two pixels share their chroma
        return math.ceil(self.rows * self.columns * samples * self.frames * self.bits_allocated / 8)

    @classmethod
    def of(cls, dataset: Dataset) -> "PixelModule":
        """Read and check the module.

        Raises:
            ImageError: an element is missing or says what can't be, by its name.
        """
        held = [keyword for keyword in ("PixelData", *_FLOATING) if keyword in dataset]
        if len(held) != 1:
            raise refused(
                "PixelData", "expected an object with pixels, got one without" if not held else "expected one"
            )
        data = held[0]
        samples = _whole(dataset, "SamplesPerPixel", (1, 3))
        interpretation = str(_stated(dataset, "PhotometricInterpretation")).strip().upper()
        if _SAMPLES.get(interpretation) != samples:
            raise refused(
                "PhotometricInterpretation",
                f"expected one of {', '.join(name for name, of in _SAMPLES.items() if of == samples)} "
                f"with {samples} samples per pixel",
            )
        allocated = _whole(dataset, "BitsAllocated", _BITS_ALLOCATED)
        if data in _FLOATING:
            if allocated != _FLOATING[data]:
                raise refused("BitsAllocated", f"expected {_FLOATING[data]} with {data}, got {allocated}")
            stored, high_bit, signed = allocated, allocated - 1, True
        else:
            stored = _whole(dataset, "BitsStored", range(1, allocated + 1))
            high_bit = stored - 1
            if dataset.get("HighBit") is not None:
                high_bit = _whole(dataset, "HighBit", range(stored - 1, allocated))
            signed = _whole(dataset, "PixelRepresentation", (0, 1)) == 1
        return cls(
            rows=_whole(dataset, "Rows", range(1, 2**32)),
            columns=_whole(dataset, "Columns", range(1, 2**32)),
            samples=samples,
            interpretation=interpretation,
            bits_allocated=allocated,
            bits_stored=stored,
            high_bit=high_bit,
            signed=signed,
            frames=_whole(dataset, "NumberOfFrames", range(1, 2**31)) if states(dataset, "NumberOfFrames") else 1,
            data=data,
        )


def numbers(dataset: Dataset, keyword: str) -> tuple[float, ...]:
    """The numbers of an element; none where it is absent or empty.

    Raises:
        ImageError: a value is no finite number.
    """
    if not states(dataset, keyword):
        return ()
    value = dataset[keyword].value
    values: Iterable[SupportsFloat] = value if isinstance(value, MultiValue | list) else [value]
    try:
        read = tuple(float(number) for number in values)
    except (TypeError, ValueError):
        read = (math.nan,)
    if not all(map(math.isfinite, read)):
        raise refused(keyword, "expected numbers")
    return read


def number(dataset: Dataset, keyword: str) -> float | None:
    """The one number of an element; None where it is absent or empty.

    Raises:
        ImageError: it holds something else.
    """
    read = numbers(dataset, keyword)
    if len(read) > 1:
        raise refused(keyword, "expected one number")
    return read[0] if read else None


def _whole(dataset: Dataset, keyword: str, allowed: range | tuple[int, ...]) -> int:
    _stated(dataset, keyword)
    value = number(dataset, keyword)
    if value is None or value != int(value) or int(value) not in allowed:
        if isinstance(allowed, tuple):
            expected = f"one of {', '.join(map(str, allowed))}"
        elif allowed.stop > 2**16:
            expected = f"at least {allowed.start}"
        else:
            expected = f"{allowed.start} to {allowed.stop - 1}"
        raise refused(keyword, f"expected {expected}, got {'nothing' if value is None else f'{value:g}'}")
    return int(value)


def _stated(dataset: Dataset, keyword: str) -> object:
    """The value of an element that must be there."""
    if not states(dataset, keyword):
        raise ImageError(FIELD, f"expected {element(keyword)}, got an object without")
    return dataset[keyword].value


def states(dataset: Dataset, keyword: str) -> bool:
    """Whether an element is there and not empty."""
    try:
        return keyword in dataset and dataset[keyword].value not in (None, "", b"", [])
    except (NotImplementedError, TypeError, ValueError, ArithmeticError):
        # pydicom converts an element when it is looked at; text that is no number of its kind ends here.
        raise refused(keyword, "expected a value of its kind") from None
