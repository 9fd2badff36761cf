"""The verdict on an explanation, as the server draws it."""

import functools
from dataclasses import dataclass
from typing import Any

from onnx_ir import DataType, Value, tensor

from medxgan.export.one_file.parts import Operators
from medxgan.v1.bundle_pb2 import Bundle
from medxgan.v1.explanation_pb2 import (
    VERDICT_REASON_CODE_APPLIED_NEGATIVE_IS_POSITIVE,
    VERDICT_REASON_CODE_CLASSIFIER_DISAGREES,
    VERDICT_REASON_CODE_DIFFERENCE_TOO_WEAK,
    VERDICT_REASON_CODE_IMAGE_IS_NEGATIVE,
    VERDICT_REASON_CODE_IMAGE_UNFAMILIAR,
    VERDICT_REASON_CODE_NEGATIVE_IS_POSITIVE,
    VERDICT_REASON_CODE_RECONSTRUCTION_TOO_FAR,
    VERDICT_STATUS_NOT_APPLICABLE,
    VERDICT_STATUS_NOT_RELIABLE,
    VERDICT_STATUS_RELIABLE,
    VerdictReasonCode,
)

STATUSES = (VERDICT_STATUS_RELIABLE, VERDICT_STATUS_NOT_RELIABLE, VERDICT_STATUS_NOT_APPLICABLE)

REASONS = (
    VERDICT_REASON_CODE_RECONSTRUCTION_TOO_FAR,
    VERDICT_REASON_CODE_CLASSIFIER_DISAGREES,
    VERDICT_REASON_CODE_NEGATIVE_IS_POSITIVE,
    VERDICT_REASON_CODE_IMAGE_IS_NEGATIVE,
    VERDICT_REASON_CODE_IMAGE_UNFAMILIAR,
    VERDICT_REASON_CODE_APPLIED_NEGATIVE_IS_POSITIVE,
    VERDICT_REASON_CODE_DIFFERENCE_TOO_WEAK,
)
"""In the order of the output `reasons`."""

_NOT_APPLICABLE = {VERDICT_REASON_CODE_IMAGE_IS_NEGATIVE, VERDICT_REASON_CODE_IMAGE_UNFAMILIAR}


@dataclass(frozen=True)
class Measured:
    """What the verdict is drawn from, [1] each but for the first.

    Attributes:
        unfamiliarity: [1, K], in the order of the bundle's measures; None where it has none.
        image: probability of the positive class, as are the next.
        reconstruction: of the reconstruction.
        negative_realization: of the negative realization.
        applied_negative: of the applied negative.
        reconstruction_mse: mean squared error.
        difference_peak: greatest magnitude of the difference.
    """

    unfamiliarity: Value | None
    image: Value
    reconstruction: Value
    negative_realization: Value
    applied_negative: Value
    reconstruction_mse: Value
    difference_peak: Value


def judge(op: Operators, measured: Measured, bundle: Bundle) -> tuple[Value, Value]:
    """Draw the verdict: NOT_APPLICABLE with its reasons alone, else NOT_RELIABLE with all of its own, else RELIABLE.

    A check passes only where its measurement says so: NaN fails it.

    Args:
        op: of the graph.
        measured: what the verdict is on.
        bundle: states the thresholds.

    Returns:
        [1] the status, and [7] whether each of REASONS holds.
    """
    threshold = bundle.classification.decision_threshold
    reliability = bundle.reliability
    passed: dict[VerdictReasonCode, Any] = {
        VERDICT_REASON_CODE_IMAGE_IS_NEGATIVE: op.GreaterOrEqual(measured.image, threshold),
        VERDICT_REASON_CODE_RECONSTRUCTION_TOO_FAR: op.LessOrEqual(
            measured.reconstruction_mse, reliability.maximum_reconstruction_mse
        ),
        VERDICT_REASON_CODE_CLASSIFIER_DISAGREES: op.GreaterOrEqual(measured.reconstruction, threshold),
        VERDICT_REASON_CODE_NEGATIVE_IS_POSITIVE: op.Less(measured.negative_realization, threshold),
        VERDICT_REASON_CODE_APPLIED_NEGATIVE_IS_POSITIVE: op.Less(measured.applied_negative, threshold),
    }
    if measured.unfamiliarity is not None:
        maxima = [each.maximum for each in bundle.familiarity.measures]
        familiar = op.Cast(op.LessOrEqual(measured.unfamiliarity, maxima), to=DataType.FLOAT)
        passed[VERDICT_REASON_CODE_IMAGE_UNFAMILIAR] = op.Equal(op.ReduceMin(familiar, [1], keepdims=0), 1.0)
    if reliability.HasField("minimum_difference_peak"):
        enough = op.GreaterOrEqual(measured.difference_peak, reliability.minimum_difference_peak)
        passed[VERDICT_REASON_CODE_DIFFERENCE_TOO_WEAK] = enough
    failed = {code: op.Not(each) for code, each in passed.items()}
    inapplicable = _any(op, [each for code, each in failed.items() if code in _NOT_APPLICABLE])
    unreliable = _any(op, [each for code, each in failed.items() if code not in _NOT_APPLICABLE])
    applicable = op.Not(inapplicable)
    told = {code: each if code in _NOT_APPLICABLE else op.And(applicable, each) for code, each in failed.items()}
    never = op.Constant(value=tensor([False]))
    reliable, not_reliable, not_applicable = STATUSES
    status = op.Where(inapplicable, not_applicable, op.Where(unreliable, not_reliable, reliable))
    return status, op.Concat(*(told.get(code, never) for code in REASONS), axis=0)


def _any(op: Operators, conditions: list[Value]) -> Value:
    return functools.reduce(op.Or, conditions)
