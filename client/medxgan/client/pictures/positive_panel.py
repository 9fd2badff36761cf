"""`positive-panel.png`: of an image that the classifier calls negative, the least that would make it positive."""

from pathlib import Path

from medxgan.client.pictures.appearance import GREY_LEVEL
from medxgan.client.pictures.panel import NOTE, score_caption, sheet_title, small_print
from medxgan.client.pictures.sheet import Badge, Picture, Sheet
from medxgan.client.results import Explanation, PositiveRealizationOutcome, Score
from medxgan.client.vocabulary import MapKind

FOUND, NOT_FOUND = Badge("FOUND", "#1a7f37"), Badge("NOT FOUND", "#b35900")


def write_positive_panel(explanation: Explanation, path: Path, *, positive_class: str) -> None:
    """Write the panel of a positive realization.

    Args:
        explanation: of an image that the classifier calls negative.
        path: the PNG file to write; about 2000 pixels wide.
        positive_class: what a positive image shows, as the model's bundle says it.

    Raises:
        LookupError: original, negative realization or positive realization was not asked for.
    """
    scores = explanation.scores
    outcome, score = _outcome_and_score(explanation)
    negative, positive = explanation.negative_realization, explanation[MapKind.POSITIVE_REALIZATION]
    Sheet(
        title=sheet_title(explanation.model, f'what would make it "{positive_class}"'),
        badge=FOUND if outcome.found else NOT_FOUND,
        sentences=[
            f"An image counts as positive from {scores.decision_threshold:.2f}. {positive_sentence(explanation)}",
            "Only the pathology code changes, from zero on: the generator's picture of the patient becomes positive, "
            "not the original.",
        ],
        pictures=[
            Picture(explanation.original, "Original", score_caption(scores.original)),
            Picture(negative, "Negative realization", score_caption(scores.negative_realization)),
            Picture(positive, "Positive realization", score_caption(score)),
            Picture.signed(
                positive - negative, "Change", "positive \N{MINUS SIGN} negative", "intensity", least=GREY_LEVEL
            ),
        ],
        columns=4,
        note=NOTE,
        small_print=small_print(
            f"mean squared change {outcome.change_mse:.2g}",
            f"seed {explanation.settings.seed}",
            model=explanation.model,
            execution=explanation.execution,
        ),
    ).write(path)


def has_positive_search(explanation: Explanation) -> bool:
    """Whether there is a positive realization to tell of: the image is negative, and one was asked for."""
    scores = explanation.scores
    return (
        not scores.original.positive
        and scores.positive_realization is not None
        and explanation.positive_outcome is not None
    )


def positive_sentence(explanation: Explanation) -> str:
    """Whether the positive realization of a negative image was found; raises LookupError where it was not asked for."""
    outcome, score = _outcome_and_score(explanation)
    steps = f"{outcome.steps_taken} {'step' if outcome.steps_taken == 1 else 'steps'}"
    if not outcome.found:
        return f"No positive realization was found in {steps}; the nearest attempt scores {score.probability:.3f}."
    if outcome.scale == 0:
        return "The negative realization is called positive already: nothing needs to change."
    return f"A positive realization was found in {steps}; it scores {score.probability:.3f}."


def _outcome_and_score(explanation: Explanation) -> tuple[PositiveRealizationOutcome, Score]:
    outcome, score = explanation.positive_outcome, explanation.scores.positive_realization
    if outcome is None or score is None:
        raise LookupError("the positive realization was not asked for")
    return outcome, score
