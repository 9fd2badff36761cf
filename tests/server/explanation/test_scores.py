"""Scores: the probability, and the one decision."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medxgan.server.explanation.scores import Score, binary_cross_entropy, logistic


@given(st.floats(-1e4, 1e4))
def test_scores_neither_overflow_nor_lose_their_symmetry(logit):
    assert logistic(logit) + logistic(-logit) == pytest.approx(1)
    assert binary_cross_entropy(logit, 1) == pytest.approx(binary_cross_entropy(-logit, 0))


@given(st.floats(-20, 20), st.floats(0, 1))
def test_cross_entropy_from_logits_is_that_of_the_probability(logit, target):
    p = logistic(logit)
    assert binary_cross_entropy(logit, target) == pytest.approx(
        -target * np.log(p) - (1 - target) * np.log1p(-p), rel=1e-5, abs=1e-7
    )


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7])
def test_the_decision_is_made_in_double(threshold):
    """5e-9 is less than float32 tells apart here, and far more than double needs."""

    def at(probability: float) -> Score:
        return Score.of(float(np.log(probability) - np.log1p(-probability)), threshold)

    assert at(threshold + 5e-9).positive
    assert not at(threshold - 5e-9).positive
    assert at(threshold - 5e-9).probability == pytest.approx(threshold - 5e-9, abs=1e-15)
    assert np.float32(threshold + 5e-9) == np.float32(threshold), "float32 could not tell the two apart"


def test_exactly_at_the_threshold_is_positive():
    assert Score.of(0.0, 0.5) == Score(0.5, True)


@given(st.floats(-30, 30), st.floats(0.001, 0.999))
def test_the_decision_is_that_of_the_probability_that_is_sent(logit, threshold):
    score = Score.of(logit, threshold)
    assert score.positive == (score.probability >= threshold)


def test_what_is_not_a_number_is_not_positive():
    score = Score.of(float("nan"), 0.5)
    assert np.isnan(score.probability)
    assert not score.positive
