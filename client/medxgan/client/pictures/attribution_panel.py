"""Sheets of single maps: `panel.png` of one, `comparison.png` of several side by side."""

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from medxgan.client.pictures.appearance import appearance, map_picture, overlay
from medxgan.client.pictures.panel import NOTE, inversion_facts, score_caption, sheet_title, small_print, verdict_badge
from medxgan.client.pictures.sheet import Picture, Sheet
from medxgan.client.results import Explanation
from medxgan.client.vocabulary import MapKind, Unrecognised


def write_attribution_panel(explanation: Explanation, kind: MapKind | Unrecognised, path: Path) -> None:
    """Write the panel of one map: original, map, and the one over the other.

    Args:
        explanation: holds the original and the map.
        kind: what to show, a map that is no picture of the patient.
        path: the PNG file to write; about 2000 pixels wide.
    """
    _sheet(
        explanation,
        [kind],
        sentences=[appearance(kind).reading, *_sentences(explanation, kind)],
        pictures=[
            _original(explanation),
            map_picture(explanation, kind, _caption(explanation, kind)),
            Picture(overlay(explanation, kind), "Overlay", "the stronger, the more colour"),
        ],
        columns=3,
    ).write(path)


def write_comparison(explanation: Explanation, kinds: Sequence[MapKind | Unrecognised], path: Path) -> None:
    """Write the comparison of several maps: the original first, at most four in a row.

    Each map has a scale of its own: where it is strong can be compared between maps, how strong cannot.

    Args:
        explanation: holds the original and the maps.
        kinds: what to show, maps that are no pictures of the patient.
        path: the PNG file to write; about 2000 pixels wide.
    """
    _sheet(
        explanation,
        kinds,
        sentences=[
            "Each map has a scale of its own, up to its largest magnitude: compare where, not how much.",
            *(sentence for kind in kinds for sentence in _sentences(explanation, kind)),
        ],
        pictures=[
            _original(explanation),
            *(map_picture(explanation, kind, _caption(explanation, kind)) for kind in kinds),
        ],
        # More than four in a row, and headings and scales run into each other.
        columns=min(4, (len(kinds) + 2) // 2),
    ).write(path)


def _sheet(
    explanation: Explanation,
    kinds: Sequence[MapKind | Unrecognised],
    *,
    sentences: list[str],
    pictures: list[Picture],
    columns: int,
) -> Sheet:
    # In a comparison the badge is about some of the maps only.
    about = [appearance(kind).name for kind in kinds if appearance(kind).inverts]
    badge, verdict = verdict_badge(explanation.verdict), explanation.verdict
    if about:
        sentences = [*sentences, f"{badge.text} is the verdict on: {', '.join(about)}."]
    target = explanation.target
    return Sheet(
        title=sheet_title(
            explanation.model, f"logit of {target.class_name}" if target is not None else "where the pathology lies"
        ),
        badge=badge,
        sentences=[sentence for sentence in (*sentences, *(reason.sentence for reason in verdict.reasons)) if sentence],
        pictures=pictures,
        columns=columns,
        note=NOTE,
        small_print=small_print(*_facts(explanation, kinds), model=explanation.model, execution=explanation.execution),
    )


def _original(explanation: Explanation) -> Picture:
    target = explanation.target
    caption = score_caption(explanation.scores.original) if target is None else f"logit {target.logit:+.2f}"
    return Picture(explanation.original, "Original", caption)


def _caption(explanation: Explanation, kind: MapKind | Unrecognised) -> str:
    """One short line: the error of completeness where there is one, else the time."""
    entry = explanation.maps[kind]
    if entry.completeness is not None:
        return f"completeness error {entry.completeness.error:.2g}"
    shared = "inversion + " if appearance(kind).inverts else ""
    return f"{shared}{entry.elapsed_ms:.3g} ms"


def _sentences(explanation: Explanation, kind: MapKind | Unrecognised) -> Iterator[str]:
    """How far an integral of gradients adds up."""
    completeness = explanation.maps[kind].completeness
    if completeness is not None:
        yield (
            f"{appearance(kind).name} adds up to {completeness.attributed:+.3f} where the logit changes by "
            f"{completeness.change:+.3f}: error {completeness.error:.2g}."
        )


def _facts(explanation: Explanation, kinds: Collection[MapKind | Unrecognised]) -> Iterator[str]:
    """The settings in force for these maps, in a few words each."""
    path, windows = explanation.settings.integrated_gradients, explanation.settings.occlusion
    if path is not None:
        yield f"{path.steps} points of the path"
        if {MapKind.INTEGRATED_GRADIENTS, MapKind.EVIDENCE} & {*kinds}:
            yield f"baseline {path.baseline:g}"
    if windows is not None and MapKind.OCCLUSION in kinds:
        yield f"window {windows.window} by {windows.stride} at {windows.level:g}"
    if any(appearance(kind).inverts for kind in kinds):
        yield from inversion_facts(explanation)
