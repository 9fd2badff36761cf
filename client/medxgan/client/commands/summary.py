"""The short table that ends the explanation of an image."""

import numpy as np
from rich.table import Table
from rich.text import Text

from medxgan.client.appearance import APPEARANCES
from medxgan.client.positive_panel import positive_sentence
from medxgan.client.results import Attribution, Execution, Explanation, ModelIdentity, Scores, Verdict, VerdictStatus

STYLES = {
    VerdictStatus.RELIABLE: "bold green",
    VerdictStatus.NOT_RELIABLE: "bold yellow",
    VerdictStatus.NOT_APPLICABLE: "bold",
}


def explanation_table(explanation: Explanation, *, image: str, positive_class: str) -> Table:
    """Scores, verdict, time by part and provider of one explanation of the file `image`."""
    scores, timing, outcome = explanation.scores, explanation.timing, explanation.outcome
    table = _table(image, explanation.model)
    table.add_row("score", Text(f"probability of {positive_class}, positive from {scores.decision_threshold:.2f}"))
    table.add_row("  original", f"{scores.original:.3f}")
    table.add_row("  reconstruction", f"{scores.reconstruction:.3f}")
    table.add_row("  negative", f"{scores.negative_realization:.3f}")
    table.add_row("  applied negative", f"{scores.applied_negative:.3f}, {_applied_in_words(scores)}")
    _add_verdict(table, explanation.verdict)
    if not scores.image_is_positive:
        table.add_row("positive", positive_sentence(explanation))
    if outcome.difference_spread is not None:
        table.add_row("uncertainty", _uncertainty_in_words(explanation, outcome.difference_spread))
    settled = ", settled" if outcome.converged else ""
    table.add_row("steps", f"{outcome.steps_taken} of {explanation.settings.steps}{settled}")
    table.add_row("time", f"{timing.total_ms:.0f} ms")
    table.add_row("  queued", f"{timing.queued_ms:.0f} ms")
    table.add_row("  preprocess", f"{timing.preprocess_ms:.0f} ms")
    table.add_row("  inversion", f"{timing.inversion_ms:.0f} ms")
    if explanation.positive_outcome is not None and explanation.positive_outcome.steps_taken:
        table.add_row("  positive", f"{timing.positive_realization_ms:.0f} ms")
    table.add_row("  maps", f"{timing.maps_ms:.0f} ms")
    return _with_circumstances(table, explanation.execution, explanation.notes)


def attribution_table(attribution: Attribution, *, image: str) -> Table:
    """Logit, methods with their time and completeness, verdict and provider of one attribution of the file `image`."""
    table = _table(image, attribution.model)
    table.add_row("logit", Text(f"{attribution.logit:+.3f} of {attribution.target_class}"))
    for number, (method, milliseconds) in enumerate(attribution.elapsed_ms.items()):
        shared = "inversion + " if method.needs_generator else ""
        table.add_row("" if number else "method", Text(f"{APPEARANCES[method].name}, {shared}{milliseconds:.3g} ms"))
        if method in attribution.completeness:
            completeness = attribution.completeness[method]
            table.add_row(
                "",
                f"  sum {completeness.attributed:+.3f}, logit's change {completeness.change:+.3f}, "
                f"error {completeness.error:.2g}",
            )
    if attribution.verdict is not None:
        _add_verdict(table, attribution.verdict)
    return _with_circumstances(table, attribution.execution, attribution.notes)


def _applied_in_words(scores: Scores) -> str:
    """What it says that the original minus the difference scores as it does."""
    if scores.is_positive(scores.applied_negative):
        if scores.image_is_positive:
            return "still positive: taking the difference away from the original does not take the finding away"
        return "positive, although the original is not: the difference can't be taken away from it"
    if scores.image_is_positive:
        return "negative: taking the difference away from the original is enough to take the finding away"
    return "negative, as the original is"


def _uncertainty_in_words(explanation: Explanation, spread: float) -> str:
    magnitude = float(np.abs(explanation.difference).mean())
    return (
        f"{spread:.2g} on average over {explanation.settings.restarts} restarts, "
        f"where the difference itself is {magnitude:.2g}"
    )


def _table(image: str, model: ModelIdentity) -> Table:
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("image", Text(image))
    table.add_row("model", Text(f"{model.name} {model.version}"))
    return table


def _add_verdict(table: Table, verdict: Verdict) -> None:
    table.add_row("verdict", Text(verdict.status.value.replace("_", " ").upper(), style=STYLES[verdict.status]))
    for reason in verdict.reasons:
        table.add_row("", Text(reason.sentence))


def _with_circumstances(table: Table, execution: Execution, notes: tuple[str, ...]) -> Table:
    table.add_row("provider", Text(execution.provider))
    if execution.fallback:
        table.add_row("", Text(execution.fallback_reason, style="yellow"))
    for note in notes:
        table.add_row("note", Text(note))
    return table
