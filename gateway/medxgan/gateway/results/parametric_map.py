"""The difference as numbers, pixel by pixel of the film: a Parametric Map.

The standard places every parametric map in a frame of reference, which a radiograph does not have. It gets one of its
own: the plane of the film, from the centre of its first pixel, in the directions of its rows and columns. It is shared
with no other object, and says nothing of the patient. A slice that has a place in the patient keeps it.
"""

from copy import deepcopy

import numpy as np
from highdicom import VOILUTTransformation
from highdicom.pm import ParametricMap, RealWorldValueMapping
from pydicom import Dataset, Sequence

from medxgan.gateway.results import codes
from medxgan.gateway.results.origin import Origin, Series
from medxgan.gateway.results.overlay import MapOnFilm

MAP = Series("map", 3, "medxgan: difference as numbers, research only")

OUTSIDE = -4.0
"""Stored where x does not cover the film, as Float Pixel Padding Value: beyond what a difference can be."""

_LATERALITIES = ("R", "L", "U", "B")
_CODE = ("CodeValue", "CodingSchemeDesignator", "CodeMeaning")


def parametric_map(origin: Origin, difference: MapOnFilm) -> Dataset:
    """The difference, [rows, columns] float32 in units of x, -2 to 2."""
    mapping = RealWorldValueMapping(
        lut_label="DIFFERENCE",
        lut_explanation="Reconstruction minus negative realization, in units of x",
        unit=codes.NO_UNITS,
        value_range=(-2.0, 2.0),
        quantity_definition=codes.DIFFERENCE,
    )
    film = deepcopy(origin.film)
    if not origin.has_place:
        film.FrameOfReferenceUID = origin.uid("plane of the film")
        film.ImagePositionPatient, film.ImageOrientationPatient = [0, 0, 0], [1, 0, 0, 0, 1, 0]
        film.PositionReferenceIndicator = None
        film.PixelSpacing = film.get("PixelSpacing") or [1, 1]
    film.SliceThickness = film.get("SliceThickness")
    result = ParametricMap(
        source_images=[film],
        pixel_array=np.nan_to_num(difference.values, nan=OUTSIDE).astype(np.float32),
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[mapping],
        voi_lut_transformations=[
            # Not LINEAR, which is made for whole numbers and takes 1 off the width.
            VOILUTTransformation(
                window_center=0.0, window_width=round(2 * difference.magnitude, 6), voi_lut_function="LINEAR_EXACT"
            )
        ],
        content_label="DIFFERENCE",
        content_description="Reconstruction minus negative realization",
        content_qualification="RESEARCH",
        image_flavor="STATIC",
        derived_pixel_contrast="NONE",
        specific_character_set=None,
        coding_schemes=codes.CODING_SCHEMES,
        **origin.identification(MAP, "parametric map"),
    )
    shared = result.SharedFunctionalGroupsSequence[0]
    shared.FrameAnatomySequence = [_anatomy(origin.source)]
    measures = shared.PixelMeasuresSequence[0]
    measures.pop("SpacingBetweenSlices", None)
    if "PixelSpacing" not in origin.film:
        # highdicom asks for one; a distance that is not known is better not stated.
        del measures.PixelSpacing
    result.FloatPixelPaddingValue = result.FloatPixelPaddingRangeLimit = OUTSIDE
    return origin.finished(result)


def _anatomy(film: Dataset) -> Dataset:
    """What the film shows: the standard asks for a code and a side (A.75.5), whatever the film says of them."""
    anatomy = Dataset()
    laterality = film.get("ImageLaterality") or film.get("Laterality")
    anatomy.FrameLaterality = laterality if laterality in _LATERALITIES else "U"
    regions = film.get("AnatomicRegionSequence")
    if isinstance(regions, Sequence) and len(regions) == 1 and all(regions[0].get(keyword) for keyword in _CODE):
        anatomy.AnatomicRegionSequence = deepcopy(regions)
    else:
        body_part = str(film.get("BodyPartExamined") or "").strip().upper()
        anatomy.AnatomicRegionSequence = [codes.anatomic_region(body_part)]
    return anatomy
