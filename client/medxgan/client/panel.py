"""`panel.png`: the whole explanation at one glance, all pictures side by side, captioned."""

from pathlib import Path

import numpy as np

from medxgan.client.pictures import largest_magnitude
from medxgan.client.results import (
    Attribution,
    AttributionMethod,
    Execution,
    Explanation,
    FloatArray,
    ModelIdentity,
    VerdictStatus,
)
from medxgan.client.sheet import Badge, Picture, Sheet

NOTE = "Research use only. Not a medical device."

BADGES = {
    VerdictStatus.RELIABLE: Badge("RELIABLE", "#1a7f37"),
    VerdictStatus.NOT_RELIABLE: Badge("NOT RELIABLE", "#b35900"),
    VerdictStatus.NOT_APPLICABLE: Badge("NOT APPLICABLE", "#57606a"),
}

METHOD_NAMES = {
    AttributionMethod.GRADIENT: "Gradient",
    AttributionMethod.GUIDED_BACKPROPAGATION: "Guided backpropagation",
    AttributionMethod.GRAD_CAM: "Grad-CAM",
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
        title=_title(explanation.model, positive_class),
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
        note=NOTE,
        small_print=_small_print(
            f"{outcome.steps_taken} of {explanation.settings.steps} steps",
            f"seed {explanation.seed}",
            model=explanation.model,
            execution=explanation.execution,
        ),
    ).write(path)


def write_attribution_panel(
    attribution: Attribution, method: AttributionMethod, path: Path, *, positive_class: str
) -> None:
    """Write the panel of one method's attribution: original, attribution, and the one over the other."""
    values = attribution.values[method]
    magnitude = largest_magnitude(values)
    Sheet(
        title=_title(attribution.model, positive_class),
        badge=None,
        sentences=["What the score depends on by its gradients; no counterpart without the pathology is made."],
        pictures=[
            Picture(attribution.image, "Original", f"logit {attribution.logit:+.2f}"),
            Picture(
                values,
                METHOD_NAMES[method],
                "logit per unit of x",
                colors="RdBu_r",
                low=-magnitude,
                high=magnitude,
                bar="logit per unit of x",
            ),
            Picture(_overlay(attribution.image, values / magnitude), "Overlay", "red raises, blue lowers the score"),
        ],
        note=NOTE,
        small_print=_small_print(model=attribution.model, execution=attribution.execution),
    ).write(path)


def _overlay(image: FloatArray, strength: FloatArray) -> FloatArray:
    """[S, S, 3] in [0, 1]: the image in grey, drawn towards red or blue by a strength in [-1, 1]."""
    grey = np.repeat((np.clip(image, -1.0, 1.0)[..., np.newaxis] + 1.0) / 2.0, 3, axis=2)
    weight = np.abs(strength)[..., np.newaxis]
    red, blue = np.array([0.84, 0.15, 0.16]), np.array([0.12, 0.42, 0.78])
    tint = np.where(strength[..., np.newaxis] > 0, red, blue)
    overlay: FloatArray = ((1.0 - weight) * grey + weight * tint).astype(np.float32)
    return overlay


def _title(model: ModelIdentity, positive_class: str) -> str:
    return f"{model.name} {model.version}: probability of {positive_class}"


def _small_print(*facts: str, model: ModelIdentity, execution: Execution) -> str:
    return "  \N{MIDDLE DOT}  ".join([*facts, execution.provider, f"bundle {model.bundle_sha256[:12]}"])
