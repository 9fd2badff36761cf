"""The Torch engine: gradient steps on the saved `torch.export` program, on the CPU; all else by ONNX Runtime.

The one module of the server that imports torch. `open_engine` imports it only when it is asked for.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from medxgan.bundle import BundleError, LoadedBundle
from medxgan.bundle.graphs import CONSTANTS, STATE
from medxgan.server.engine.ort_engine import OrtEngine
from medxgan.server.engine.port import Execution, FloatArray, InversionState, Losses
from medxgan.server.engine.sample import sample_inputs
from medxgan.server.engine.settings import EngineSettings
from medxgan.v1 import bundle_pb2
from medxgan.v1.bundle_pb2 import GraphRole


class TorchEngine:
    """Runs a bundle's inversion with PyTorch on the CPU. Implements `Engine`.

    Args:
        bundle: a bundle that passed `load_bundle`.
        settings: of the engine; its threads are those of the whole process, 0: as torch has them.

    Raises:
        BundleError: the bundle has a generator but no saved program of the inversion step.
    """

    is_shared = False

    def __init__(self, bundle: LoadedBundle, settings: EngineSettings) -> None:
        graph = bundle.graph(bundle_pb2.GRAPH_ROLE_INVERSION_STEP, bundle_pb2.GRAPH_FORMAT_TORCH_EXPORT)
        if graph is None and bundle.has_generator:
            raise BundleError(
                f"{bundle.name}: no torch.export program of the inversion step, which the provider torch needs"
            )
        if settings.threads > 0:
            torch.set_num_threads(settings.threads)
        self._graph = graph
        self._side = bundle.description.image.height
        self._beta1 = bundle.description.inversion.beta1
        self._stateless = OrtEngine(bundle, replace(settings, provider="torch"))
        self._step = None if graph is None else _load_program(graph, bundle.folder)

    @property
    def execution(self) -> Execution:
        """How the model is really run."""
        if self._step is None:
            reason = "torch runs the gradient steps of an inversion alone, and the bundle has no generator to invert"
            return replace(self._stateless.execution, fallback_reason=reason)
        return Execution("torch", "cpu", "torch")

    def run(
        self, role: GraphRole, inputs: Mapping[str, FloatArray], outputs: Sequence[str] | None = None
    ) -> dict[str, FloatArray]:
        """Run a stateless graph on host arrays."""
        return self._stateless.run(role, inputs, outputs)

    def start(self, state: InversionState) -> "TorchInversionRun":
        """Turn a batch of inversions into tensors."""
        if self._step is None:
            raise ValueError("the bundle has no generator")
        return TorchInversionRun(self._step, state, self._beta1)

    def warm_up(self) -> None:
        """Run every graph once on one row."""
        self._stateless.warm_up()
        if self._graph is not None:
            self.start(InversionState(**sample_inputs(self._graph, self._side))).advance(1)


class TorchInversionRun:
    """A batch of inversions as tensors. Implements `InversionRun`."""

    def __init__(self, step: torch.nn.Module, state: InversionState, beta1: float) -> None:
        self._step = step
        self._start = state
        self._beta1 = beta1
        self._state = tuple(torch.tensor(getattr(state, name)) for name in STATE)
        self._constants = tuple(torch.tensor(getattr(state, name)) for name in CONSTANTS)

    def advance(self, steps: int) -> Losses:
        """Take `steps` (>= 1) gradient steps with every row."""
        if steps < 1:
            raise ValueError(f"expected at least 1 step, got {steps}")
        with torch.no_grad():
            for _ in range(steps):
                outputs = self._step(*self._state, *self._constants)
                self._state = outputs[: len(STATE)]
        reconstruction, classification = outputs[len(STATE) :]
        return Losses(reconstruction.numpy(), classification.numpy())

    def gradient(self, z: FloatArray) -> tuple[Losses, FloatArray]:
        """The losses of every row at another code, and the gradient; the rows stay as they are."""
        with torch.no_grad():
            outputs = self._step(torch.tensor(z), *self._state[1:], *self._constants)
        reconstruction, classification = outputs[len(STATE) :]
        # From a first moment of 0, a step of Adam leads to 1 - beta1 of the gradient.
        gradient = outputs[STATE.index("first_moment")].numpy() / np.float32(1 - self._beta1)
        return Losses(reconstruction.numpy(), classification.numpy()), gradient

    def state(self) -> InversionState:
        """Give the rows as arrays."""
        moved = {name: value.numpy() for name, value in zip(STATE, self._state, strict=True)}
        return InversionState(**moved, **{name: getattr(self._start, name) for name in CONSTANTS})


def _load_program(graph: bundle_pb2.Graph, folder: Path) -> torch.nn.Module:
    """The saved program with its large weights, which the bundle keeps once for all graphs, put back."""
    program = torch.export.load(folder / graph.file)
    for weight in graph.weights:
        values = np.fromfile(folder / weight.file, "<f4", math.prod(weight.shape), offset=weight.offset)
        stored = program.state_dict if weight.name in program.state_dict else program.constants
        tensor = torch.from_numpy(values.reshape(tuple(weight.shape)))
        # A program keeps parameters and other tensors apart.
        is_parameter = isinstance(stored[weight.name], torch.nn.Parameter)
        stored[weight.name] = torch.nn.Parameter(tensor, requires_grad=False) if is_parameter else tensor
    module: torch.nn.Module = program.module()
    return module
