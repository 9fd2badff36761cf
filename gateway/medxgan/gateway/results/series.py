"""From an explanation of a film to the objects that an archive keeps beside it."""

from datetime import datetime

from pydicom import Dataset

from medxgan.client import Explanation, MapKind, VerdictStatus
from medxgan.gateway.results.blending import blending_state
from medxgan.gateway.results.blink import blink
from medxgan.gateway.results.film import displayed
from medxgan.gateway.results.ill_formed import unquoted
from medxgan.gateway.results.origin import Origin
from medxgan.gateway.results.outputs import Outputs
from medxgan.gateway.results.overlay import MapOnFilm
from medxgan.gateway.results.parametric_map import parametric_map
from medxgan.gateway.results.picture import secondary_capture
from medxgan.gateway.results.presentation_state import presentation_state
from medxgan.gateway.results.regions import Region, find_regions
from medxgan.gateway.results.report import structured_report
from medxgan.gateway.results.segmentation import segmentation


def result_series(
    source: Dataset, explanation: Explanation, outputs: Outputs, *, made_at: datetime | None = None
) -> list[Dataset]:
    """Make the results of an explanation, in the study of the film.

    Objects of different modality can't share a series: pictures, report, map, segmentation and presentation state have
    one series each. UIDs are derived from the film's SOP Instance UID, the bundle's hash and the kind of object, so
    that a repeat makes the same objects, to the byte.

    Args:
        source: the film, as it was received; its pixels may be compressed.
        explanation: of that film, with the maps that `outputs` names.
        outputs: which objects to make.
        made_at: when, to be stated in the objects; None to state the film's own date and time, which a repeat does too.

    Returns:
        The objects, the report last; ready for `save_as`. None at all where no output is asked for.

    Raises:
        UnusableFilmError: the film lacks an attribute, or its pixels can't be decoded.
        GeometryError: the explanation does not say where its maps lie.
        LookupError: the explanation lacks a map.
    """
    with unquoted():
        origin = Origin(source, explanation, made_at)
        results, regions = _shown(origin, outputs)
        if outputs.report:
            results.append(structured_report(origin, regions, results))
    return results


def _shown(origin: Origin, outputs: Outputs) -> tuple[list[Dataset], list[Region]]:
    """What shows where something is, as only a reliable explanation may, and the regions that the report tells of."""
    results: list[Dataset] = []
    if origin.explanation.verdict.status is not VerdictStatus.RELIABLE and not outputs.show_unreliable:
        return results, []
    difference, regions = MapOnFilm.of(origin.explanation, MapKind.DIFFERENCE), find_regions(origin.explanation)
    # The numbers and the regions are made of the explanation alone.
    if outputs.parametric_map:
        results.append(parametric_map(origin, difference))
    if outputs.segmentation and regions:
        results.append(segmentation(origin, regions))
    if outputs.secondary_capture or outputs.blink or outputs.presentation_state:
        film = displayed(origin.source)
        if outputs.secondary_capture:
            picture = secondary_capture(origin, film.levels, difference)
            results.append(picture)
            if outputs.blending:
                results.append(blending_state(origin, film.window, picture))
        if outputs.blink:
            results.append(blink(origin, film.levels, difference, outputs.trajectory))
        if outputs.presentation_state and regions:
            results.append(presentation_state(origin, film.window, regions))
    return results, regions
