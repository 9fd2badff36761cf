"""What a study holds: films, and what is no film, with the reason."""

from collections.abc import Callable
from dataclasses import dataclass

from pydicom.dataset import Dataset
from pydicom.uid import ParametricMapStorage, SegmentationStorage

OURS = "medxgan"
"""Manufacturer of the objects that a gateway makes of an explanation."""

_DERIVED = {SegmentationStorage: "a segmentation", ParametricMapStorage: "a parametric map"}


@dataclass(frozen=True)
class Film:
    """A film of a study.

    Attributes:
        name: of the file in its folder, or the SOP Instance UID.
        read: gives the file; raises OSError or StudyError where it can't be read any more.
    """

    name: str
    read: Callable[[], bytes]


@dataclass(frozen=True)
class Skipped:
    """What is no film.

    Attributes:
        name: as of a `Film`.
        reason: why it is not explained, in words.
    """

    name: str
    reason: str


def no_film(header: Dataset, *, several_frames: bool = False) -> str:
    """Why an object is not explained; empty where it is a film.

    Args:
        header: of the object, with or without its pixels.
        several_frames: whether an object of several frames is taken.
    """
    if header.get("SOPClassUID") in _DERIVED:
        return _DERIVED[header.SOPClassUID]
    if header.get("Manufacturer") == OURS:
        return "a result of medxgan"
    if not (header.get("Rows") and header.get("Columns")):
        modality = str(header.get("Modality") or "")
        return f"no picture ({modality})" if modality.isalnum() else "no picture"
    frames = int(header.get("NumberOfFrames") or 1)
    if frames > 1 and not several_frames:
        return f"{frames} frames, of which none is chosen"
    return ""
