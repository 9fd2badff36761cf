"""The report's sections on the coverage curve, on the size of lesions and on shortcuts."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from medxgan.evaluation.catalogue import IMAGE_FIGURES, METHOD_FIGURES
from medxgan.evaluation.coverage import OF_IMAGE, OF_MAP
from medxgan.evaluation.lesion_size import FIGURES
from medxgan.evaluation.report.tables import (
    bold,
    interval,
    interval_or_missing,
    markdown_table,
    number,
    picture_link,
    spoken_name,
)
from medxgan.evaluation.summary import ALL, Report


def coverage_section(report: Report, pictures: Sequence[str]) -> Iterable[str]:
    """The section's paragraphs; none where nothing was inverted.

    Args:
        report: from `summarise`.
        pictures: PNG files beside the text.
    """
    coverage = report["coverage"]
    if coverage is None:
        return
    maximum, points = coverage["maximum_reconstruction_mse"], coverage["points"]
    yield "## Coverage"
    yield (
        "The explanations in the order of their reconstruction's mean squared error, the smallest first. A row keeps "
        "the first of them, up to its largest error. Where rows do not get worse downwards, the error of the "
        "reconstruction does not tell good explanations from bad ones."
    )
    yield (
        f"The verdict's threshold for it, {number(maximum)}, keeps {coverage['at_threshold']:.0%}: the row in bold, if "
        "any. The verdict asks for more than this alone."
    )
    titles = {figure.name: figure.title for figure in (*METHOD_FIGURES, *IMAGE_FIGURES)}
    names = list(points[-1]["maps"])
    head = (
        "coverage",
        "images",
        "largest MSE",
        *(titles[name] for name in OF_IMAGE),
        *(f"{titles[figure]}, {spoken_name(name)}" for figure in OF_MAP for name in names),
    )
    yield markdown_table(head, (_row(point, names, point["coverage"] == coverage["at_threshold"]) for point in points))
    yield from picture_link(pictures, "coverage.png")


def lesion_size_section(report: Report) -> Iterable[str]:
    """The section's paragraphs; none where fewer than three images have a mask."""
    thirds = report["by_lesion_size"]
    if not thirds:
        return
    yield "## Localisation by the size of the lesion"
    yield (
        "The explained images in three equal parts, by the mask's share of the image. Large lesions are found more "
        "easily by any map: the random one, in the last row, says how much more."
    )
    titles = {figure.name: figure.title for figure in METHOD_FIGURES}
    columns = [(figure, third) for figure in FIGURES for third in thirds]
    head = ("method", *(f"{titles[figure]}, {_sizes(third)}" for figure, third in columns))
    names = [*report["methods"], "random"]
    yield markdown_table(
        head,
        (
            (spoken_name(name), *(interval(third["methods"][name][figure]) for figure, third in columns))
            for name in names
        ),
    )


def _sizes(third: Mapping[str, Any]) -> str:
    return f"{third['smallest']:.1%} to {third['largest']:.1%} ({third['images']})"


def estimated_regions(report: Report) -> str:
    """How the regions came about, and on how many films; empty where shortcuts were not asked for."""
    found = report["explanations"][ALL]
    if "lung_fields_found" not in found:
        return ""
    lungs, marks = found["lung_fields_found"], found["marks_found"]
    return (
        "How much of each map falls on what is not the anatomy of interest, against how much would by chance (1). More "
        "is not worse of a method: a map should fall on a mark where the classifier looks at the mark.\n\n"
        "The regions are estimated by thresholding and were not drawn by a radiologist. Lung fields are what is dark: "
        "lung that is white with disease counts as outside. Sharp edges of bones can pass for marks, and faint marks "
        f"are missed. Of {lungs['images']} films, {_count(lungs)} have two plausible lung fields; the others are left "
        f"out of that column. {_count(marks)} have marks."
    )


def _row(point: Mapping[str, Any], names: Sequence[str], marked: bool) -> list[str]:
    cells = [
        f"{point['coverage']:.0%}",
        str(point["images"]),
        number(point["largest_mse"]),
        *(interval_or_missing(point[figure]) for figure in OF_IMAGE),
        *(interval_or_missing(point["maps"].get(name, {}).get(figure)) for figure in OF_MAP for name in names),
    ]
    return [bold(cell, marked) for cell in cells]


def _count(share: Report) -> str:
    return f"{share['value'] * share['images']:.0f}"
