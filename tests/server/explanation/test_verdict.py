"""The verdict, check by check."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medxgan.server.explanation.explanation import ImageCheck, Inverted, OpenedImage
from medxgan.server.explanation.scores import Score
from medxgan.server.explanation.verdict import judge
from medxgan.server.images.film import Film, Placement
from medxgan.v1 import bundle_pb2, explanation_pb2
from medxgan.v1.explanation_pb2 import VerdictReasonCode, VerdictStatus

NAN = float("nan")
PICTURE = np.zeros((8, 8), np.float32)
Z = np.zeros((1, 6), np.float32)


def bundle(threshold: float = 0.5) -> bundle_pb2.Bundle:
    return bundle_pb2.Bundle(
        classification=bundle_pb2.Classification(decision_threshold=threshold),
        reliability=bundle_pb2.Reliability(maximum_reconstruction_mse=0.05),
    )


def score(probability: float, threshold: float = 0.5) -> Score:
    return Score(probability, probability >= threshold)


def opened(probability: float, *checks: ImageCheck, threshold: float = 0.5) -> OpenedImage:
    whole = Placement.of(Film(PICTURE), np.array([0, 0, 8, 8], np.float32))
    return OpenedImage(PICTURE[None, None], whole, score(probability, threshold), checks, None, ())


def inverted(
    reconstruction: float, negative: float, mse: float, threshold: float = 0.5, applied: float = 0.1, peak: float = 0.0
) -> Inverted:
    difference = np.zeros((8, 8), np.float32)
    difference[3, 4] = -peak
    return Inverted(
        z=Z,
        negative_z=Z,
        reconstruction=PICTURE + difference,
        negative_realization=PICTURE,
        applied_negative=PICTURE,
        uncertainty=None,
        reconstruction_score=score(reconstruction, threshold),
        negative_realization_score=score(negative, threshold),
        applied_negative_score=score(applied, threshold),
        steps_taken=1,
        converged=True,
        reconstruction_mse=mse,
        classification_loss=0.1,
        restart=0,
    )


def codes(verdict: explanation_pb2.Verdict) -> list[str]:
    return [VerdictReasonCode.Name(reason.code).removeprefix("VERDICT_REASON_CODE_") for reason in verdict.reasons]


ALL_THREE = ["RECONSTRUCTION_TOO_FAR", "CLASSIFIER_DISAGREES", "NEGATIVE_IS_POSITIVE"]


@pytest.mark.parametrize(
    ("original", "reconstruction", "negative", "mse", "status", "expected"),
    [
        (0.9, 0.8, 0.1, 0.01, "RELIABLE", []),
        (0.5, 0.5, 0.499, 0.05, "RELIABLE", []),
        (0.9, 0.8, 0.1, 0.06, "NOT_RELIABLE", ["RECONSTRUCTION_TOO_FAR"]),
        (0.9, 0.4, 0.1, 0.01, "NOT_RELIABLE", ["CLASSIFIER_DISAGREES"]),
        (0.9, 0.8, 0.5, 0.01, "NOT_RELIABLE", ["NEGATIVE_IS_POSITIVE"]),
        (0.9, 0.4, 0.6, 9, "NOT_RELIABLE", ALL_THREE),
        (0.9, NAN, NAN, NAN, "NOT_RELIABLE", ALL_THREE),
        (0.49, 0.8, 0.1, 0.01, "NOT_APPLICABLE", ["IMAGE_IS_NEGATIVE"]),
        (0.1, 0.8, 0.9, 9, "NOT_APPLICABLE", ["IMAGE_IS_NEGATIVE"]),
        (NAN, 0.8, 0.1, 0.01, "NOT_APPLICABLE", ["IMAGE_IS_NEGATIVE"]),
    ],
)
def test_every_check_of_an_inversion(original, reconstruction, negative, mse, status, expected):
    verdict = judge(opened(original), inverted(reconstruction, negative, mse), bundle())
    assert VerdictStatus.Name(verdict.status) == f"VERDICT_STATUS_{status}"
    assert codes(verdict) == expected


@pytest.mark.parametrize(("applied", "expected"), [(0.499, []), (0.5, ["APPLIED"]), (NAN, ["APPLIED"])])
def test_the_image_less_the_difference_is_negative(applied, expected):
    verdict = judge(opened(0.9), inverted(0.8, 0.1, 0.01, applied=applied), bundle())
    assert codes(verdict) == ["APPLIED_NEGATIVE_IS_POSITIVE" for _ in expected]


@pytest.mark.parametrize(
    ("minimum", "peak", "expected"),
    [(None, 0.0, []), (0.5, 0.5, []), (0.5, 0.49, ["WEAK"]), (0.5, NAN, ["WEAK"])],
)
def test_a_difference_that_is_weak_everywhere(minimum, peak, expected):
    stated = bundle()
    if minimum is not None:
        stated.reliability.minimum_difference_peak = minimum
    verdict = judge(opened(0.9), inverted(0.8, 0.1, 0.01, peak=peak), stated)
    assert codes(verdict) == ["DIFFERENCE_TOO_WEAK" for _ in expected]
    assert [reason.threshold for reason in verdict.reasons] == [minimum for _ in expected]


@pytest.mark.parametrize("found", [None, inverted(0.8, 0.1, 0.01)], ids=["not inverted", "inverted"])
@pytest.mark.parametrize(
    ("original", "measured", "status", "expected"),
    [
        (0.9, (1.0, 2.0), None, []),
        (0.9, (1.01, 2.0), "NOT_APPLICABLE", ["IMAGE_UNFAMILIAR"]),
        (0.9, (1.01, 9.0), "NOT_APPLICABLE", ["IMAGE_UNFAMILIAR"] * 2),
        (0.9, (NAN, 1.0), "NOT_APPLICABLE", ["IMAGE_UNFAMILIAR"]),
        (0.9, (math.inf, 1.0), "NOT_APPLICABLE", ["IMAGE_UNFAMILIAR"]),
        (0.1, (0.5, 2.5), "NOT_APPLICABLE", ["IMAGE_UNFAMILIAR", "IMAGE_IS_NEGATIVE"]),
    ],
)
def test_an_image_unlike_those_of_the_training(original, measured, status, expected, found):
    checks = [ImageCheck("contrast", measured[0], 1.0), ImageCheck("feature_distance", measured[1], 2.0)]
    verdict = judge(opened(original, *checks), found, bundle())
    if status is None:
        status = "NOT_ASSESSED" if found is None else "RELIABLE"
    assert VerdictStatus.Name(verdict.status) == f"VERDICT_STATUS_{status}"
    assert codes(verdict) == expected


def test_the_reason_names_the_measure_and_states_both_numbers():
    (reason,) = judge(opened(0.9, ImageCheck("feature_distance", 3.25, 2.5)), None, bundle()).reasons
    assert (reason.measured, reason.threshold) == (3.25, 2.5)
    assert "feature distance 3.25, at most 2.5" in reason.sentence
    assert reason.sentence.endswith(".")


def test_without_an_inversion_a_good_image_is_not_assessed_and_a_negative_one_not_applicable():
    assert judge(opened(0.9), None, bundle()).status == explanation_pb2.VERDICT_STATUS_NOT_ASSESSED
    assert not judge(opened(0.9), None, bundle()).reasons
    assert judge(opened(0.1), None, bundle()).status == explanation_pb2.VERDICT_STATUS_NOT_APPLICABLE


def test_a_reason_states_what_was_measured_against_what():
    (reason,) = judge(opened(0.9), inverted(0.8, 0.1, 0.0625), bundle()).reasons
    assert (reason.measured, reason.threshold) == (0.0625, 0.05)
    assert "0.0625" in reason.sentence
    assert reason.sentence.endswith(".")


probabilities = st.floats(0, 1)


@given(probabilities, probabilities, probabilities, st.floats(0, 4), st.floats(0.01, 0.99), st.floats(0, 2))
def test_reasons_are_empty_exactly_where_it_is_reliable(original, reconstruction, negative, mse, threshold, measured):
    image = opened(original, ImageCheck("contrast", measured, 1.0), threshold=threshold)
    verdict = judge(image, inverted(reconstruction, negative, mse, threshold), bundle(threshold))
    assert bool(verdict.reasons) == (verdict.status != explanation_pb2.VERDICT_STATUS_RELIABLE)
