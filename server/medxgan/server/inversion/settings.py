"""The settings of an inversion: what a caller may choose, within the ranges that the bundle states."""

from dataclasses import dataclass

from medxgan.server.errors import InvalidRequestError, SettingsError
from medxgan.v1 import bundle_pb2, explanation_pb2

MAXIMUM_RESTARTS = 16
"""Most inversions of one image."""

_FIELD = "settings.inversion"


@dataclass(frozen=True)
class InversionSettings:
    """Settings in force for one inversion.

    Attributes:
        steps: most gradient steps to take, >= 1.
        learning_rate: how far the first step moves each latent.
        reconstruction_weight: λ, the weight of the mean squared error against the class term.
        restarts: inversions from different starts, 1 to 16; the one with the lowest final loss is the answer.
        solver: how the loss is brought down.
    """

    steps: int
    learning_rate: float
    reconstruction_weight: float
    restarts: int = 1
    solver: bundle_pb2.Solver = bundle_pb2.SOLVER_ADAM

    def loss(self, reconstruction_mse: float, classification_loss: float) -> float:
        """The loss that an inversion brings down: λ · MSE + BCE."""
        return self.reconstruction_weight * reconstruction_mse + classification_loss


def resolve_inversion_settings(
    requested: explanation_pb2.InversionSettings, bundle: bundle_pb2.Bundle
) -> InversionSettings:
    """Fill what the caller left out with the bundle's defaults.

    Raises:
        InvalidRequestError: naming the model, where the bundle has no generator.
        SettingsError: a value is outside the bundle's range.
    """
    if not bundle.HasField("inversion"):
        raise InvalidRequestError("model", f"{bundle.name}/{bundle.version} has no generator to invert")
    stated = bundle.inversion
    steps = requested.steps if requested.HasField("steps") else stated.default_steps
    if not 1 <= steps <= stated.maximum_steps:
        raise SettingsError(f"{_FIELD}.steps", f"expected 1 to {stated.maximum_steps}, got {steps}")
    learning_rate = requested.learning_rate if requested.HasField("learning_rate") else stated.default_learning_rate
    _check_range("learning_rate", learning_rate, stated.learning_rate_range)
    weight = (
        requested.reconstruction_weight
        if requested.HasField("reconstruction_weight")
        else stated.default_reconstruction_weight
    )
    _check_range("reconstruction_weight", weight, stated.reconstruction_weight_range)
    restarts = requested.restarts if requested.HasField("restarts") else 1
    if not 1 <= restarts <= MAXIMUM_RESTARTS:
        raise SettingsError(f"{_FIELD}.restarts", f"expected 1 to {MAXIMUM_RESTARTS}, got {restarts}")
    solver = requested.solver or stated.default_solver or bundle_pb2.SOLVER_ADAM
    return InversionSettings(steps, learning_rate, weight, restarts, solver)


def _check_range(field: str, value: float, allowed: bundle_pb2.Interval) -> None:
    if not allowed.minimum <= value <= allowed.maximum:
        expected = f"expected {allowed.minimum:g} to {allowed.maximum:g}, got {value:g}"
        raise SettingsError(f"{_FIELD}.{field}", expected)
