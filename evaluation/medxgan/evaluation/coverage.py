"""The coverage curve: how good explanations are when only those with the best reconstructions are kept.

A threshold on the reconstruction's error, such as the verdict's, keeps a share of the explanations: its coverage. The
curve shows what each threshold would buy (El-Yaniv and Wiener, On the Foundations of Noise-free Selective
Classification, JMLR 2010, of classifiers that may abstain).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from medxgan.evaluation.records import Record
from medxgan.evaluation.statistics import figure_estimates

STEPS = 10
"""Equal steps of coverage, up to all explanations; the threshold's own coverage comes in between."""

OF_IMAGE = ("label_flips", "applied_label_flips")
OF_MAP = ("average_precision", "pointing_game")
MAPS = ("residual", "difference")


def coverage_curve(
    of_image: Sequence[Record], of_method: Mapping[str, Sequence[Record]], maximum_mse: float, seed: int
) -> dict[str, Any] | None:
    """The curve as it stands in report.json; None where nothing was inverted.

    Args:
        of_image: the images' own records.
        of_method: the records of each method, in the same order.
        maximum_mse: the verdict's threshold for the error of the reconstruction.
        seed: of the intervals.
    """
    if not all("reconstruction_mse" in record["figures"] for record in of_image):
        return None
    order = sorted(range(len(of_image)), key=lambda row: (_error(of_image[row]), of_image[row]["image"]))
    maps = {name: [of_method[name][row] for row in order] for name in MAPS if name in of_method}
    images = [of_image[row] for row in order]
    within = sum(_error(record) <= maximum_mse for record in images)
    counts = {-(-step * len(images) // STEPS) for step in range(1, STEPS + 1)} | {within}
    return {
        "maximum_reconstruction_mse": maximum_mse,
        "at_threshold": within / len(images),
        "points": [_point(images[:count], maps, len(images), seed) for count in sorted(counts - {0})],
    }


def _point(kept: Sequence[Record], maps: Mapping[str, Sequence[Record]], total: int, seed: int) -> dict[str, Any]:
    """What the kept images, those with the smallest errors, come to."""
    of_maps = {name: figure_estimates(records[: len(kept)], OF_MAP, seed) for name, records in maps.items()}
    return {
        "coverage": len(kept) / total,
        "images": len(kept),
        "largest_mse": _error(kept[-1]),
        **figure_estimates(kept, OF_IMAGE, seed),
        "maps": {name: estimates for name, estimates in of_maps.items() if estimates},
    }


def _error(record: Record) -> float:
    return float(record["figures"]["reconstruction_mse"])
