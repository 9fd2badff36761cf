"""The evidence map where the factors are known: the linear classifier, with one output and with several."""

import numpy as np
import pytest

from medxgan.server.errors import SettingsError
from medxgan.server.explanation.maps.residual import box_mean, smoothing_window
from medxgan.v1.explanation_pb2 import MAP_KIND_EVIDENCE, MAP_KIND_RESIDUAL

SIDE = 8
KINDS = [MAP_KIND_RESIDUAL, MAP_KIND_EVIDENCE]
INVERSION = {"steps": 30}


@pytest.fixture(params=[["lesion"], ["effusion", "lesion", "clear"]], ids=["one output", "three outputs"])
def engine(linear_engine, request):
    """Engines with the positive class "lesion", alone and among others."""
    del linear_engine.bundle.classification.outputs[:]
    for name in request.param:
        linear_engine.bundle.classification.outputs.add(name=name)
    return linear_engine


@pytest.fixture
def x() -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (1, 1, SIDE, SIDE)).astype(np.float32)


@pytest.mark.parametrize("target", [{}, {"target_class": "lesion"}], ids=["left out", "positive class"])
def test_it_weighs_by_the_positive_class(explain, linear_loaded, engine, x, target) -> None:
    """The classifier is linear: its integrated gradients are (x - b) w."""
    baseline = 0.25
    settings = {"integrated_gradients": {"steps": 2, "baseline": baseline}, "inversion": INVERSION}
    maps = explain(linear_loaded, x, KINDS, engine=engine, **settings, **target).maps
    weights = 2 * engine.basis[4:].sum(0).reshape(SIDE, SIDE)
    magnitude = np.abs((x[0, 0] - baseline) * weights)
    expected = maps[MAP_KIND_RESIDUAL].values * box_mean(magnitude, smoothing_window(SIDE))
    assert np.ptp(expected) > 0
    np.testing.assert_allclose(maps[MAP_KIND_EVIDENCE].values, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())
    assert maps[MAP_KIND_EVIDENCE].completeness is None, "it is no integral itself"


def test_another_class_than_the_positive_one_is_refused(explain, linear_loaded, linear_engine, x) -> None:
    linear_engine.bundle.classification.outputs.add(name="clear")
    with pytest.raises(SettingsError) as refusal:
        explain(linear_loaded, x, KINDS, engine=linear_engine, target_class="clear")
    assert refusal.value.field == "settings.target_class"


def test_it_is_nothing_where_the_score_rests_on_nothing(explain, linear_loaded, engine, x) -> None:
    """With the image for its own baseline the score has no way to come: whatever the generator says, no evidence."""
    blank = np.full_like(x, 0.25)
    settings = {"integrated_gradients": {"baseline": 0.25}, "inversion": INVERSION}
    maps = explain(linear_loaded, blank, KINDS, engine=engine, **settings).maps
    assert np.abs(maps[MAP_KIND_RESIDUAL].values).max() > 0
    np.testing.assert_array_equal(maps[MAP_KIND_EVIDENCE].values, 0)
