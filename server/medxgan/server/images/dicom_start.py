"""How a DICOM file begins, told without pydicom."""

_PREAMBLE = 128
_PREFIX = b"DICM"
_FIRST_GROUPS = frozenset({0x0002, 0x0008})
"""Groups that an object without preamble may begin with."""


def dicom_start(content: bytes) -> int | None:
    """Where the first element of a DICOM file begins; None where the content is none.

    That is behind a preamble and the prefix (PS3.10, 7.1), or, as some archives write them, behind the prefix alone or
    at the very beginning.
    """
    for start in (_PREAMBLE, 0):
        if content[start : start + len(_PREFIX)] == _PREFIX:
            return start + len(_PREFIX)
    groups = {int.from_bytes(content[:2], "little"), int.from_bytes(content[:2], "big")}
    return 0 if len(content) >= 8 and groups & _FIRST_GROUPS else None
