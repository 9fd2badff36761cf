"""The regions that the evidence lies in, as a Segmentation: one segment each, of the film's rows and columns."""

from collections.abc import Sequence
from copy import deepcopy

import numpy as np
from highdicom import AlgorithmIdentificationSequence
from highdicom.seg import Segmentation, SegmentDescription
from pydicom import Dataset
from pydicom.sr.codedict import codes as standard

from medxgan.gateway.results import codes
from medxgan.gateway.results.origin import MANUFACTURER, Origin, Series
from medxgan.gateway.results.regions import Region, evidence_kind

SEGMENTS = Series("segments", 4, "medxgan: evidence regions, research only")


def segmentation(origin: Origin, regions: Sequence[Region]) -> Dataset:
    """The regions, of which there is at least one, binary; numbered and tracked as in the report."""
    model = origin.explanation.model
    algorithm = AlgorithmIdentificationSequence(
        name=origin.algorithm_name,
        family=standard.cid7162.ArtificialIntelligence,
        version=model.version,
        source=MANUFACTURER,
        parameters={
            "bundle_sha256": model.bundle_sha256,
            "map": evidence_kind(origin.explanation).value,
            "threshold": "Otsu",
        },
    )
    descriptions = [
        SegmentDescription(
            segment_number=number,
            segment_label=f"evidence region {number}",
            segmented_property_category=codes.SPATIAL_CONCEPT,
            segmented_property_type=codes.EVIDENCE_REGION,
            algorithm_type="AUTOMATIC",
            algorithm_identification=algorithm,
            tracking_uid=origin.uid(f"region {number}"),
            tracking_id=f"region {number}",
        )
        for number in range(1, len(regions) + 1)
    ]
    film = deepcopy(origin.film)
    if not origin.has_place:
        # highdicom does not read what it writes of a film with a spacing and without a slice thickness. The segments
        # lie on the film pixel by pixel, and it has its spacing.
        film.pop("PixelSpacing", None)
    result = Segmentation(
        source_images=[film],
        pixel_array=np.stack([region.mask for region in regions], axis=-1)[np.newaxis].astype(np.uint8),
        segmentation_type="BINARY",
        segment_descriptions=descriptions,
        content_label="EVIDENCE",
        content_description="Regions that the classifier's score rests on",
        coding_schemes=codes.CODING_SCHEMES,
        **origin.identification(SEGMENTS, "segmentation"),
    )
    if not origin.has_place:
        result.PatientOrientation = origin.source.get("PatientOrientation")
    return origin.finished(result)
