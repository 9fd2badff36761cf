"""The ONNX Runtime engine: a session per graph; gradient steps with IO binding, their state in two buffers in turn."""

from collections.abc import Mapping, Sequence

import numpy as np
import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from medxgan.server.bundle import LoadedBundle
from medxgan.server.engine.port import Execution, FloatArray, InversionState, Losses
from medxgan.server.engine.providers import OPTIONS, ProviderChoice, available_chain, device_type, fallback_reason
from medxgan.server.engine.pruning import prune
from medxgan.server.engine.sample import sample_inputs
from medxgan.server.errors import BundleError
from medxgan.server.graphs import CONSTANTS, LOSSES, PARTS, STATE
from medxgan.v1 import bundle_pb2
from medxgan.v1.bundle_pb2 import GraphRole

Buffers = dict[str, ort.OrtValue]
"""Tensors on the provider's device, by name."""

STEP = bundle_pb2.GRAPH_ROLE_INVERSION_STEP
ATTRIBUTION = bundle_pb2.GRAPH_ROLE_ATTRIBUTION


class OrtEngine:
    """Runs a bundle's ONNX graphs on the CPU, CUDA or TensorRT. Implements `Engine`.

    Args:
        bundle: a bundle that passed `load_bundle`.
        choice: the execution provider asked for.
        threads: threads within an operator on the CPU; 0: as many as there are cores.

    Raises:
        BundleError: ONNX Runtime can't load a graph, or a graph's tensors are not those that the bundle states.
    """

    def __init__(self, bundle: LoadedBundle, choice: ProviderChoice, threads: int) -> None:
        available = ort.get_available_providers()
        chain = available_chain(choice, available)
        self._side = bundle.description.image.size
        self._graphs = {
            graph.role: graph for graph in bundle.description.graphs if graph.format == bundle_pb2.GRAPH_FORMAT_ONNX
        }
        self._sessions = {role: _open_session(bundle, graph, chain, threads) for role, graph in self._graphs.items()}
        self._parts = {
            (role, part): _open_session(bundle, graph, chain, threads, part)
            for role, graph in self._graphs.items()
            for part in PARTS.get(role, ())
        }
        running = self._sessions[STEP if STEP in self._sessions else ATTRIBUTION].get_providers()[0]
        self._execution = Execution("onnxruntime", running, choice, fallback_reason(choice, available, running))

    @property
    def execution(self) -> Execution:
        """How the model is really run."""
        return self._execution

    def has(self, role: GraphRole) -> bool:
        """Whether the bundle holds a graph of this role."""
        return role in self._sessions

    def run(
        self, role: GraphRole, inputs: Mapping[str, FloatArray], outputs: Sequence[str] | None = None
    ) -> dict[str, FloatArray]:
        """Run a stateless graph on host arrays, or the least part of it that gives the outputs wanted."""
        names = [tensor.name for tensor in self._graphs[role].outputs] if outputs is None else list(outputs)
        part = next((part for part in PARTS.get(role, ()) if set(names) <= set(part)), None)
        session = self._sessions[role] if part is None else self._parts[role, part]
        return dict(zip(names, session.run(names, dict(inputs)), strict=True))

    def start(self, state: InversionState) -> "OrtInversionRun":
        """Put a batch of inversions on the provider's device."""
        return OrtInversionRun(self._sessions[STEP], state, device_type(self._execution.provider))

    def warm_up(self) -> None:
        """Run every graph once on one row."""
        for role, graph in self._graphs.items():
            inputs = sample_inputs(graph, self._side)
            if role == STEP:
                self.start(InversionState(**inputs)).advance(1)
            else:
                for outputs in (None, *PARTS.get(role, ())):
                    self.run(role, inputs, outputs)


class OrtInversionRun:
    """A batch of inversions on the provider's device. Implements `InversionRun`.

    Everything is bound once, when the run starts. The state lives in two sets of buffers: a step reads one and writes
    the other, the next step goes back. Between blocks only the losses come to the host.
    """

    def __init__(self, session: ort.InferenceSession, state: InversionState, device: str) -> None:
        self._session = session
        self._start = state
        constants = {name: _on_device(getattr(state, name), device) for name in CONSTANTS}
        self._losses = {name: _empty(state.step.shape, device) for name in LOSSES}
        self._current = {name: _on_device(getattr(state, name), device) for name in STATE}
        self._following = {name: _empty(getattr(state, name).shape, device) for name in STATE}
        self._binding = self._bind(constants, self._current, self._following)
        self._binding_back = self._bind(constants, self._following, self._current)

    def advance(self, steps: int) -> Losses:
        """Take `steps` (>= 1) gradient steps with every row."""
        if steps < 1:
            raise ValueError(f"expected at least 1 step, got {steps}")
        for _ in range(steps):
            self._session.run_with_iobinding(self._binding)
            self._binding, self._binding_back = self._binding_back, self._binding
            self._current, self._following = self._following, self._current
        reconstruction, classification = (_to_host(self._losses[name]) for name in LOSSES)
        return Losses(reconstruction, classification)

    def state(self) -> InversionState:
        """Bring the rows back to the host."""
        moved = {name: _to_host(buffer) for name, buffer in self._current.items()}
        return InversionState(**moved, **{name: getattr(self._start, name) for name in CONSTANTS})

    def _bind(self, constants: Buffers, source: Buffers, destination: Buffers) -> ort.IOBinding:
        binding = self._session.io_binding()
        for name, buffer in (constants | source).items():
            binding.bind_ortvalue_input(name, buffer)
        for name, buffer in destination.items():
            binding.bind_ortvalue_output(f"next_{name}", buffer)
        for name, buffer in self._losses.items():
            binding.bind_ortvalue_output(name, buffer)
        return binding


def _empty(shape: Sequence[int], device: str) -> ort.OrtValue:
    return ort.OrtValue.ortvalue_from_shape_and_type(shape, np.float32, device, 0)


def _on_device(values: FloatArray, device: str) -> ort.OrtValue:
    # Copied also on the CPU, where `ortvalue_from_numpy` would alias the caller's array and steps would write into it.
    buffer = _empty(values.shape, device)
    buffer.update_inplace(values)
    return buffer


def _to_host(buffer: ort.OrtValue) -> FloatArray:
    # On the CPU `numpy()` is a view of the buffer, which the next step overwrites.
    values: FloatArray = buffer.numpy().copy()
    return values


def _open_session(
    bundle: LoadedBundle,
    graph: bundle_pb2.Graph,
    chain: Sequence[str],
    threads: int,
    outputs: Sequence[str] | None = None,
) -> ort.InferenceSession:
    """Open the graph, or the part of it that these outputs need."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.intra_op_num_threads = threads
    if graph.role != STEP:
        # Each session has its own threads: those of a graph that runs once must not spin beside the gradient steps.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    providers = [(provider, OPTIONS.get(provider, {})) for provider in chain]
    file = bundle.folder / graph.file
    try:
        session = ort.InferenceSession(file if outputs is None else prune(file, outputs), options, providers)
    except _LOAD_ERRORS as error:
        raise BundleError(f"{graph.file}: ONNX Runtime {ort.__version__} can't load it: {error}") from error
    # Else a provider that fails during a request would be swapped for another behind our back.
    session.disable_fallback()
    _check_tensors(f"{graph.file}: inputs", session.get_inputs(), graph.inputs)
    stated = [tensor for tensor in graph.outputs if outputs is None or tensor.name in outputs]
    _check_tensors(f"{graph.file}: outputs", session.get_outputs(), stated)
    return session


_LOAD_ERRORS = (
    ort_errors.Fail,
    ort_errors.InvalidArgument,
    ort_errors.InvalidGraph,
    ort_errors.InvalidProtobuf,
    ort_errors.NotImplemented,
    ort_errors.RuntimeException,
)


def _check_tensors(where: str, found: Sequence[ort.NodeArg], stated: Sequence[bundle_pb2.TensorSpecification]) -> None:
    # ONNX Runtime gives an open extent as a symbol's name or None.
    tensors = {node.name: [extent if isinstance(extent, int) else -1 for extent in node.shape] for node in found}
    expected = {tensor.name: list(tensor.shape) for tensor in stated}
    if tensors != expected:
        raise BundleError(f"{where}: the graph has {tensors}, bundle.json states {expected}")
