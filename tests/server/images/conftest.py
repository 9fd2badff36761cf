"""DICOM objects that the tests write themselves, cell by cell."""

import io
from collections.abc import Callable

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    UID_dictionary,
)

from medxgan.server.images.encoded.decoding import decode_encoded
from medxgan.server.images.film import Film
from medxgan.server.images.limits import ImageLimits

Read = Callable[..., Film]
Write = Callable[..., bytes]


@pytest.fixture(scope="session")
def limits() -> ImageLimits:
    return ImageLimits(maximum_side=4096, maximum_pixels=2**22, maximum_decompressed_bytes=2**24)


@pytest.fixture(scope="session")
def read(limits: ImageLimits) -> Read:
    """Reads a file that is no DICOM object; of several pages, the one of a number."""

    def decode(content: bytes, frame: int = 0) -> Film:
        return decode_encoded(content, frame, limits)

    return decode


def cells_of(values: np.ndarray, allocated: int, stored: int, high_bit: int, garbage: int = 0) -> np.ndarray:
    """Whole numbers as cells: the lowest `stored` bits of each, ending at the high bit, among bits of `garbage`."""
    kind = np.dtype(f"<u{allocated // 8}")
    low = high_bit + 1 - stored
    mask = ((1 << stored) - 1) << low
    bits = [((int(value) << low) & mask) | (garbage & ~mask & ((1 << allocated) - 1)) for value in values.ravel()]
    return np.array(bits, kind).reshape(values.shape)


@pytest.fixture(scope="session")
def write() -> Write:
    return write_dicom


def write_dicom(
    cells: np.ndarray,
    *,
    syntax: UID = ExplicitVRLittleEndian,
    stored: int | None = None,
    high_bit: int | None = None,
    signed: bool = False,
    interpretation: str = "MONOCHROME2",
    planar: int | None = None,
    frames: int | None = None,
    compressed: list[bytes] | None = None,
    pixels: bytes | None = None,
    keyword: str = "PixelData",
    elements: dict[str, object] | None = None,
    without: tuple[str, ...] = (),
) -> bytes:
    """A DICOM file.

    Args:
        cells: [H, W], [H, W, 3], or with the frames first.
        syntax: transfer syntax.
        stored: bits stored; all by default.
        high_bit: one less than the bits stored by default.
        signed: Pixel Representation.
        interpretation: Photometric Interpretation.
        planar: Planar Configuration of colour.
        frames: Number of Frames, where `cells` holds several.
        compressed: the frames, compressed.
        pixels: bytes of the pixels, in place of those of `cells`.
        keyword: element of the pixels.
        elements: more elements, or others.
        without: elements left out.
    """
    allocated = cells.dtype.itemsize * 8
    stored = allocated if stored is None else stored
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    shape = cells.shape[1:] if frames is not None else cells.shape
    dataset.Rows, dataset.Columns = shape[:2]
    dataset.SamplesPerPixel = 3 if len(shape) == 3 else 1
    if planar is not None:
        dataset.PlanarConfiguration = planar
    if frames is not None:
        dataset.NumberOfFrames = frames
    dataset.PhotometricInterpretation = interpretation
    dataset.BitsAllocated = allocated
    if keyword == "PixelData":
        dataset.BitsStored = stored
        dataset.HighBit = stored - 1 if high_bit is None else high_bit
        dataset.PixelRepresentation = int(signed)
    for name, value in (elements or {}).items():
        setattr(dataset, name, value)
    if compressed is not None:
        dataset.PixelData = encapsulate(compressed)
        dataset["PixelData"].is_undefined_length = True
        dataset["PixelData"].VR = "OB"
    else:
        if pixels is None:
            order = ">" if syntax == ExplicitVRBigEndian else "<"
            written = cells.transpose(2, 0, 1) if planar == 1 else cells
            pixels = written.astype(cells.dtype.newbyteorder(order)).tobytes()
            pixels += bytes(len(pixels) % 2)
        if keyword == "PixelData":
            dataset.add_new("PixelData", "OB" if allocated <= 8 and syntax != ImplicitVRLittleEndian else "OW", pixels)
        else:
            setattr(dataset, keyword, pixels)
    for name in without:
        delattr(dataset, name)
    file = io.BytesIO()
    if syntax not in UID_dictionary:  # JPEG XL: pydicom writes no syntax that it does not know
        dataset.file_meta.TransferSyntaxUID = HTJ2KLossless
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue().replace(HTJ2KLossless.encode(), syntax.encode())


def rle_frame(cells: np.ndarray, tail: bytes = b"") -> bytes:
    """A frame of run-length coded byte planes; `tail` is added to the last segment."""
    samples = cells[..., np.newaxis] if cells.ndim == 2 else cells
    size = cells.dtype.itemsize
    planes = [
        np.ascontiguousarray(samples[..., sample])
        .astype(cells.dtype.newbyteorder(">"))
        .view("u1")
        .reshape(-1, size)[:, i]
        for sample in range(samples.shape[-1])
        for i in range(size)
    ]
    segments = [_pack_bits(plane.tobytes()) for plane in planes]
    segments[-1] += tail
    segments = [segment + bytes(len(segment) % 2) for segment in segments]
    offsets = np.zeros(15, "<u4")
    offsets[: len(segments)] = 64 + np.cumsum([0, *map(len, segments[:-1])])
    return len(segments).to_bytes(4, "little") + offsets.tobytes() + b"".join(segments)


def _pack_bits(data: bytes) -> bytes:
    """Literal runs only, and a replicate run where a row of eight or more is the same."""
    packed, at = b"", 0
    while at < len(data):
        run = 1
        while run < 128 and at + run < len(data) and data[at + run] == data[at]:
            run += 1
        if run >= 8:
            packed += bytes([257 - run]) + data[at : at + 1]
            at += run
        else:
            literal = data[at : at + 7]
            packed += bytes([len(literal) - 1]) + literal
            at += len(literal)
    return packed


@pytest.fixture(scope="session")
def cells() -> Callable[..., np.ndarray]:
    return cells_of


@pytest.fixture(scope="session")
def rle() -> Callable[..., bytes]:
    return rle_frame
