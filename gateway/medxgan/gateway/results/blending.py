"""The film under its Secondary Capture, as an Advanced Blending Presentation State: a viewer fades between the two.

The standard blends images of one frame of reference. A radiograph has none, and gets the plane of the film that its
parametric map has; the picture lies on it pixel by pixel, as the picture says.
"""

from copy import deepcopy

import numpy as np
from highdicom import PaletteColorLUT, PaletteColorLUTTransformation
from highdicom.pr import (
    AdvancedBlending,
    AdvancedBlendingPresentationState,
    BlendingDisplay,
    BlendingDisplayInput,
    SoftcopyVOILUTTransformation,
)
from pydicom import Dataset
from pydicom.valuerep import DA, TM

from medxgan.gateway.results.film import Window
from medxgan.gateway.results.origin import Origin
from medxgan.gateway.results.presentation_state import STATES

FILM, PICTURE = 1, 2
OPACITY = 0.5
"""Of the picture over the film, until a reader moves it."""

_INSTANCE_NUMBER = 2
_LEVELS = 256


def blending_state(origin: Origin, window: Window | None, picture: Dataset) -> Dataset:
    """The film and its Secondary Capture, one over the other.

    Args:
        origin: of the result.
        window: that the film is shown with; None where it has a VOI LUT, which is taken.
        picture: the Secondary Capture.
    """
    film, over = deepcopy(origin.film), deepcopy(picture)
    plane = film.get("FrameOfReferenceUID") or origin.uid("plane of the film")
    film.FrameOfReferenceUID = over.FrameOfReferenceUID = plane
    identification = origin.identification(STATES, "blending state", _INSTANCE_NUMBER)
    # It has a date and a time of its own in place of these.
    del identification["content_date"], identification["content_time"]
    result = AdvancedBlendingPresentationState(
        referenced_images=[film, over],
        blending=[
            AdvancedBlending(
                [film],
                FILM,
                voi_lut_transformations=None
                if window is None
                else [SoftcopyVOILUTTransformation(window.center, window.width, voi_lut_function=window.function)],
                palette_color_lut_transformation=_greys(inverted=film.PhotometricInterpretation == "MONOCHROME1"),
            ),
            AdvancedBlending([over], PICTURE),
        ],
        blending_display=[
            BlendingDisplay(
                "FOREGROUND",
                # Of the two, the first has the opacity that is stated (PS3.3, C.11.31).
                [BlendingDisplayInput(PICTURE), BlendingDisplayInput(FILM)],
                relative_opacity=OPACITY,
            )
        ],
        content_label="DIFFERENCE",
        content_description="Film and difference, one over the other",
        **identification,
    )
    result.FrameOfReferenceUID, result.PositionReferenceIndicator = plane, film.get("PositionReferenceIndicator")
    result.PresentationCreationDate, result.PresentationCreationTime = (DA(origin.made[0]), TM(origin.made[1]))
    return origin.finished(result)


def _greys(*, inverted: bool) -> PaletteColorLUTTransformation:
    """Greys as a palette, which colour images are blended with; it turns MONOCHROME1 over."""
    greys = np.arange(_LEVELS, dtype=np.uint8)[:: -1 if inverted else 1].copy()
    red, green, blue = (PaletteColorLUT(0, greys, color=color) for color in ("red", "green", "blue"))
    return PaletteColorLUTTransformation(red, green, blue)
