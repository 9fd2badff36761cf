"""The port to whatever runs a bundle's graphs. Adding a backend is adding a file beside this one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from medxgan.v1.bundle_pb2 import GraphRole

FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class Execution:
    """How a model is run: what was asked for and what really runs.

    Attributes:
        engine: "onnxruntime" or "torch".
        provider: the execution provider that runs the gradient steps, as the engine itself reports it.
        requested: the operator's choice: "auto", "cpu", "cuda", "tensorrt", "openvino" or "torch".
        fallback_reason: why less than the choice runs; empty when the choice was met.
    """

    engine: str
    provider: str
    requested: str
    fallback_reason: str = ""


@dataclass(frozen=True)
class InversionState:
    """The rows of an inversion batch, on the host.

    Attributes:
        z: [B, D] latent codes.
        first_moment: [B, D] Adam's running mean of the gradient.
        second_moment: [B, D] Adam's running mean of the squared gradient.
        step: [B] gradient steps that each row has taken.
        image: [B, 1, S, S] the images to match, in [-1, 1].
        target: [B] the probability to match, in [0, 1].
        learning_rate: [B, D] one for each latent; 0 holds it still.
        reconstruction_weight: [B] λ.
    """

    z: FloatArray
    first_moment: FloatArray
    second_moment: FloatArray
    step: FloatArray
    image: FloatArray
    target: FloatArray
    learning_rate: FloatArray
    reconstruction_weight: FloatArray


@dataclass(frozen=True)
class Losses:
    """The loss terms per row, before the last gradient step: [B] each, both not negative."""

    reconstruction: FloatArray
    classification: FloatArray


class InversionRun(Protocol):
    """A batch of inversions that lives on the engine's device between blocks."""

    def advance(self, steps: int) -> Losses:
        """Take `steps` (>= 1) gradient steps with every row; only the losses come back."""
        ...

    def gradient(self, z: FloatArray) -> tuple[Losses, FloatArray]:
        """The losses of every row at another code, and their weighted sum's gradient; both [B, D].

        The rows, whose `first_moment` is 0, stay as they are.
        """
        ...

    def state(self) -> InversionState:
        """Bring the rows back to the host."""
        ...


class Engine(Protocol):
    """Runs one bundle's graphs. Calls are made from one thread at a time, where it does not say otherwise."""

    @property
    def execution(self) -> Execution:
        """How the model is really run."""
        ...

    @property
    def is_shared(self) -> bool:
        """Whether several threads may call it at once: then one serves all replicas on its device."""
        ...

    def run(
        self, role: GraphRole, inputs: Mapping[str, FloatArray], outputs: Sequence[str] | None = None
    ) -> dict[str, FloatArray]:
        """Run a stateless graph on host arrays, by the tensor names that the bundle states.

        Args:
            role: which graph. Of several with one role, the first that has all the outputs wanted is run.
            inputs: all of its inputs.
            outputs: the outputs wanted; all that any graph of the role has where left out.
        """
        ...

    def start(self, state: InversionState) -> InversionRun:
        """Put a batch of inversions on the device. The bundle has a generator."""
        ...

    def warm_up(self) -> None:
        """Run every graph once, so that no request pays for first-time work."""
        ...
