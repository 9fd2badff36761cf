"""The settings of an inversion: the bundle's defaults and ranges."""

import pytest

from medxgan.server.errors import InvalidRequestError, SettingsError
from medxgan.server.inversion.settings import InversionSettings, resolve_inversion_settings
from medxgan.v1 import explanation_pb2
from medxgan.v1.bundle_pb2 import SOLVER_ADAM, SOLVER_LBFGS


def test_settings_left_out_are_the_bundles(linear_engine):
    resolved = resolve_inversion_settings(explanation_pb2.InversionSettings(steps=7), linear_engine.bundle)
    assert resolved == InversionSettings(7, 0.05, 4.0, 1)


def test_settings_that_are_set_are_in_force_to_the_last_bit(linear_engine):
    requested = {"steps": 11, "learning_rate": 0.1, "reconstruction_weight": 0.3, "restarts": 16}
    resolved = resolve_inversion_settings(explanation_pb2.InversionSettings(**requested), linear_engine.bundle)
    assert resolved == InversionSettings(**requested)


@pytest.mark.parametrize(
    ("stated", "requested", "solver"),
    [
        (0, 0, SOLVER_ADAM),
        (SOLVER_LBFGS, 0, SOLVER_LBFGS),
        (SOLVER_LBFGS, SOLVER_ADAM, SOLVER_ADAM),
        (0, SOLVER_LBFGS, SOLVER_LBFGS),
    ],
)
def test_the_solver_is_the_callers_else_the_bundles_else_adam(linear_engine, stated, requested, solver):
    linear_engine.bundle.inversion.default_solver = stated
    wanted = explanation_pb2.InversionSettings(solver=requested)
    assert resolve_inversion_settings(wanted, linear_engine.bundle).solver == solver


@pytest.mark.parametrize(
    ("requested", "field", "expected"),
    [
        ({"steps": 0}, "steps", "expected 1 to 500, got 0"),
        ({"steps": 9000}, "steps", "expected 1 to 500, got 9000"),
        ({"learning_rate": 2.0}, "learning_rate", "expected 0.001 to 0.5, got 2"),
        ({"learning_rate": float("nan")}, "learning_rate", "expected 0.001 to 0.5, got nan"),
        ({"reconstruction_weight": 0.0}, "reconstruction_weight", "expected 0.1 to 100, got 0"),
        ({"restarts": 0}, "restarts", "expected 1 to 16, got 0"),
        ({"restarts": 17}, "restarts", "expected 1 to 16, got 17"),
    ],
)
def test_settings_outside_the_bundles_range_are_refused(linear_engine, requested, field, expected):
    with pytest.raises(SettingsError) as caught:
        resolve_inversion_settings(explanation_pb2.InversionSettings(**requested), linear_engine.bundle)
    assert (caught.value.field, caught.value.expected) == (f"settings.inversion.{field}", expected)


@pytest.mark.parametrize(
    "requested", [{"learning_rate": 0.001}, {"learning_rate": 0.5}, {"reconstruction_weight": 0.1}, {"steps": 500}]
)
def test_the_ends_of_a_range_belong_to_it(linear_engine, requested):
    """In double: as float32, 0.001 and 0.1 would lie outside of the range that states them."""
    resolve_inversion_settings(explanation_pb2.InversionSettings(**requested), linear_engine.bundle)


def test_a_bundle_without_generator_inverts_nothing(linear_engine):
    linear_engine.bundle.ClearField("inversion")
    with pytest.raises(InvalidRequestError, match=r"^model: linear/1 has no generator to invert"):
        resolve_inversion_settings(explanation_pb2.InversionSettings(), linear_engine.bundle)
