"""What the classifier may go by other than disease, from what is stated and from what was measured."""

from medxgan.export.model_card.figures import Figures, measured_on
from medxgan.export.model_card.markdown import bullets, number, table
from medxgan.v1.bundle_pb2 import Bundle


def shortcuts(bundle: Bundle, figures: Figures) -> str:
    """The section, in Markdown."""
    stated = bullets(bundle.provenance.limitations) or "None are stated."
    sources = _sources(figures)
    return stated if sources is None else f"{stated}\n\n{sources}"


def _sources(figures: Figures) -> str | None:
    overall, within = figures.metric("classifier_auc"), figures.within_sources()
    if overall is None or not within:
        return None
    rows = [("all", number(overall.value), "", measured_on(overall))]
    rows += [
        (source, number(metric.value), f"{metric.value - overall.value:+.3f}", measured_on(metric))
        for source, metric in within.items()
    ]
    header = ("Source", "Area under the classifier's ROC curve", "Against all", "Measured on")
    lower = [source for source, metric in within.items() if metric.value < overall.value]
    return (
        "Where one class comes mostly from one source, a classifier can score well by telling the sources apart, by "
        "machine, exposure or marking. Within a single source that does not help it:\n\n"
        f"{table(header, rows)}\n\n{_meaning(lower)}"
    )


def _meaning(lower: list[str]) -> str:
    """What it says that the figure is lower within these sources than over all."""
    if not lower:
        return (
            "Within no source is the figure lower than over all: it gives no sign that the classifier tells the "
            "classes apart by their source."
        )
    return (
        f"Within {', '.join(lower)} the figure is lower than over all: a part of the overall figure, as large as the "
        "gap, may come from telling the sources apart, and an explanation then shows what tells them apart, not "
        "disease. On few images a gap may also be chance."
    )
