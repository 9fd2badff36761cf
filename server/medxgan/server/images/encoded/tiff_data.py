"""Whether the strips or tiles of a TIFF page hold as many rows as its header says.

tifffile fills up with zeros what is missing, and leaves out what is beyond the last row.
"""

import math

import imagecodecs
from tifffile import TIFF, TiffPage

from medxgan.server.errors import ImageError
from medxgan.server.images.codestream import read_codestream
from medxgan.server.images.encoded.picture import FIELD

_UNCOMPRESSED = 1
_BYTE_CODECS = {5, 8, 32946, 32773, 34925, 34926, 50000}
"""LZW, Deflate, PackBits, LZMA and Zstandard: what they unfold to is the bytes of the rows."""
_WEBP = 50001


def check_data(page: TiffPage, content: bytes) -> None:
    """Refuse a page whose strips or tiles hold more or less than the page states.

    Raises:
        ImageError: they do, or there are not as many of them as it takes.
    """
    if not page.dataoffsets or not all(page.databytecounts):
        raise ImageError(FIELD, "expected a TIFF page with all of its strips or tiles")
    end = max(offset + count for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True))
    if end > len(content):
        raise ImageError(FIELD, "expected a whole TIFF file, got one that ends within its pixels")
    planes = page.samplesperpixel if page.planarconfig == 2 else 1
    width, height = (page.tilewidth, page.tilelength) if page.is_tiled else (page.imagewidth, _rows_per_strip(page))
    down, across = math.ceil(page.imagelength / height), math.ceil(page.imagewidth / width)
    if len(page.dataoffsets) != planes * down * across:
        raise ImageError(FIELD, f"expected {planes * down * across} strips or tiles, got {len(page.dataoffsets)}")
    row = math.ceil(width * (page.samplesperpixel // planes) * page.bitspersample / 8)
    if page.compression == _UNCOMPRESSED:
        rows = planes * (down * across * height if page.is_tiled else page.imagelength)
        _refuse_unless(rows * row <= sum(page.databytecounts) < (rows + 1) * row, rows)
        return
    for place, (offset, count) in enumerate(zip(page.dataoffsets, page.databytecounts, strict=True)):
        last = not page.is_tiled and place % down == down - 1
        rows = page.imagelength - (down - 1) * height if last else height
        _refuse_unless(_holds(page, content[offset : offset + count], rows, width, row), rows)


def _rows_per_strip(page: TiffPage) -> int:
    return max(1, min(page.rowsperstrip, page.imagelength))


def _holds(page: TiffPage, segment: bytes, rows: int, width: int, row: int) -> bool:
    """Whether a compressed strip or tile is one of so many rows, as far as can be told before it is decoded."""
    if page.compression in _BYTE_CODECS:
        if page.fillorder == 2:
            segment = bytes(imagecodecs.bitorder_decode(segment))
        try:
            held = len(TIFF.DECOMPRESSORS[page.compression](segment, out=(rows + 1) * row))
        except RuntimeError:  # of every codec: more than there is room for, or damaged
            return False
        return rows * row <= held < (rows + 1) * row
    if page.compression == _WEBP:
        return bool(imagecodecs.webp_decode(segment).shape[:2] == (rows, width))
    stated = read_codestream(segment)
    return stated is None or (stated.height, stated.width) == (rows, width)


def _refuse_unless(whole: bool, rows: int) -> None:
    if not whole:
        raise ImageError(FIELD, f"expected strips or tiles of {rows} rows, got more or less")
