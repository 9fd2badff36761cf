"""From stored values to grey levels in the modality's units, and what the object asks of its display."""

import math

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut

from medxgan.server.errors import ImageError
from medxgan.server.images.dicom.errors import refused
from medxgan.server.images.dicom.frames import Frame
from medxgan.server.images.dicom.header import PALETTE, PixelModule, number, numbers, states
from medxgan.server.images.dicom.lookup import LookupTable
from medxgan.server.images.film import MOST_ELONGATED, PixelSpacing, has_pixel_shape, strips
from medxgan.server.images.levels import held_in_single_precision

_SPACINGS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing", "PixelAspectRatio")
"""Where the distances between pixels are stated, by precedence: in the patient or calibrated, at the detector's front,
of the scanned film; last the ratio of the two alone."""
_SAME_ASPECT = 0.01


def modality_levels(values: NDArray[np.generic], frame: Frame) -> NDArray[np.generic]:
    """Apply the modality transformation to stored values: a lookup table, or rescale slope and intercept."""
    if frame.dataset.get("ModalityLUTSequence"):
        return LookupTable.of(frame.dataset.ModalityLUTSequence[0]).apply(values)
    holder = frame.holder("PixelValueTransformationSequence", "RescaleSlope", "RescaleIntercept")
    slope, intercept = number(holder, "RescaleSlope"), number(holder, "RescaleIntercept")
    if slope == 0:
        raise refused("RescaleSlope", "expected another number than 0")
    if slope in (None, 1) and not intercept:
        return values
    return _linear(values, 1.0 if slope is None else slope, intercept or 0.0)


def _linear(values: NDArray[np.generic], slope: float, intercept: float) -> NDArray[np.generic]:
    """`slope` times `values` plus `intercept`, reckoned in double precision.

    What single precision tells apart is held in it: a film of doubles is four times as large as it is stored.
    """
    ends = sorted(float(end) * slope + intercept for end in (values.min(), values.max()))
    kind = np.float32 if all(map(math.isfinite, ends)) and held_in_single_precision(*ends) else np.float64
    levels = np.empty(values.shape, kind)
    for rows in strips(*values.shape[:2]):
        levels[rows] = values[rows].astype(np.float64) * slope + intercept
    return levels


def palette_colours(values: NDArray[np.generic], dataset: Dataset) -> NDArray[np.generic]:
    """Red, green and blue [H, W, 3] that a palette gives to stored values; grey [H, W] of a grey palette."""
    colours = apply_color_lut(values, dataset)
    if np.array_equal(colours[..., 0], colours[..., 1]) and np.array_equal(colours[..., 0], colours[..., 2]):
        return colours[..., 0]
    return colours


def display(module: PixelModule, frame: Frame) -> tuple[bool, list[str]]:
    """Whether a high level is displayed dark, and what else the object asks of its display.

    Whatever turns the picture over is respected: MONOCHROME1, a Presentation LUT Shape of INVERSE (which states the
    same of a MONOCHROME1 object, and does not turn it back), a VOI lookup table that falls. A window, a rising table
    and a sigmoid leave dark dark. They clip or bend, and are left out: the model takes its own window.
    """
    notes = []
    shape = str(frame.dataset.get("PresentationLUTShape") or "").strip().upper()
    inverted = module.interpretation == "MONOCHROME1"
    if shape == "INVERSE" and not inverted:
        inverted = True
        notes.append("the picture was turned over as its presentation LUT shape (INVERSE) asks")
    elif shape == "IDENTITY" and inverted:
        notes.append("the presentation LUT shape (IDENTITY) contradicts MONOCHROME1, which was followed")
    voi = frame.holder("FrameVOILUTSequence", "VOILUTSequence", "WindowWidth")
    if voi.get("VOILUTSequence"):
        falling = LookupTable.of(voi.VOILUTSequence[0]).falling
        if falling:
            inverted = not inverted
            notes.append("the picture was turned over as its VOI lookup table, which falls, asks")
        notes.append("the VOI lookup table of the object was not applied: the model takes its own window")
    elif _has_window(voi):
        notes.append("the window of the object was not applied: the model takes its own window")
    if frame.dataset.get("ShutterShape"):
        notes.append("the display shutter of the object was not applied: what it would hide is part of the picture")
    return inverted, notes


def _has_window(voi: Dataset) -> bool:
    try:
        return states(voi, "WindowWidth")
    except ImageError:  # what is not applied need not be a number
        return True


def is_palette(module: PixelModule) -> bool:
    """Whether stored values are places in a palette."""
    return module.interpretation == PALETTE


def pixel_spacing(frame: Frame) -> tuple[PixelSpacing | None, float, list[str]]:
    """Distances between pixels where they are known, height of a pixel over its width, and notes."""
    spacing: PixelSpacing | None = None
    aspects: dict[str, float] = {}
    notes = []
    for keyword in _SPACINGS:
        try:
            pair = _pair(frame.holder("PixelMeasuresSequence", keyword), keyword)
        except ImageError:
            if not aspects:
                raise
            notes.append(f"{keyword} can't be read, and {next(iter(aspects))} was taken")
            continue
        if pair is None:
            continue
        if 0 in pair:
            notes.append(f"{keyword} of 0 was taken for not known")
            continue
        if not aspects and keyword != "PixelAspectRatio":
            spacing = PixelSpacing(*pair)
        aspects[keyword] = pair[0] / pair[1]
    if not aspects:
        return None, 1.0, notes
    (used, aspect), *others = aspects.items()
    notes += [
        f"{used} and {keyword} disagree on the shape of a pixel: {used} was taken"
        for keyword, other in others
        if not math.isclose(other, aspect, rel_tol=_SAME_ASPECT)
    ]
    return spacing, aspect, notes


def _pair(holder: Dataset, keyword: str) -> tuple[float, float] | None:
    read = numbers(holder, keyword)
    if not read:
        return None
    if len(read) != 2 or min(read) < 0:
        raise refused(keyword, "expected two numbers that are not negative")
    if min(read) > 0 and not has_pixel_shape(*read):
        raise refused(keyword, f"expected one side of a pixel at most {MOST_ELONGATED} times the other")
    return read[0], read[1]
