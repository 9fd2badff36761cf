"""Whether an explanation can be relied on, from what was measured. A verdict is a value, not an error."""

from medxgan.server.explanation import Scores
from medxgan.v1 import explanation_pb2


def judge(scores: Scores, reconstruction_mse: float, maximum_reconstruction_mse: float) -> explanation_pb2.Verdict:
    """Draw the verdict on an explanation.

    NOT_APPLICABLE where the classifier calls the image negative; else NOT_RELIABLE with a reason for every check that
    failed; else RELIABLE. A check passes only where its measurement says so: NaN fails it.

    Args:
        scores: the classifier's scores and its threshold, from which an image counts as positive.
        reconstruction_mse: between reconstruction and image, in [-1, 1] units.
        maximum_reconstruction_mse: the bundle's threshold for it.
    """
    threshold = scores.decision_threshold
    if not scores.original >= threshold:
        return explanation_pb2.Verdict(
            status=explanation_pb2.VERDICT_STATUS_NOT_APPLICABLE,
            reasons=[_image_is_negative(scores.original, threshold)],
        )
    reasons = []
    if not reconstruction_mse <= maximum_reconstruction_mse:
        reasons.append(_reconstruction_too_far(reconstruction_mse, maximum_reconstruction_mse))
    if not scores.reconstruction >= threshold:
        reasons.append(_classifier_disagrees(scores.reconstruction, threshold))
    if not scores.negative_realization < threshold:
        reasons.append(_negative_is_positive(scores.negative_realization, threshold))
    status = explanation_pb2.VERDICT_STATUS_NOT_RELIABLE if reasons else explanation_pb2.VERDICT_STATUS_RELIABLE
    return explanation_pb2.Verdict(status=status, reasons=reasons)


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
