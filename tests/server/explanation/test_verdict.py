"""The verdict, check by check."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medxgan.server.explanation import Scores
from medxgan.server.verdict import judge
from medxgan.v1 import explanation_pb2
from medxgan.v1.explanation_pb2 import VerdictReasonCode, VerdictStatus

NAN = float("nan")


@pytest.mark.parametrize(
    ("original", "reconstruction", "negative", "mse", "status", "codes"),
    [
        (0.9, 0.8, 0.1, 0.01, "RELIABLE", []),
        (0.5, 0.5, 0.499, 0.05, "RELIABLE", []),
        (0.9, 0.8, 0.1, 0.06, "NOT_RELIABLE", ["RECONSTRUCTION_TOO_FAR"]),
        (0.9, 0.4, 0.1, 0.01, "NOT_RELIABLE", ["CLASSIFIER_DISAGREES"]),
        (0.9, 0.8, 0.5, 0.01, "NOT_RELIABLE", ["NEGATIVE_IS_POSITIVE"]),
        (0.9, 0.4, 0.6, 9, "NOT_RELIABLE", ["RECONSTRUCTION_TOO_FAR", "CLASSIFIER_DISAGREES", "NEGATIVE_IS_POSITIVE"]),
        (
            0.9,
            NAN,
            NAN,
            NAN,
            "NOT_RELIABLE",
            ["RECONSTRUCTION_TOO_FAR", "CLASSIFIER_DISAGREES", "NEGATIVE_IS_POSITIVE"],
        ),
        (0.49, 0.8, 0.1, 0.01, "NOT_APPLICABLE", ["IMAGE_IS_NEGATIVE"]),
        (0.1, 0.8, 0.9, 9, "NOT_APPLICABLE", ["IMAGE_IS_NEGATIVE"]),
    ],
)
def test_every_check(original, reconstruction, negative, mse, status, codes):
    verdict = judge(Scores(original, reconstruction, negative, 0.9, 0.5), mse, 0.05)
    assert VerdictStatus.Name(verdict.status) == f"VERDICT_STATUS_{status}"
    assert [VerdictReasonCode.Name(reason.code) for reason in verdict.reasons] == [
        f"VERDICT_REASON_CODE_{code}" for code in codes
    ]


def test_a_reason_states_what_was_measured_against_what():
    (reason,) = judge(Scores(0.9, 0.8, 0.1, 0.1, 0.5), 0.0625, 0.05).reasons
    assert (reason.measured, reason.threshold) == (pytest.approx(0.0625), pytest.approx(0.05))
    assert "0.0625" in reason.sentence
    assert reason.sentence.endswith(".")


scores = st.floats(0, 1)


@given(scores, scores, scores, st.floats(0, 4), st.floats(0.01, 0.99))
def test_reasons_are_empty_exactly_where_it_is_reliable(original, reconstruction, negative, mse, threshold):
    verdict = judge(Scores(original, reconstruction, negative, 0.9, threshold), mse, 0.05)
    assert bool(verdict.reasons) == (verdict.status != explanation_pb2.VERDICT_STATUS_RELIABLE)
