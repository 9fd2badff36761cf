"""Whether the pixel data of a PNG file are as many as its header says (PNG specification, 3rd edition, 5 to 10).

Pillow fills up with black what is missing, and leaves out what is beyond the last row.
"""

import math
import zlib
from collections.abc import Iterator

from medxgan.server.errors import ImageError
from medxgan.server.images.encoded.picture import FIELD

SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Samples of a pixel by the colour type."""
DEPTH, COLOUR_TYPE = 24, 25
"""Where a PNG file states the bits of a sample, and what its samples are."""

_FIRST_CHUNK = 8
_AT_ONCE = 2**20
_PASSES = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
"""First row, first column, and the steps between rows and columns, of the passes of Adam7."""


def check_data(content: bytes) -> None:
    """Refuse a file whose data unfold to more or less than its rows.

    Raises:
        ImageError: they do.
    """
    width, height = (int.from_bytes(content[at : at + 4], "big") for at in (16, 20))
    bits = content[DEPTH] * SAMPLES.get(content[COLOUR_TYPE], 1)
    passes = _PASSES if content[28] else ((0, 0, 1, 1),)
    expected = longest = 0
    for first_row, first_column, row_step, column_step in passes:
        rows, columns = (
            math.ceil(max(0, extent - first) / step)
            for extent, first, step in ((height, first_row, row_step), (width, first_column, column_step))
        )
        row = 1 + math.ceil(columns * bits / 8) if columns else 0
        expected += rows * row
        longest = max(longest, row)
    held = _unfolded(content, expected + longest)
    if not expected <= held < expected + longest:
        raise ImageError(FIELD, f"expected a PNG file with pixels for {height} rows, got more or less")


def _unfolded(content: bytes, most: int) -> int:
    """Bytes that the data unfold to, counted up to `most`."""
    inflater = zlib.decompressobj()
    count = 0
    for data in _data(content):
        folded: bytes | memoryview = data
        while folded and not inflater.eof and count < most:
            count += len(inflater.decompress(folded, _AT_ONCE))
            folded = inflater.unconsumed_tail
    while count < most and (rest := inflater.decompress(inflater.unconsumed_tail, _AT_ONCE)):
        count += len(rest)
    return count


def _data(content: bytes) -> Iterator[memoryview]:
    """The data of the IDAT chunks."""
    view, at = memoryview(content), _FIRST_CHUNK
    while at + 8 <= len(content):
        length = int.from_bytes(view[at : at + 4], "big")
        if content[at + 4 : at + 8] == b"IDAT":
            yield view[at + 8 : at + 8 + length]
        at += 12 + length
