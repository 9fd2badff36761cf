"""The inversion: the latent code whose picture matches an image, found by gradient descent.

    argmin over z1, z2 of   λ · MSE(G(z1, z2), x) + BCE(C(G(z1, z2)), C(x))

Four verbs with explicit state: `init` makes a first guess, `step` takes a block of gradient steps with a batch of rows,
`terminate` says whether a row is done, `finish` draws the realizations. What is true of a row depends on that row
alone, never on the rows that share its batch. Not converging is a value of the outcome, not an error.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from medxgan.server.engine.port import Engine, FloatArray, InversionRun, InversionState
from medxgan.server.errors import InvalidRequestError, SettingsError
from medxgan.server.randomness import first_guess_generator
from medxgan.server.scores import binary_cross_entropy, probability
from medxgan.v1 import bundle_pb2, explanation_pb2

MAXIMUM_RESTARTS = 16
"""Most inversions of one image."""


@dataclass(frozen=True)
class InversionSettings:
    """Settings in force for one inversion.

    Attributes:
        steps: most gradient steps to take, >= 1.
        learning_rate: Adam's learning rate.
        reconstruction_weight: λ, the weight of the mean squared error against the class term.
        restarts: inversions from different starts, 1 to 16; the one with the lowest final loss is the answer.
    """

    steps: int
    learning_rate: float
    reconstruction_weight: float
    restarts: int = 1

    def loss(self, reconstruction_mse: float, classification_loss: float) -> float:
        """The loss that an inversion brings down: λ · MSE + BCE."""
        return self.reconstruction_weight * reconstruction_mse + classification_loss


@dataclass(frozen=True)
class InversionRow:
    """How far the inversion of one image is.

    Attributes:
        settings: what was asked for.
        steps_taken: gradient steps so far.
        reconstruction_mse: mean squared error before the last step; NaN before the first.
        classification_loss: cross-entropy in nats before the last step; NaN before the first.
        checked_loss: the total loss at the last check of the tolerance; None before the first check.
        converged: whether the loss had settled within the tolerance at that check.
    """

    settings: InversionSettings
    steps_taken: int = 0
    reconstruction_mse: float = float("nan")
    classification_loss: float = float("nan")
    checked_loss: float | None = None
    converged: bool = False

    @property
    def progress(self) -> "Progress":
        """What a caller is told after each block."""
        return Progress(self.steps_taken, self.settings.steps, self.reconstruction_mse, self.classification_loss)

    @property
    def loss(self) -> float:
        """The total loss before the last step; NaN before the first."""
        return self.settings.loss(self.reconstruction_mse, self.classification_loss)


@dataclass(frozen=True)
class Progress:
    """Progress after a block: the fields of `Progress` in explanation.proto."""

    steps_taken: int
    steps_total: int
    reconstruction_mse: float
    classification_loss: float
    phase: explanation_pb2.ProgressPhase = explanation_pb2.PROGRESS_PHASE_INVERSION


@dataclass(frozen=True)
class InversionOutcome:
    """How an inversion ended: the fields of `InversionOutcome` in explanation.proto, measured on the final picture.

    `difference_spread` is None where there was one start alone.
    """

    steps_taken: int
    converged: bool
    reconstruction_mse: float
    classification_loss: float
    restart: int = 0
    difference_spread: float | None = None


@dataclass(frozen=True)
class Realizations:
    """What the generator draws from the latent code that was found.

    Attributes:
        z: [1, D], the latent code that was found: z1, then z2.
        negative_z: [1, D], the same with z2 = 0.
        reconstruction: [S, S] in [-1, 1], G(z1, z2).
        negative_realization: [S, S] in [-1, 1], G(z1, 0).
        reconstruction_score: C(G(z1, z2)), a probability.
        negative_realization_score: C(G(z1, 0)), a probability.
        outcome: how the inversion ended.
    """

    z: FloatArray
    negative_z: FloatArray
    reconstruction: FloatArray
    negative_realization: FloatArray
    reconstruction_score: float
    negative_realization_score: float
    outcome: InversionOutcome


def resolve_settings(requested: explanation_pb2.InversionSettings, bundle: bundle_pb2.Bundle) -> InversionSettings:
    """Fill what the caller left out with the bundle's defaults.

    Raises:
        InvalidRequestError: naming the model, where the bundle has no generator.
        SettingsError: a value is outside the bundle's range.
    """
    if not bundle.HasField("inversion"):
        raise InvalidRequestError(
            "model",
            f"{bundle.name}/{bundle.version} has no generator to explain with; Attribute explains its classifier",
        )
    specification = bundle.inversion
    learning_rates, weights = specification.learning_rate_range, specification.reconstruction_weight_range
    steps = requested.steps if requested.HasField("steps") else specification.default_steps
    if not 1 <= steps <= specification.maximum_steps:
        raise SettingsError("inversion.steps", f"expected 1 to {specification.maximum_steps}, got {steps}")
    learning_rate = (
        requested.learning_rate if requested.HasField("learning_rate") else specification.default_learning_rate
    )
    _check_range("learning_rate", learning_rate, learning_rates)
    weight = (
        requested.reconstruction_weight
        if requested.HasField("reconstruction_weight")
        else specification.default_reconstruction_weight
    )
    _check_range("reconstruction_weight", weight, weights)
    restarts = requested.restarts if requested.HasField("restarts") else 1
    if not 1 <= restarts <= MAXIMUM_RESTARTS:
        raise SettingsError("inversion.restarts", f"expected 1 to {MAXIMUM_RESTARTS}, got {restarts}")
    return InversionSettings(steps, learning_rate, weight, restarts)


def _check_range(field: str, value: float, allowed: bundle_pb2.FloatRange) -> None:
    if not allowed.minimum <= value <= allowed.maximum:
        expected = f"expected {allowed.minimum:g} to {allowed.maximum:g}, got {value:g}"
        raise SettingsError(f"inversion.{field}", expected)


@dataclass(frozen=True)
class Inversion:
    """The solver of one bundle. It never changes: rows and state are passed. Calls come from the engine's thread."""

    engine: Engine
    bundle: bundle_pb2.Bundle

    def init(
        self, x: FloatArray, target: float, settings: InversionSettings, seed: int
    ) -> tuple[InversionRow, InversionState]:
        """Make the first guess: the encoder's, else z1 = 0 and z2 drawn from N(0, I) by the seed.

        Args:
            x: [1, 1, S, S] in [-1, 1], the image to match.
            target: C(x), the probability to match.
            settings: as resolved against the bundle.
            seed: of the random start, 0 to 2^64 - 1; unused where the bundle has an encoder.

        Returns:
            The row and its state, a batch of one.
        """
        z = self._first_guess(x, seed)
        state = InversionState(
            z=z,
            first_moment=np.zeros_like(z),
            second_moment=np.zeros_like(z),
            step=np.zeros(1, np.float32),
            image=x,
            target=np.full(1, target, np.float32),
            learning_rate=np.full(1, settings.learning_rate, np.float32),
            reconstruction_weight=np.full(1, settings.reconstruction_weight, np.float32),
        )
        return InversionRow(settings), state

    def step(self, rows: Sequence[InversionRow], run: InversionRun) -> list[InversionRow]:
        """Take one block of gradient steps with every row of a run.

        The block ends where the first row ends or is due for its check, so that no row's fate depends on its company.
        """
        steps = min(min(row.settings.steps - row.steps_taken, self._steps_to_check(row)) for row in rows)
        losses = run.advance(steps)
        return [
            self._advanced(row, steps, float(reconstruction), float(classification))
            for row, reconstruction, classification in zip(
                rows, losses.reconstruction, losses.classification, strict=True
            )
        ]

    def terminate(self, row: InversionRow) -> bool:
        """Whether the row has converged or used up its steps."""
        return row.converged or row.steps_taken >= row.settings.steps

    def finish(self, row: InversionRow, state: InversionState) -> Realizations:
        """Draw the reconstruction and the negative realization of one row, and score both.

        Args:
            row: a row that terminated.
            state: its state, a batch of one.
        """
        negative_z = state.z.copy()
        negative_z[:, self.bundle.latent.z1_size :] = 0
        z = np.concatenate([state.z, negative_z])
        pictures = self.engine.run(bundle_pb2.GRAPH_ROLE_GENERATOR, {"z": z})["image"]
        logits = self.engine.run(bundle_pb2.GRAPH_ROLE_CLASSIFIER, {"x": pictures})["logit"]
        return Realizations(
            z=state.z,
            negative_z=negative_z,
            reconstruction=pictures[0, 0],
            negative_realization=pictures[1, 0],
            reconstruction_score=probability(float(logits[0])),
            negative_realization_score=probability(float(logits[1])),
            outcome=InversionOutcome(
                steps_taken=row.steps_taken,
                converged=row.converged,
                reconstruction_mse=float(np.mean(np.square(pictures[0] - state.image[0]))),
                classification_loss=binary_cross_entropy(float(logits[0]), float(state.target[0])),
            ),
        )

    def _first_guess(self, x: FloatArray, seed: int) -> FloatArray:
        if self.engine.has(bundle_pb2.GRAPH_ROLE_ENCODER):
            return self.engine.run(bundle_pb2.GRAPH_ROLE_ENCODER, {"x": x})["z"]
        latent = self.bundle.latent
        z = np.zeros((1, latent.z1_size + latent.z2_size), np.float32)
        z[0, latent.z1_size :] = first_guess_generator(seed).standard_normal(latent.z2_size, np.float32)
        return z

    def _steps_to_check(self, row: InversionRow) -> int:
        interval = self.bundle.inversion.check_interval
        return interval - row.steps_taken % interval

    def _advanced(self, row: InversionRow, steps: int, reconstruction: float, classification: float) -> InversionRow:
        due = steps == self._steps_to_check(row)
        row = replace(
            row,
            steps_taken=row.steps_taken + steps,
            reconstruction_mse=reconstruction,
            classification_loss=classification,
        )
        return self._checked(row) if due else row

    def _checked(self, row: InversionRow) -> InversionRow:
        tolerance = self.bundle.inversion.tolerance
        settled = (
            tolerance > 0
            and row.checked_loss is not None
            and abs(row.checked_loss - row.loss) < tolerance * row.checked_loss
        )
        return replace(row, checked_loss=row.loss, converged=settled)


def select(state: InversionState, rows: Sequence[int]) -> InversionState:
    """Only these rows of a batch, in this order."""
    indices = np.asarray(rows, dtype=np.intp)
    return InversionState(**{field.name: getattr(state, field.name)[indices] for field in fields(InversionState)})


def concatenate(states: Sequence[InversionState]) -> InversionState:
    """The rows of several batches as one batch."""
    return InversionState(
        **{
            field.name: np.concatenate([getattr(state, field.name) for state in states])
            for field in fields(InversionState)
        }
    )
