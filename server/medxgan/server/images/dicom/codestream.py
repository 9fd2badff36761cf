"""The size that a compressed DICOM frame states itself.

A decoder allocates by the codestream's own size, not by the data set's Rows and Columns, so the two must agree before
a decoder is called.
"""

_JPEG_START = b"\xff\xd8"
# Start of frame, SOF0 to SOF15 without DHT, JPG and DAC (ITU-T T.81, table B.1), and JPEG-LS's SOF55.
_JPEG_FRAME_MARKERS = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
_JPEG_2000_START = b"\xff\x4f\xff\x51"
_JP2_START = b"\x00\x00\x00\x0cjP  "


def stated_size(frame: bytes) -> tuple[int, int] | None:
    """Height and width of a JPEG, JPEG-LS or JPEG 2000 frame by its own header; None where there is no such header."""
    if frame.startswith(_JP2_START):
        return _jp2_size(frame)
    if frame.startswith(_JPEG_2000_START):
        return _jpeg_2000_size(frame)
    if frame.startswith(_JPEG_START):
        return _jpeg_size(frame)
    return None


def _jp2_size(frame: bytes) -> tuple[int, int] | None:
    """Walk the boxes of a JP2 file (ISO/IEC 15444-1, annex I) to its codestream."""
    offset = 0
    while offset + 8 <= len(frame):
        length = int.from_bytes(frame[offset : offset + 4], "big")
        if frame[offset + 4 : offset + 8] == b"jp2c":
            codestream = frame[offset + 8 :]
            return _jpeg_2000_size(codestream) if codestream.startswith(_JPEG_2000_START) else None
        if length < 8:  # open-ended or extended: no header comes after it, and a walk would not end
            return None
        offset += length
    return None


def _jpeg_2000_size(frame: bytes) -> tuple[int, int] | None:
    """SIZ segment (ISO/IEC 15444-1, A.5.1): Xsiz, Ysiz, XOsiz, YOsiz from byte 8 of the codestream."""
    if len(frame) < 24:
        return None
    right, bottom, left, top = (int.from_bytes(frame[at : at + 4], "big") for at in range(8, 24, 4))
    return bottom - top, right - left


def _jpeg_size(frame: bytes) -> tuple[int, int] | None:
    """Walk the segments of a JPEG (ITU-T T.81, B.1) to its frame header."""
    offset = len(_JPEG_START)
    while offset + 9 <= len(frame) and frame[offset] == 0xFF:
        marker = frame[offset + 1]
        if marker == 0xFF:  # fill byte
            offset += 1
            continue
        if marker in _JPEG_FRAME_MARKERS:
            return int.from_bytes(frame[offset + 5 : offset + 7], "big"), int.from_bytes(
                frame[offset + 7 : offset + 9], "big"
            )
        offset += 2 + int.from_bytes(frame[offset + 2 : offset + 4], "big")
    return None
