"""The Torch engine: gradient steps on the saved `torch.export` program, on the CPU; all else by ONNX Runtime.

The one module of the server that imports torch. `open_engine` imports it only when it is asked for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch

from medxgan.server.bundle import LoadedBundle
from medxgan.server.engine.ort_engine import OrtEngine
from medxgan.server.engine.port import Execution, FloatArray, InversionState, Losses
from medxgan.server.engine.sample import sample_inputs
from medxgan.server.errors import BundleError
from medxgan.server.graphs import CONSTANTS, STATE
from medxgan.v1 import bundle_pb2
from medxgan.v1.bundle_pb2 import GraphRole


class TorchEngine:
    """Runs a bundle's inversion with PyTorch on the CPU. Implements `Engine`.

    Args:
        bundle: a bundle that passed `load_bundle`.
        threads: threads within an operator, for the whole process; 0: as torch has them.

    Raises:
        BundleError: the bundle has a generator but no saved program of the inversion step.
    """

    def __init__(self, bundle: LoadedBundle, threads: int) -> None:
        graph = bundle.graph(bundle_pb2.GRAPH_ROLE_INVERSION_STEP, bundle_pb2.GRAPH_FORMAT_TORCH_EXPORT)
        if graph is None and bundle.has_generator:
            name = f"{bundle.description.name}/{bundle.description.version}"
            raise BundleError(f"{name}: no torch.export program of the inversion step, which the provider torch needs")
        if threads > 0:
            torch.set_num_threads(threads)
        self._graph = graph
        self._side = bundle.description.image.size
        self._stateless = OrtEngine(bundle, "torch", threads)
        self._step = torch.export.load(bundle.folder / graph.file).module() if graph is not None else None

    @property
    def execution(self) -> Execution:
        """How the model is really run."""
        if self._step is None:
            reason = "torch runs the gradient steps of an inversion alone, and the bundle has no generator to invert"
            return replace(self._stateless.execution, fallback_reason=reason)
        return Execution("torch", "cpu", "torch")

    def has(self, role: GraphRole) -> bool:
        """Whether the bundle holds a graph of this role."""
        return self._stateless.has(role)

    def run(
        self, role: GraphRole, inputs: Mapping[str, FloatArray], outputs: Sequence[str] | None = None
    ) -> dict[str, FloatArray]:
        """Run a stateless graph on host arrays, or the least part of it that gives the outputs wanted."""
        return self._stateless.run(role, inputs, outputs)

    def start(self, state: InversionState) -> "TorchInversionRun":
        """Turn a batch of inversions into tensors."""
        if self._step is None:
            raise ValueError("the bundle has no generator")
        return TorchInversionRun(self._step, state)

    def warm_up(self) -> None:
        """Run every graph once on one row."""
        self._stateless.warm_up()
        if self._graph is not None:
            self.start(InversionState(**sample_inputs(self._graph, self._side))).advance(1)


class TorchInversionRun:
    """A batch of inversions as tensors. Implements `InversionRun`.

    Each row advances by itself. PyTorch's kernels round otherwise for another batch size, and hundreds of Adam steps
    can make a last bit visible: in one batch, a row's result would depend on the rows that share it.
    """

    def __init__(self, step: torch.nn.Module, state: InversionState) -> None:
        self._step = step
        self._start = state
        self._states = _rows(state, STATE)
        self._constants = _rows(state, CONSTANTS)

    def advance(self, steps: int) -> Losses:
        """Take `steps` (>= 1) gradient steps with every row."""
        if steps < 1:
            raise ValueError(f"expected at least 1 step, got {steps}")
        losses = []
        with torch.no_grad():
            for index, constants in enumerate(self._constants):
                for _ in range(steps):
                    outputs = self._step(*self._states[index], *constants)
                    self._states[index] = outputs[: len(STATE)]
                losses.append(outputs[len(STATE) :])
        reconstruction, classification = (torch.cat(column).numpy() for column in zip(*losses, strict=True))
        return Losses(reconstruction, classification)

    def state(self) -> InversionState:
        """Give the rows as arrays."""
        columns = zip(STATE, zip(*self._states, strict=True), strict=True)
        moved = {name: torch.cat(column).numpy() for name, column in columns}
        return InversionState(**moved, **{name: getattr(self._start, name) for name in CONSTANTS})


def _rows(state: InversionState, names: Sequence[str]) -> list[tuple[torch.Tensor, ...]]:
    """These tensors of the state, row by row, each row a batch of one."""
    tensors = [torch.split(torch.tensor(getattr(state, name)), 1) for name in names]
    return list(zip(*tensors, strict=True))
