"""The outlines of the regions as a Grayscale Softcopy Presentation State: a viewer draws them over the film itself."""

from collections.abc import Sequence

from highdicom import PresentationLUTTransformation
from highdicom.color import CIELabColor
from highdicom.pr import (
    GraphicAnnotation,
    GraphicLayer,
    GraphicObject,
    GrayscaleSoftcopyPresentationState,
    SoftcopyVOILUTTransformation,
    TextObject,
)
from pydicom import Dataset
from pydicom.valuerep import DA, TM

from medxgan.gateway.results.film import Window
from medxgan.gateway.results.origin import RESEARCH_ONLY, Origin, Series
from medxgan.gateway.results.regions import Region

STATES = Series("presentation states", 5, "medxgan: presentation states, research only")

_YELLOW = CIELabColor(88.0, -2.0, 75.0)


def presentation_state(origin: Origin, window: Window | None, regions: Sequence[Region]) -> Dataset:
    """Outlines and numbers of the regions.

    Args:
        origin: of the result.
        window: that the film is shown with; None where it has a VOI LUT, which is taken.
        regions: one or more.
    """
    layer = GraphicLayer("EVIDENCE", order=1, description="Evidence regions", display_color=_YELLOW)
    verdict = origin.explanation.verdict.status.value.replace("_", " ").upper()
    annotations = [
        GraphicAnnotation(
            referenced_images=[origin.film],
            graphic_layer=layer,
            graphic_objects=[
                GraphicObject(
                    "POLYLINE",
                    region.outline,
                    "PIXEL",
                    tracking_id=f"region {number}",
                    tracking_uid=origin.uid(f"region {number}"),
                )
            ],
            text_objects=[
                TextObject(
                    f"Region {number}, explanation {verdict}. {RESEARCH_ONLY}",
                    "PIXEL",
                    anchor_point=tuple(region.outline[region.outline[:, 1].argmin()]),
                )
            ],
        )
        for number, region in enumerate(regions, start=1)
    ]
    inverted = origin.source.PhotometricInterpretation == "MONOCHROME1"
    # It has a date and a time of its own in place of these.
    identification = origin.identification(STATES, "presentation state")
    del identification["content_date"], identification["content_time"]
    result = GrayscaleSoftcopyPresentationState(
        referenced_images=[origin.film],
        content_label="EVIDENCE",
        content_description="Evidence regions",
        graphic_layers=[layer],
        graphic_annotations=annotations,
        voi_lut_transformations=None
        if window is None
        else [SoftcopyVOILUTTransformation(window.center, window.width, voi_lut_function=window.function)],
        presentation_lut_transformation=PresentationLUTTransformation("INVERSE" if inverted else "IDENTITY"),
        **identification,
    )
    result.PresentationCreationDate, result.PresentationCreationTime = (DA(origin.made[0]), TM(origin.made[1]))
    return origin.finished(result)
