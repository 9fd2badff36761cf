"""Sheets of attributions: `panel.png` of one method, `comparison.png` of several side by side."""

from collections.abc import Collection, Iterator
from pathlib import Path

from medxgan.client.appearance import APPEARANCES, map_picture, overlay
from medxgan.client.panel import BADGES, NOTE, sheet_title, small_print
from medxgan.client.results import Attribution, AttributionMethod
from medxgan.client.sheet import Picture, Sheet


def write_attribution_panel(attribution: Attribution, method: AttributionMethod, path: Path) -> None:
    """Write the panel of one method's attribution: original, attribution, and the one over the other.

    Args:
        attribution: holds the map of `method`.
        method: what to show.
        path: the PNG file to write; about 2000 pixels wide.
    """
    _sheet(
        attribution,
        [method],
        sentences=[APPEARANCES[method].reading, *_sentences(attribution, method)],
        pictures=[
            Picture(attribution.image, "Original", f"logit {attribution.logit:+.2f}"),
            map_picture(attribution, method, _caption(attribution, method)),
            Picture(overlay(attribution, method), "Overlay", "the stronger, the more colour"),
        ],
        columns=3,
    ).write(path)


def write_comparison(attribution: Attribution, path: Path) -> None:
    """Write the comparison of every method that an attribution holds: the original first, at most four in a row.

    Each map has a scale of its own: where it is strong can be compared between methods, how strong cannot.

    Args:
        attribution: what to show.
        path: the PNG file to write; about 2000 pixels wide.
    """
    methods = list(attribution.values)
    original = Picture(attribution.image, "Original", f"logit {attribution.logit:+.2f}")
    _sheet(
        attribution,
        methods,
        sentences=[
            "Each map has a scale of its own, up to its largest magnitude: compare where, not how much.",
            *(sentence for method in methods for sentence in _sentences(attribution, method)),
        ],
        pictures=[original, *(map_picture(attribution, method, _caption(attribution, method)) for method in methods)],
        # More than four in a row, and headings and scales run into each other.
        columns=min(4, (len(methods) + 2) // 2),
    ).write(path)


def _sheet(
    attribution: Attribution,
    methods: list[AttributionMethod],
    *,
    sentences: list[str],
    pictures: list[Picture],
    columns: int,
) -> Sheet:
    # In a comparison the badge is about some of the maps only.
    about = [APPEARANCES[method].name for method in methods if method.needs_generator]
    verdict = attribution.verdict if about else None
    if verdict is not None:
        judged = f"{BADGES[verdict.status].text} is the verdict on: {', '.join(about)}."
        sentences = [*sentences, judged, *(reason.sentence for reason in verdict.reasons)]
    return Sheet(
        title=sheet_title(attribution.model, f"logit of {attribution.target_class}"),
        badge=None if verdict is None else BADGES[verdict.status],
        sentences=sentences,
        pictures=pictures,
        columns=columns,
        note=NOTE,
        small_print=small_print(
            *_facts(attribution, methods), model=attribution.model, execution=attribution.execution
        ),
    )


def _caption(attribution: Attribution, method: AttributionMethod) -> str:
    """One short line: the error of completeness where there is one, else the time."""
    if method in attribution.completeness:
        return f"completeness error {attribution.completeness[method].error:.2g}"
    shared = "inversion + " if method.needs_generator else ""
    return f"{shared}{attribution.elapsed_ms[method]:.3g} ms"


def _sentences(attribution: Attribution, method: AttributionMethod) -> Iterator[str]:
    """How far an integral of gradients adds up."""
    if method in attribution.completeness:
        completeness = attribution.completeness[method]
        yield (
            f"{APPEARANCES[method].name} adds up to {completeness.attributed:+.3f} where the logit changes by "
            f"{completeness.change:+.3f}: error {completeness.error:.2g}."
        )


def _facts(attribution: Attribution, methods: Collection[AttributionMethod]) -> Iterator[str]:
    """The settings in force for these methods, in a few words each."""
    path, windows, inversion = attribution.integrated_gradients, attribution.occlusion, attribution.inversion
    if path is not None and {*attribution.completeness, AttributionMethod.EVIDENCE_MAP} & {*methods}:
        yield f"{path.steps} points of the path"
    if path is not None and {AttributionMethod.INTEGRATED_GRADIENTS, AttributionMethod.EVIDENCE_MAP} & {*methods}:
        yield f"baseline {path.baseline:g}"
    if windows is not None and AttributionMethod.OCCLUSION in methods:
        yield f"window {windows.window} by {windows.stride} at {windows.level:g}"
    if inversion is not None and any(method.needs_generator for method in methods):
        yield f"{inversion.steps} steps"
        yield f"seed {attribution.seed}"
