"""TIFF files written by hand, byte by byte."""

import struct
import zlib

import numpy as np

RANDOM = np.random.default_rng(0)
UNSIGNED, SIGNED, FLOAT = 1, 2, 3
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE = 0, 1, 2, 3
NONE, DEFLATE = 1, 8

KINDS = ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8"]


def tiff(
    strips: list[bytes],
    height: int,
    width: int,
    *,
    bits: int = 8,
    sample_format: int = UNSIGNED,
    photometric: int = BLACK_IS_ZERO,
    samples: int = 1,
    compression: int = NONE,
    order: str = "<",
    big: bool = False,
    tags: dict[int, tuple[int, list[int]]] | None = None,
    pages: int = 1,
) -> bytes:
    """A TIFF file with `pages` times the same page; `tags` are more tags, with their type and values."""
    code, size = {1: "B", 3: "H", 4: "I", 16: "Q"}, {1: 1, 3: 2, 4: 4, 16: 8}
    rows = -(-height // len(strips))
    offset_kind, pointer = (16, "Q") if big else (4, "I")
    content = (b"II" if order == "<" else b"MM") + (
        struct.pack(order + "HHHQ", 43, 8, 0, 0) if big else struct.pack(order + "HI", 42, 0)
    )
    link = len(content) - struct.calcsize(pointer)
    places = []
    for strip in strips:
        places.append(len(content))
        content += strip + bytes(len(strip) % 2)
    for _ in range(pages):
        entries = {
            256: (4, [width]),
            257: (4, [height]),
            258: (3, [bits] * samples),
            259: (3, [compression]),
            262: (3, [photometric]),
            273: (offset_kind, places),
            277: (3, [samples]),
            278: (4, [rows]),
            279: (offset_kind, [len(strip) for strip in strips]),
            339: (3, [sample_format] * samples),
        } | (tags or {})
        body = b""
        for tag, (kind, values) in sorted(entries.items()):
            packed = struct.pack(f"{order}{len(values)}{code[kind]}", *values)
            assert len(packed) == size[kind] * len(values)
            if len(packed) > struct.calcsize(pointer):
                at = len(content)
                content += packed + bytes(len(packed) % 2)
                packed = struct.pack(order + pointer, at)
            body += struct.pack(order + "HH" + pointer, tag, kind, len(values)) + packed.ljust(
                struct.calcsize(pointer), b"\0"
            )
        directory = len(content)
        content = content[:link] + struct.pack(order + pointer, directory) + content[link + struct.calcsize(pointer) :]
        content += struct.pack(order + ("Q" if big else "H"), len(entries)) + body
        link = len(content)
        content += bytes(struct.calcsize(pointer))
    return content


def grey_tiff(values: np.ndarray, order: str = "<", strips: int = 1, compression: int = NONE, **given: object) -> bytes:
    stored = values.astype(values.dtype.newbyteorder(order))
    parts = [part.tobytes() for part in np.array_split(stored, strips)]
    return tiff(
        [zlib.compress(part) if compression == DEFLATE else part for part in parts],
        *values.shape,
        bits=values.dtype.itemsize * 8,
        sample_format={"u": UNSIGNED, "i": SIGNED, "f": FLOAT}[values.dtype.kind],
        order=order,
        compression=compression,
        **given,
    )


def levels_over_the_whole_range(kind: str) -> np.ndarray:
    if kind.startswith("f"):
        return RANDOM.normal(0, 100, (6, 7)).astype(kind)
    limits = np.iinfo(kind)
    return RANDOM.integers(limits.min, limits.max, (6, 7), kind, endpoint=True)
