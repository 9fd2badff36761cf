"""`panel.png`: the whole explanation at one glance, all pictures side by side, captioned."""

from pathlib import Path

from medxgan.client.pictures import largest_magnitude
from medxgan.client.results import Execution, Explanation, ModelIdentity, VerdictStatus
from medxgan.client.sheet import Badge, Picture, Sheet

NOTE = "Research use only. Not a medical device."

BADGES = {
    VerdictStatus.RELIABLE: Badge("RELIABLE", "#1a7f37"),
    VerdictStatus.NOT_RELIABLE: Badge("NOT RELIABLE", "#b35900"),
    VerdictStatus.NOT_APPLICABLE: Badge("NOT APPLICABLE", "#57606a"),
}


def write_panel(explanation: Explanation, path: Path, *, positive_class: str) -> None:
    """Write the panel of an explanation that holds all five maps.

    Args:
        explanation: what to show.
        path: the PNG file to write; about 2000 pixels wide.
        positive_class: what a positive image shows, as the model's bundle says it.
    """
    scores = explanation.scores
    magnitude = largest_magnitude(explanation.difference)

    def score(probability: float) -> str:
        return f"{probability:.2f}  {'positive' if probability >= scores.decision_threshold else 'negative'}"

    outcome = explanation.outcome
    Sheet(
        title=sheet_title(explanation.model, f"probability of {positive_class}"),
        badge=BADGES[explanation.verdict.status],
        sentences=[
            f"An image counts as positive from {scores.decision_threshold:.2f}.",
            *(reason.sentence for reason in explanation.verdict.reasons),
        ],
        pictures=[
            Picture(explanation.original, "Original", score(scores.original)),
            Picture(explanation.reconstruction, "Reconstruction", score(scores.reconstruction)),
            Picture(explanation.negative_realization, "Negative realization", score(scores.negative_realization)),
            Picture(
                explanation.difference,
                "Difference",
                "reconstruction \N{MINUS SIGN} negative",
                colors="RdBu_r",
                low=-magnitude,
                high=magnitude,
                bar="intensity",
            ),
            Picture(explanation.colorized, "Colorized", "red adds, blue takes away"),
        ],
        columns=5,
        note=NOTE,
        small_print=small_print(
            f"{outcome.steps_taken} of {explanation.settings.steps} steps",
            f"seed {explanation.seed}",
            model=explanation.model,
            execution=explanation.execution,
        ),
    ).write(path)


def sheet_title(model: ModelIdentity, subject: str) -> str:
    """The heading of a sheet: which model, and what of its answer."""
    return f"{model.name} {model.version}: {subject}"


def small_print(*facts: str, model: ModelIdentity, execution: Execution) -> str:
    """The facts that let somebody else make the same pictures."""
    return "  \N{MIDDLE DOT}  ".join([*facts, execution.provider, f"bundle {model.bundle_sha256[:12]}"])
