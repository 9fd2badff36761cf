"""How an object that is not as it should be is refused: by the name of its element, never by text that it holds."""

from pydicom.tag import Tag

from medxgan.server.errors import ImageError

FIELD = "image.dicom"


def element(keyword: str) -> str:
    """Keyword and tag of an element, as a person looks it up: `BitsStored (0028,0101)`."""
    return f"{keyword} {Tag(keyword)}".replace(", ", ",")


def refused(keyword: str, expected: str) -> ImageError:
    """The error that an element of the object is not what was expected."""
    return ImageError(FIELD, f"{element(keyword)}: {expected}")
