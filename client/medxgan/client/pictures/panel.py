"""`panel.png`: an explanation by inversion at one glance, all pictures side by side, captioned."""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from medxgan.client.pictures.appearance import APPEARANCES
from medxgan.client.pictures.files import drawable
from medxgan.client.pictures.sheet import Badge, Picture, Sheet
from medxgan.client.results import Execution, Explanation, ModelIdentity, Score, Verdict
from medxgan.client.vocabulary import MapKind, VerdictStatus

NOTE = "Research use only. Not a medical device."

BADGE_COLORS = {
    VerdictStatus.RELIABLE: "#1a7f37",
    VerdictStatus.NOT_RELIABLE: "#b35900",
}
"""Of the verdicts that judge the explanation; the others are grey."""


SHOWN = (
    MapKind.ORIGINAL,
    MapKind.RECONSTRUCTION,
    MapKind.NEGATIVE_REALIZATION,
    MapKind.APPLIED_NEGATIVE,
    MapKind.DIFFERENCE,
    MapKind.COLORIZED,
    MapKind.RESIDUAL,
    MapKind.UNCERTAINTY,
)
"""The maps of the panel in its order; the positive realization has a panel of its own, attributions their sheets."""


def write_panel(explanation: Explanation, file: Path | BinaryIO, *, positive_class: str) -> None:
    """Write the panel of an explanation.

    Args:
        explanation: what to show.
        file: the PNG file to write, by its path or open; about 2000 pixels wide.
        positive_class: what a positive image shows, as the model's bundle says it.
    """
    panel(explanation, positive_class=positive_class).write(file)


def panel(explanation: Explanation, *, positive_class: str) -> Sheet:
    """The panel of an explanation, five pictures in a row, or four where they are more."""
    pictures = [
        _picture(explanation, kind) for kind in SHOWN if kind in explanation.maps and drawable(explanation.maps[kind])
    ]
    return Sheet(
        title=sheet_title(explanation.model, f"probability of {positive_class}"),
        badge=verdict_badge(explanation.verdict),
        sentences=[
            f"An image counts as positive from {explanation.scores.decision_threshold:.2f}.",
            *(reason.sentence for reason in explanation.verdict.reasons),
        ],
        pictures=pictures,
        columns=5 if len(pictures) <= 5 else 4,
        note=NOTE,
        small_print=small_print(
            *inversion_facts(explanation), model=explanation.model, execution=explanation.execution
        ),
    )


def verdict_badge(verdict: Verdict) -> Badge:
    """The verdict in capitals on its colour."""
    colors = {status.value: color for status, color in BADGE_COLORS.items()}
    return Badge(verdict.status.value.replace("_", " ").upper(), colors.get(verdict.status.value, "#57606a"))


def score_caption(score: Score | None) -> str:
    """A score and what the classifier makes of it; empty where there is none."""
    return "" if score is None else f"{score.probability:.2f}  {'positive' if score.positive else 'negative'}"


def sheet_title(model: ModelIdentity, subject: str) -> str:
    """The heading of a sheet: which model, and what of its answer."""
    return f"{model.name} {model.version}: {subject}"


def small_print(*facts: str, model: ModelIdentity, execution: Execution) -> str:
    """The facts that let somebody else make the same pictures."""
    return "  \N{MIDDLE DOT}  ".join([*facts, execution.provider, f"bundle {model.bundle_sha256[:12]}"])


def inversion_facts(explanation: Explanation) -> Iterator[str]:
    """The settings and the outcome of the inversion, in a few words each; none where nothing was inverted."""
    settings, outcome = explanation.settings.inversion, explanation.outcome
    if settings is None or outcome is None:
        return
    yield f"{outcome.steps_taken} of {settings.steps} steps"
    if settings.restarts is not None and settings.restarts > 1:
        yield f"restart {outcome.restart + 1} of {settings.restarts}"
    yield f"seed {explanation.settings.seed}"


def _picture(explanation: Explanation, kind: MapKind) -> Picture:
    values, scores = explanation[kind], explanation.scores
    match kind:
        case MapKind.ORIGINAL:
            return Picture(values, "Original", score_caption(scores.original))
        case MapKind.RECONSTRUCTION:
            return Picture(values, "Reconstruction", score_caption(scores.reconstruction))
        case MapKind.NEGATIVE_REALIZATION:
            return Picture(values, "Negative realization", score_caption(scores.negative_realization))
        case MapKind.APPLIED_NEGATIVE:
            return Picture(values, "Applied negative", score_caption(scores.applied_negative))
        case MapKind.DIFFERENCE:
            return Picture.signed(
                values,
                "Difference",
                "reconstruction \N{MINUS SIGN} negative",
                "intensity",
                least=APPEARANCES[kind].least,
            )
        case MapKind.COLORIZED:
            return Picture(values, "Colorized", "red adds, blue takes away")
        case MapKind.RESIDUAL:
            caption = "where image and difference agree"
            return Picture.signed(values, "Residual", caption, "intensity, squared", least=APPEARANCES[kind].least)
        case MapKind.UNCERTAINTY:
            inversion = explanation.settings.inversion
            caption = "of the difference" + (f", {inversion.restarts} restarts" if inversion is not None else "")
            return Picture.unsigned(values, "Uncertainty", caption, "standard deviation", least=APPEARANCES[kind].least)
        case _:
            raise ValueError(f"the panel does not show the map {kind.value!r}")
