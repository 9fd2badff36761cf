"""The ONNX Runtime engine: a session per graph; gradient steps with IO binding, their state in two buffers in turn."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import onnxruntime as ort

from medxgan.bundle import LoadedBundle
from medxgan.bundle.graphs import CONSTANTS, LOSSES, STATE
from medxgan.server.engine.port import Execution, FloatArray, InversionState, Losses
from medxgan.server.engine.providers import (
    ProviderChoice,
    available_chain,
    device_type,
    fallback_reason,
    load_libraries,
)
from medxgan.server.engine.sample import sample_inputs
from medxgan.server.engine.sessions import open_session
from medxgan.v1 import bundle_pb2
from medxgan.v1.bundle_pb2 import GraphRole

Buffers = dict[str, ort.OrtValue]
"""Tensors on the provider's device, by name."""

STEP = bundle_pb2.GRAPH_ROLE_INVERSION_STEP


class OrtEngine:
    """Runs a bundle's ONNX graphs on the CPU, CUDA or TensorRT. Implements `Engine`.

    Args:
        bundle: a bundle that passed `load_bundle`.
        choice: the execution provider asked for.
        threads: threads within an operator on the CPU; 0: as many as there are cores. Each session has its own, unless
            the process has a pool for all of them, see `share_between_sessions`.

    Raises:
        BundleError: ONNX Runtime can't load a graph, or a graph's tensors are not those that the bundle states.
    """

    def __init__(self, bundle: LoadedBundle, choice: ProviderChoice, threads: int = 0) -> None:
        available = ort.get_available_providers()
        chain = available_chain(choice, available)
        load_libraries(chain)
        self._side = bundle.description.image.height
        self._beta1 = bundle.description.inversion.beta1
        self._graphs = [
            (graph, open_session(bundle, graph, chain, threads))
            for graph in bundle.description.graphs
            if graph.format == bundle_pb2.GRAPH_FORMAT_ONNX
        ]
        decisive = STEP if bundle.has_generator else bundle_pb2.GRAPH_ROLE_ATTRIBUTION
        running = self._session(decisive).get_providers()[0]
        self._execution = Execution("onnxruntime", running, choice, fallback_reason(choice, available, running))

    @property
    def execution(self) -> Execution:
        """How the model is really run."""
        return self._execution

    def stand_in(self, requested: str, reason: str) -> None:
        """Say from now on that it runs where something else was asked for, and why."""
        self._execution = replace(self._execution, requested=requested, fallback_reason=reason)

    def run(
        self, role: GraphRole, inputs: Mapping[str, FloatArray], outputs: Sequence[str] | None = None
    ) -> dict[str, FloatArray]:
        """Run a stateless graph on host arrays; of several with one role, the first that has the outputs wanted."""
        session = self._session(role, outputs or ())
        names = [output.name for output in session.get_outputs()] if outputs is None else list(outputs)
        return dict(zip(names, session.run(names, dict(inputs)), strict=True))

    def start(self, state: InversionState) -> "OrtInversionRun":
        """Put a batch of inversions on the provider's device."""
        return OrtInversionRun(self._session(STEP), state, device_type(self._execution.provider), self._beta1)

    def warm_up(self) -> None:
        """Run every graph once on one row."""
        for graph, session in self._graphs:
            inputs = sample_inputs(graph, self._side)
            if graph.role == STEP:
                self.start(InversionState(**inputs)).advance(1)
            else:
                session.run(None, inputs)

    def _session(self, role: GraphRole, outputs: Sequence[str] = ()) -> ort.InferenceSession:
        return next(
            session
            for graph, session in self._graphs
            if graph.role == role and {tensor.name for tensor in graph.outputs}.issuperset(outputs)
        )


class OrtInversionRun:
    """A batch of inversions on the provider's device. Implements `InversionRun`.

    Everything is bound once, when the run starts. The state lives in two sets of buffers: a step reads one and writes
    the other, the next step goes back. Between blocks only the losses come to the host.
    """

    def __init__(self, session: ort.InferenceSession, state: InversionState, device: str, beta1: float) -> None:
        self._session = session
        self._start = state
        self._beta1 = beta1
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
        return self._losses_on_host()

    def gradient(self, z: FloatArray) -> tuple[Losses, FloatArray]:
        """The losses of every row at another code, and the gradient; the rows stay as they are."""
        self._current["z"].update_inplace(z)
        self._session.run_with_iobinding(self._binding)
        # From a first moment of 0, a step of Adam leads to 1 - beta1 of the gradient.
        gradient = _to_host(self._following["first_moment"]) / np.float32(1 - self._beta1)
        self._current["z"].update_inplace(self._start.z)
        return self._losses_on_host(), gradient

    def state(self) -> InversionState:
        """Bring the rows back to the host."""
        moved = {name: _to_host(buffer) for name, buffer in self._current.items()}
        return InversionState(**moved, **{name: getattr(self._start, name) for name in CONSTANTS})

    def _losses_on_host(self) -> Losses:
        reconstruction, classification = (_to_host(self._losses[name]) for name in LOSSES)
        return Losses(reconstruction, classification)

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
