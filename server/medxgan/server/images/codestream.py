"""What a compressed frame or file states of itself, read before a decoder is called.

A decoder allocates by the codestream's own size, whatever an envelope such as DICOM's Rows and Columns says, so the two
must agree first.
"""

from dataclasses import dataclass

_JPEG_START = b"\xff\xd8"
# Start of frame, SOF0 to SOF15 without DHT, JPG and DAC (ITU-T T.81, table B.1), and JPEG-LS's SOF55.
_JPEG_FRAME_MARKERS = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
_JPEG_APPLICATION_0, _JPEG_APPLICATION_1, _JPEG_APPLICATION_14 = 0xE0, 0xE1, 0xEE
_RGB_IDENTIFIERS = (b"RGB", b"rgb")
_JPEG_2000_START = b"\xff\x4f\xff\x51"
_JP2_START = b"\x00\x00\x00\x0cjP  "
_JPEG_XL_START = b"\xff\x0a"
_JPEG_XL_BOXES_START = b"\x00\x00\x00\x0cJXL "
_JPEG_XL_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))

STARTS = (_JPEG_START, _JPEG_2000_START, _JP2_START, _JPEG_XL_START, _JPEG_XL_BOXES_START)
"""What every codestream begins with."""


_MOST_SCANS = 100
"""Scans of a JPEG that are read. Encoders write about ten; each costs as much as a whole picture."""


def too_many_scans(frame: bytes) -> bool:
    """Whether a JPEG repeats its scans, which takes a decoder time and adds nothing.

    The marker of a scan can't occur within one. It may within other segments, by chance.
    """
    return frame.startswith(_JPEG_START) and frame.count(b"\xff\xda") > _MOST_SCANS


_JPEG_END = b"\xff\xd9"
_TILE_PART = b"\xff\x90"
_OTHER_END = bytes(1 + 97 * place % 254 for place in range(256))
"""No marker is in it, and whatever it is decoded to is not of one level."""


def with_other_end(frame: bytes) -> bytes:
    """A JPEG with some more coded data at its end.

    Of a whole one they change nothing. One that was cut off, or states more rows than it holds, becomes another
    picture: libjpeg fills up what is missing, and does not say so.
    """
    end = frame.rfind(_JPEG_END)
    return frame[: len(frame) if end < 0 else end] + _OTHER_END + _JPEG_END


def ends_as_stated(frame: bytes) -> bool:
    """Whether the tile-parts of a JPEG 2000 codestream (ISO/IEC 15444-1, A.4.2) end at its end marker.

    OpenJPH makes a picture of less detail of one that was cut off, and does not say so.
    """
    at = len(_JPEG_START)
    while (marker := frame[at : at + 2]) not in (_TILE_PART, b"") and marker != _JPEG_END:
        at += 2 + int.from_bytes(frame[at + 2 : at + 4], "big")
    while frame[at : at + 2] == _TILE_PART:
        length = int.from_bytes(frame[at + 6 : at + 10], "big")
        if length < 12:  # 0: as far as the end marker
            return length == 0 and frame.rstrip(b"\0").endswith(_JPEG_END)
        at += length
    return frame[at : at + 2] == _JPEG_END


@dataclass(frozen=True)
class Codestream:
    """The header of a compressed frame.

    Attributes:
        height: rows.
        width: columns.
        precision: bits of a value; 0 where the header was not read so far.
        samples: values of a pixel; 0 where the header was not read so far.
        rgb: whether three samples are red, green and blue (True) or luma and chroma (False) by marks in the
            codestream; None where it has none.
    """

    height: int
    width: int
    precision: int = 0
    samples: int = 0
    rgb: bool | None = None


def read_codestream(frame: bytes) -> Codestream | None:
    """Header of a JPEG, JPEG-LS, JPEG 2000 or JPEG XL frame; None where there is no such header."""
    if frame.startswith(_JP2_START):
        return _boxed(frame, b"jp2c", _JPEG_2000_START)
    if frame.startswith(_JPEG_2000_START):
        return _jpeg_2000(frame)
    if frame.startswith(_JPEG_XL_BOXES_START):
        return _boxed(frame, b"jxlc", _JPEG_XL_START) or _boxed(frame, b"jxlp", _JPEG_XL_START, skipped=4)
    if frame.startswith(_JPEG_XL_START):
        return _jpeg_xl(frame)
    if frame.startswith(_JPEG_START):
        return _jpeg(frame)
    return None


def _boxed(frame: bytes, kind: bytes, start: bytes, skipped: int = 0) -> Codestream | None:
    """Walk the boxes of a file (ISO/IEC 15444-1, annex I) to its codestream."""
    offset = 0
    while offset + 8 <= len(frame):
        length = int.from_bytes(frame[offset : offset + 4], "big")
        if frame[offset + 4 : offset + 8] == kind:
            codestream = frame[offset + 8 + skipped :]
            return read_codestream(codestream) if codestream.startswith(start) else None
        if length < 8:  # open-ended or extended: no header comes after it, and a walk would not end
            return None
        offset += length
    return None


def _jpeg_2000(frame: bytes) -> Codestream | None:
    """SIZ segment (ISO/IEC 15444-1, A.5.1): Xsiz, Ysiz, XOsiz, YOsiz from byte 8 of the codestream."""
    if len(frame) < 43:
        return None
    right, bottom, left, top = (int.from_bytes(frame[at : at + 4], "big") for at in range(8, 24, 4))
    samples = int.from_bytes(frame[40:42], "big")
    return Codestream(bottom - top, right - left, (frame[42] & 0x7F) + 1, samples)


def _jpeg(frame: bytes) -> Codestream | None:
    """Walk the segments of a JPEG (ITU-T T.81, B.1) to its frame header."""
    offset = len(_JPEG_START)
    rgb: bool | None = None
    while offset + 10 <= len(frame) and frame[offset] == 0xFF:
        marker = frame[offset + 1]
        if marker == 0xFF:  # fill byte
            offset += 1
            continue
        length = int.from_bytes(frame[offset + 2 : offset + 4], "big")
        body = frame[offset + 4 : offset + 2 + length]
        if marker in _JPEG_FRAME_MARKERS:
            height, width = int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big")
            if body[6::3] in _RGB_IDENTIFIERS:
                rgb = True
            return Codestream(height, width, body[0], body[5], rgb)
        if marker == _JPEG_APPLICATION_14 and body.startswith(b"Adobe") and len(body) >= 12:
            rgb = body[11] == 0
        elif marker == _JPEG_APPLICATION_0 and body.startswith(b"JFIF") and rgb is None:
            rgb = False
        offset += 2 + length
    return None


def exif_of(frame: bytes) -> bytes:
    """The EXIF segment of a JPEG, from its name on; empty where it has none before its frame."""
    offset = len(_JPEG_START)
    while offset + 4 <= len(frame) and frame[offset] == 0xFF and frame[offset + 1] not in _JPEG_FRAME_MARKERS:
        length = int.from_bytes(frame[offset + 2 : offset + 4], "big")
        body = frame[offset + 4 : offset + 2 + length]
        if frame[offset + 1] == _JPEG_APPLICATION_1 and body.startswith(b"Exif\0\0"):
            return body
        offset += 2 + length
    return b""


def _jpeg_xl(frame: bytes) -> Codestream:
    """SizeHeader and the begin of ImageMetadata (ISO/IEC 18181-1, D.2 and D.3), bit by bit from the lowest."""
    bits = int.from_bytes(frame[2:18], "little")

    def take(count: int) -> int:
        nonlocal bits
        taken = bits & ((1 << count) - 1)
        bits >>= count
        return taken

    def precision() -> int:
        if take(1):  # all is as by default
            return 8
        if take(1) or take(1):  # an orientation, a preview or an animation come first; or samples are floats
            return 0
        choice = take(2)
        return (8, 10, 12)[choice] if choice < 3 else take(6) + 1

    def extent(small: int) -> int:
        return 8 * (take(5) + 1) if small else take((9, 13, 18, 30)[take(2)]) + 1

    small = take(1)
    height = extent(small)
    ratio = take(3)
    if ratio:
        across, down = _JPEG_XL_RATIOS[ratio - 1]
        return Codestream(height, height * across // down, precision())
    width = extent(small)
    return Codestream(height, width, precision())
