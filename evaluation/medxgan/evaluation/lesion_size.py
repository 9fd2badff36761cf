"""Localisation by the size of the lesion: what a mean over all images says little of.

The larger a lesion, the easier it is found by any map, a random one too. So each figure stands beside that of the
random map on the same images (by size, saliency maps are compared in CheXlocalize; Saporta et al., Nature Machine
Intelligence 2022).
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from medxgan.evaluation.records import Record
from medxgan.evaluation.statistics import figure_estimates

THIRDS = 3
FIGURES = ("average_precision", "pointing_game", "iou")
LESION_SHARE = "lesion_share"
"""Key of an image's record: the share of the image that the mask has; None where there is none."""


def by_lesion_size(
    of_image: Sequence[Record], of_method: Mapping[str, Sequence[Record]], seed: int
) -> list[dict[str, Any]]:
    """A third of the images each, those with the smallest lesions first; empty where fewer than three have a mask.

    Args:
        of_image: the images' own records.
        of_method: the records of each method and baseline, in the same order.
        seed: of the intervals.
    """
    measured = [row for row, record in enumerate(of_image) if record[LESION_SHARE] is not None]
    order = sorted(measured, key=lambda row: (of_image[row][LESION_SHARE], of_image[row]["image"]))
    ends = [third * len(order) // THIRDS for third in range(THIRDS + 1)]
    thirds = [order[start:end] for start, end in pairwise(ends)]
    if not all(thirds):
        return []
    return [
        {
            "images": len(rows),
            "smallest": of_image[rows[0]][LESION_SHARE],
            "largest": of_image[rows[-1]][LESION_SHARE],
            "methods": {
                name: figure_estimates((records[row] for row in rows), FIGURES, seed)
                for name, records in of_method.items()
            },
        }
        for rows in thirds
    ]
