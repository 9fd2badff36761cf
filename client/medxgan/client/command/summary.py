"""The short table that ends the explanation of an image."""

import numpy as np
from rich.table import Table
from rich.text import Text

from medxgan.client.pictures.appearance import PICTURES, appearance
from medxgan.client.pictures.files import drawable
from medxgan.client.pictures.positive_panel import has_positive_search, positive_sentence
from medxgan.client.results import Explanation, Score, Scores, Verdict
from medxgan.client.vocabulary import MapKind, VerdictStatus

STYLES = {
    VerdictStatus.RELIABLE.value: "bold green",
    VerdictStatus.NOT_RELIABLE.value: "bold yellow",
}
"""Of the verdicts that judge the explanation; the others are bold."""


def explanation_table(explanation: Explanation, *, image: str, positive_class: str) -> Table:
    """Scores, verdict, maps, time by part and provider of one explanation of the file `image`."""
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("image", Text(image))
    table.add_row("model", Text(f"{explanation.model.name} {explanation.model.version}"))
    _add_scores(table, explanation.scores, positive_class)
    _add_verdict(table, explanation.verdict)
    if explanation.target is not None:
        table.add_row("logit", Text(f"{explanation.target.logit:+.3f} of {explanation.target.class_name}"))
    _add_maps(table, explanation)
    _add_inversion(table, explanation)
    _add_time(table, explanation)
    table.add_row("provider", Text(explanation.execution.provider))
    if explanation.execution.fallback:
        table.add_row("", Text(explanation.execution.fallback_reason, style="yellow"))
    for note in explanation.notes:
        table.add_row("note", Text(note))
    return table


def _add_scores(table: Table, scores: Scores, positive_class: str) -> None:
    table.add_row("score", Text(f"probability of {positive_class}, positive from {scores.decision_threshold:.2f}"))
    for name, score in (
        ("original", scores.original),
        ("reconstruction", scores.reconstruction),
        ("negative", scores.negative_realization),
    ):
        if score is not None:
            table.add_row(f"  {name}", f"{score.probability:.3f}, {'positive' if score.positive else 'negative'}")
    if scores.applied_negative is not None:
        told = _applied_in_words(scores.original, scores.applied_negative)
        table.add_row("  applied negative", f"{scores.applied_negative.probability:.3f}, {told}")


def _applied_in_words(original: Score, applied: Score) -> str:
    """What it says that the original minus the difference scores as it does."""
    if applied.positive:
        if original.positive:
            return "still positive: taking the difference away from the original does not take the finding away"
        return "positive, although the original is not: the difference can't be taken away from it"
    if original.positive:
        return "negative: taking the difference away from the original is enough to take the finding away"
    return "negative, as the original is"


def _add_verdict(table: Table, verdict: Verdict) -> None:
    status = verdict.status.value
    table.add_row("verdict", Text(status.replace("_", " ").upper(), style=STYLES.get(status, "bold")))
    for reason in verdict.reasons:
        table.add_row("", Text(reason.sentence or reason.code.value))


def _add_maps(table: Table, explanation: Explanation) -> None:
    """The maps that are no pictures of the patient: their time, and how far an integral adds up."""
    shown = [(kind, entry) for kind, entry in explanation.maps.items() if kind not in PICTURES]
    for number, (kind, entry) in enumerate(shown):
        told = f"{'inversion + ' if appearance(kind).inverts else ''}{entry.elapsed_ms:.3g} ms"
        if not drawable(entry):
            told = "came in a form that this client does not recognise"
        table.add_row("" if number else "map", Text(f"{appearance(kind).name}, {told}"))
        if entry.completeness is not None:
            table.add_row(
                "",
                f"  sum {entry.completeness.attributed:+.3f}, logit's change {entry.completeness.change:+.3f}, "
                f"error {entry.completeness.error:.2g}",
            )


def _add_inversion(table: Table, explanation: Explanation) -> None:
    settings, outcome = explanation.settings.inversion, explanation.outcome
    if has_positive_search(explanation):
        table.add_row("positive", positive_sentence(explanation))
    if settings is None or outcome is None:
        return
    if outcome.difference_spread is not None:
        told = f"{outcome.difference_spread:.2g} on average over {settings.restarts} restarts"
        if MapKind.DIFFERENCE in explanation.maps and drawable(explanation.maps[MapKind.DIFFERENCE]):
            magnitude = float(np.abs(explanation.difference).mean())
            told += f", where the difference itself is {magnitude:.2g}"
        table.add_row("uncertainty", told)
    settled = ", settled" if outcome.converged else ""
    table.add_row("steps", f"{outcome.steps_taken} of {settings.steps}{settled}")


def _add_time(table: Table, explanation: Explanation) -> None:
    timing = explanation.timing
    table.add_row("time", f"{timing.total_ms:.0f} ms")
    table.add_row("  queued", f"{timing.queued_ms:.0f} ms")
    table.add_row("  preprocess", f"{timing.preprocess_ms:.0f} ms")
    if explanation.outcome is not None:
        table.add_row("  inversion", f"{timing.inversion_ms:.0f} ms")
    if explanation.positive_outcome is not None and explanation.positive_outcome.steps_taken:
        table.add_row("  positive", f"{timing.positive_realization_ms:.0f} ms")
    table.add_row("  maps", f"{timing.maps_ms:.0f} ms")
