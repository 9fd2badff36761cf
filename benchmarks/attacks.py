"""Requests that have stalled a server or blown it up: what `abuse.py` sends."""

import io
import struct
import zlib
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
from PIL import Image as PillowImage
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, JPEGLSLossless, RLELossless

from medxgan.v1.bundle_pb2 import DATA_TYPE_UINT8
from medxgan.v1.explanation_pb2 import Image, Tensor

MEGABYTE = 2**20


def tensor(side: int, seed: int = 0) -> Image:
    """A picture as a bystander sends it."""
    levels = np.random.default_rng(seed).integers(0, 256, (side, side), np.uint8)
    return Image(tensor=Tensor(shape=levels.shape, data_type=DATA_TYPE_UINT8, data=levels.tobytes()))


def dicom(cells: np.ndarray, syntax: UID, frame: bytes | None = None) -> bytes:
    """A DICOM file of grey cells, its frame compressed where it is given so."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    dataset.Rows, dataset.Columns = cells.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 8 * cells.dtype.itemsize
    dataset.HighBit, dataset.PixelRepresentation = dataset.BitsStored - 1, 0
    dataset.PixelData = cells.tobytes() if frame is None else encapsulate([frame])
    dataset["PixelData"].VR = "OB"
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def deflated_bomb(unfolded: int) -> Image:
    """A deflated object whose meta information states a length that reaches beyond the file."""
    content = dicom(np.zeros((4, 4), np.uint8), DeflatedExplicitVRLittleEndian)
    meta_end = 144 + int.from_bytes(content[140:144], "little")
    compressor = zlib.compressobj(1, wbits=-zlib.MAX_WBITS)
    body = compressor.compress(zlib.decompress(content[meta_end:], -zlib.MAX_WBITS))
    for _ in range(unfolded // MEGABYTE):
        body += compressor.compress(bytes(MEGABYTE))
    body += compressor.flush()
    return Image(dicom=content[:140] + struct.pack("<I", 0x7FFFFFF0) + content[144:meta_end] + body)


def repeated_scans(times: int) -> Image:
    """A progressive JPEG whose last scan comes again and again."""
    file = io.BytesIO()
    random = np.random.default_rng(0).integers(0, 256, (128, 128), np.uint8)
    PillowImage.fromarray(random).resize((1024, 1024)).save(file, "JPEG", progressive=True)
    content = file.getvalue()
    last = content.rindex(b"\xff\xda")
    return Image(encoded=content[:last] + content[last:-2] * times + content[-2:])


def jpeg_ls_film() -> Image:
    """A film of half a megapixel in JPEG-LS."""
    import imagecodecs

    levels = np.random.default_rng(0).integers(0, 4096, (768, 768), np.uint16)
    return Image(dicom=dicom(levels, JPEGLSLossless, imagecodecs.jpegls_encode(levels)))


def run_length_segment() -> Image:
    """Eight megabytes of run lengths for sixteen pixels."""
    frame = struct.pack("<16I", 1, 64, *[0] * 14) + b"\x81\x00" * (4 * MEGABYTE)
    return Image(dicom=dicom(np.zeros((4, 4), np.uint8), RLELossless, frame))


def tiff_bomb() -> Image:
    """A TIFF strip that unfolds to 256 megabytes."""
    strip = zlib.compress(bytes(256 * MEGABYTE), 9)
    entries = {256: 16, 257: 16, 258: 8, 259: 8, 262: 1, 273: 8, 277: 1, 278: 16, 279: len(strip)}
    directory = struct.pack("<H", len(entries))
    directory += b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries.items())
    return Image(encoded=b"II*\0" + struct.pack("<I", 8 + len(strip)) + strip + directory + bytes(4))


def large_png() -> Image:
    """A film of 48 megapixels, which is allowed."""
    file = io.BytesIO()
    PillowImage.new("L", (8000, 6000)).save(file, "PNG", compress_level=1)
    return Image(encoded=file.getvalue())


def large_noisy_png() -> Image:
    """The same in a file that is large too."""
    file = io.BytesIO()
    levels = np.random.default_rng(0).integers(0, 16, (6000, 8000), np.uint8)
    PillowImage.fromarray(levels).save(file, "PNG", compress_level=1)
    return Image(encoded=file.getvalue())


def large_dicom() -> Image:
    """An uncompressed film of 30 megapixels of 16 bits."""
    levels = np.random.default_rng(0).integers(0, 2**16, (6000, 5000), np.uint16)
    return Image(dicom=dicom(levels, ExplicitVRLittleEndian))


ATTACKS: Mapping[str, tuple[Callable[[], Image], int]] = {
    "deflated object, 64 MB unfolded, meta length 0x7FFFFFF0": (partial(deflated_bomb, 64 * MEGABYTE), 1),
    "deflated object, 1 GB unfolded, meta length 0x7FFFFFF0": (partial(deflated_bomb, 1024 * MEGABYTE), 1),
    "progressive JPEG, its last scan 1,000 times": (partial(repeated_scans, 1000), 1),
    "30 JPEG-LS films at once": (jpeg_ls_film, 30),
    "RLE segment of 8 MB for 4x4 pixels": (run_length_segment, 1),
    "TIFF strip of 16x16 pixels that unfolds to 256 MB": (tiff_bomb, 1),
    "72 films of 48 megapixels at once": (large_png, 72),
    "72 films of 48 megapixels at once, in files of 30 MB": (large_noisy_png, 72),
    "24 films of 30 megapixels at once, 57 MB each": (large_dicom, 24),
}
"""By name: what makes the image, and how many requests are sent at once."""
