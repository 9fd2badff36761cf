"""Whether an explanation can be relied on, from what was measured. A verdict is a value, not an error."""

from medxgan.server.explanation.explanation import Inverted, OpenedImage
from medxgan.v1 import bundle_pb2, explanation_pb2


def judge(opened: OpenedImage, inverted: Inverted | None, bundle: bundle_pb2.Bundle) -> explanation_pb2.Verdict:
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
    reasons = [_unfamiliar(check.name, check.measured, check.maximum) for check in opened.checks if not check.passed]
    if not opened.score.positive:
        reasons.append(_image_is_negative(opened.score.probability, threshold))
    if reasons:
        return explanation_pb2.Verdict(status=explanation_pb2.VERDICT_STATUS_NOT_APPLICABLE, reasons=reasons)
    if inverted is None:
        return explanation_pb2.Verdict(status=explanation_pb2.VERDICT_STATUS_NOT_ASSESSED)
    maximum_mse = bundle.reliability.maximum_reconstruction_mse
    if not inverted.reconstruction_mse <= maximum_mse:
        reasons.append(_reconstruction_too_far(inverted.reconstruction_mse, maximum_mse))
    if not inverted.reconstruction_score.positive:
        reasons.append(_classifier_disagrees(inverted.reconstruction_score.probability, threshold))
    if not inverted.negative_realization_score.probability < threshold:
        reasons.append(_negative_is_positive(inverted.negative_realization_score.probability, threshold))
    if not inverted.applied_negative_score.probability < threshold:
        reasons.append(_applied_negative_is_positive(inverted.applied_negative_score.probability, threshold))
    if bundle.reliability.HasField("minimum_difference_peak"):
        minimum_peak = bundle.reliability.minimum_difference_peak
        if not inverted.difference_peak >= minimum_peak:
            reasons.append(_difference_too_weak(inverted.difference_peak, minimum_peak))
    status = explanation_pb2.VERDICT_STATUS_NOT_RELIABLE if reasons else explanation_pb2.VERDICT_STATUS_RELIABLE
    return explanation_pb2.Verdict(status=status, reasons=reasons)


def _unfamiliar(name: str, measured: float, maximum: float) -> explanation_pb2.VerdictReason:
    return explanation_pb2.VerdictReason(
        code=explanation_pb2.VERDICT_REASON_CODE_IMAGE_UNFAMILIAR,
        measured=measured,
        threshold=maximum,
        sentence=f"The image is unlike those that the model was trained on ({name.replace('_', ' ')} {measured:.3g}, "
        f"at most {maximum:.3g}), so neither the score nor the maps mean anything.",
    )


def _image_is_negative(measured: float, threshold: float) -> explanation_pb2.VerdictReason:
    return explanation_pb2.VerdictReason(
        code=explanation_pb2.VERDICT_REASON_CODE_IMAGE_IS_NEGATIVE,
        measured=measured,
        threshold=threshold,
        sentence=f"The classifier calls the image negative (score {measured:.3f}, positive from {threshold:.3f}), "
        "so there is no positive finding to explain.",
    )


def _reconstruction_too_far(measured: float, threshold: float) -> explanation_pb2.VerdictReason:
    return explanation_pb2.VerdictReason(
        code=explanation_pb2.VERDICT_REASON_CODE_RECONSTRUCTION_TOO_FAR,
        measured=measured,
        threshold=threshold,
        sentence=f"The reconstruction is too far from the image (mean squared error {measured:.4f}, at most "
        f"{threshold:.4f}), so the maps may not be about this patient; more steps may bring it closer.",
    )


def _classifier_disagrees(measured: float, threshold: float) -> explanation_pb2.VerdictReason:
    return explanation_pb2.VerdictReason(
        code=explanation_pb2.VERDICT_REASON_CODE_CLASSIFIER_DISAGREES,
        measured=measured,
        threshold=threshold,
        sentence=f"The classifier calls the image positive but its reconstruction negative (score {measured:.3f}, "
        f"positive from {threshold:.3f}), so the reconstruction lacks what it saw; a smaller reconstruction weight "
        "may bring it back.",
    )


def _negative_is_positive(measured: float, threshold: float) -> explanation_pb2.VerdictReason:
    return explanation_pb2.VerdictReason(
        code=explanation_pb2.VERDICT_REASON_CODE_NEGATIVE_IS_POSITIVE,
        measured=measured,
        threshold=threshold,
        sentence=f"The classifier still calls the negative realization positive (score {measured:.3f}, positive from "
        f"{threshold:.3f}), so the difference map does not hold all that it looks at.",
    )


def _applied_negative_is_positive(measured: float, threshold: float) -> explanation_pb2.VerdictReason:
    return explanation_pb2.VerdictReason(
        code=explanation_pb2.VERDICT_REASON_CODE_APPLIED_NEGATIVE_IS_POSITIVE,
        measured=measured,
        threshold=threshold,
        sentence=f"The classifier still calls the image positive once the difference is taken away from it (score "
        f"{measured:.3f}, positive from {threshold:.3f}), so the difference map does not hold all that it looks at.",
    )


def _difference_too_weak(measured: float, threshold: float) -> explanation_pb2.VerdictReason:
    return explanation_pb2.VerdictReason(
        code=explanation_pb2.VERDICT_REASON_CODE_DIFFERENCE_TOO_WEAK,
        measured=measured,
        threshold=threshold,
        sentence=f"The difference is weak wherever it lies (at most {measured:.3f}, usually {threshold:.3f} or more "
        "where it points at a lesion), so its place means little.",
    )
