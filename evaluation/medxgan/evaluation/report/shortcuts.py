"""What the report says before its table on shortcuts."""

from medxgan.evaluation.summary import ALL, Report


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


def _count(share: Report) -> str:
    return f"{share['value'] * share['images']:.0f}"
