"""Whether an explanation can be relied on, from what was measured. A verdict is a value, not an error."""

from medxgan.server.explanation.explanation import Inverted, OpenedImage
from medxgan.v1 import bundle_pb2
from medxgan.v1.explanation_pb2 import (
    VERDICT_REASON_CODE_APPLIED_NEGATIVE_IS_POSITIVE,
    VERDICT_REASON_CODE_CLASSIFIER_DISAGREES,
    VERDICT_REASON_CODE_DIFFERENCE_TOO_WEAK,
    VERDICT_REASON_CODE_IMAGE_IS_NEGATIVE,
    VERDICT_REASON_CODE_IMAGE_UNFAMILIAR,
    VERDICT_REASON_CODE_NEGATIVE_IS_POSITIVE,
    VERDICT_REASON_CODE_RECONSTRUCTION_TOO_FAR,
    VERDICT_STATUS_NOT_APPLICABLE,
    VERDICT_STATUS_NOT_ASSESSED,
    VERDICT_STATUS_NOT_RELIABLE,
    VERDICT_STATUS_RELIABLE,
    Verdict,
    VerdictReason,
    VerdictReasonCode,
)

_SENTENCES = {
    VERDICT_REASON_CODE_IMAGE_UNFAMILIAR: "The image is unlike those that the model was trained on "
    "({name} {measured:.3g}, at most {threshold:.3g}), so neither the score nor the maps mean anything.",
    VERDICT_REASON_CODE_IMAGE_IS_NEGATIVE: "The classifier calls the image negative (score "
    "{measured:.3f}, positive from {threshold:.3f}), so there is no positive finding to explain.",
    VERDICT_REASON_CODE_RECONSTRUCTION_TOO_FAR: "The reconstruction is too far from the image (mean "
    "squared error {measured:.4f}, at most {threshold:.4f}), so the maps may not be about this patient; more steps may "
    "bring it closer.",
    VERDICT_REASON_CODE_CLASSIFIER_DISAGREES: "The classifier calls the image positive but its "
    "reconstruction negative (score {measured:.3f}, positive from {threshold:.3f}), so the reconstruction lacks what "
    "it saw; a smaller reconstruction weight may bring it back.",
    VERDICT_REASON_CODE_NEGATIVE_IS_POSITIVE: "The classifier still calls the negative realization "
    "positive (score {measured:.3f}, positive from {threshold:.3f}), so the difference map does not hold all that it "
    "looks at.",
    VERDICT_REASON_CODE_APPLIED_NEGATIVE_IS_POSITIVE: "The classifier still calls the image positive "
    "once the difference is taken away from it (score {measured:.3f}, positive from {threshold:.3f}), so the "
    "difference map does not hold all that it looks at.",
    VERDICT_REASON_CODE_DIFFERENCE_TOO_WEAK: "The difference is weak wherever it lies (at most "
    "{measured:.3f}, usually {threshold:.3f} or more where it points at a lesion), so its place means little.",
}
"""What each reason says of what was measured, against which threshold."""


def judge(opened: OpenedImage, inverted: Inverted | None, bundle: bundle_pb2.Bundle) -> Verdict:
    """Draw the verdict on an explanation.

    NOT_APPLICABLE where the image is unlike those of the training, or the classifier calls it negative; NOT_ASSESSED
    where nothing was inverted; else NOT_RELIABLE with a reason for every check that failed; else RELIABLE. A check
    passes only where its measurement says so: NaN fails it.

    Args:
        opened: the image.
        inverted: the inversion, where there was one.
        bundle: states the thresholds.
    """
    threshold = bundle.classification.decision_threshold
    reasons = [
        _reason(VERDICT_REASON_CODE_IMAGE_UNFAMILIAR, each.measured, each.maximum, name=each.name.replace("_", " "))
        for each in opened.checks
        if not each.passed
    ]
    if not opened.score.positive:
        reasons.append(_reason(VERDICT_REASON_CODE_IMAGE_IS_NEGATIVE, opened.score.probability, threshold))
    if reasons:
        return Verdict(status=VERDICT_STATUS_NOT_APPLICABLE, reasons=reasons)
    if inverted is None:
        return Verdict(status=VERDICT_STATUS_NOT_ASSESSED)
    error, maximum_error = inverted.reconstruction_mse, bundle.reliability.maximum_reconstruction_mse
    if not error <= maximum_error:
        reasons.append(_reason(VERDICT_REASON_CODE_RECONSTRUCTION_TOO_FAR, error, maximum_error))
    if not inverted.reconstruction_score.positive:
        probability = inverted.reconstruction_score.probability
        reasons.append(_reason(VERDICT_REASON_CODE_CLASSIFIER_DISAGREES, probability, threshold))
    for code, score in (
        (VERDICT_REASON_CODE_NEGATIVE_IS_POSITIVE, inverted.negative_realization_score),
        (VERDICT_REASON_CODE_APPLIED_NEGATIVE_IS_POSITIVE, inverted.applied_negative_score),
    ):
        if not score.probability < threshold:
            reasons.append(_reason(code, score.probability, threshold))
    if bundle.reliability.HasField("minimum_difference_peak"):
        peak, minimum_peak = inverted.difference_peak, bundle.reliability.minimum_difference_peak
        if not peak >= minimum_peak:
            reasons.append(_reason(VERDICT_REASON_CODE_DIFFERENCE_TOO_WEAK, peak, minimum_peak))
    return Verdict(status=VERDICT_STATUS_NOT_RELIABLE if reasons else VERDICT_STATUS_RELIABLE, reasons=reasons)


def _reason(code: VerdictReasonCode, measured: float, threshold: float, **words: str) -> VerdictReason:
    sentence = _SENTENCES[code].format(measured=measured, threshold=threshold, **words)
    return VerdictReason(code=code, measured=measured, threshold=threshold, sentence=sentence)
