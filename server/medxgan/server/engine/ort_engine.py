"""The ONNX Runtime engine: a session per graph; gradient steps with IO binding."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import onnxruntime as ort

from medxgan.bundle import BundleError, LoadedBundle
from medxgan.server.engine import openvino, tensorrt
from medxgan.server.engine.buckets import bucket_sizes
from medxgan.server.engine.port import Execution, FloatArray, InversionState
from medxgan.server.engine.providers import (
    CPU,
    CUDA,
    CUDA_OPTIONS,
    OPENVINO,
    TENSORRT,
    available_chain,
    device_type,
    fallback_reason,
    load_libraries,
)
from medxgan.server.engine.sample import sample_inputs
from medxgan.server.engine.sessions import Provider, open_session
from medxgan.server.engine.settings import EngineSettings
from medxgan.server.engine.slots import OrtInversionRun, SlotPool
from medxgan.server.log import get_logger
from medxgan.v1 import bundle_pb2
from medxgan.v1.bundle_pb2 import GraphRole

_log = get_logger(__name__)

STEP = bundle_pb2.GRAPH_ROLE_INVERSION_STEP


class OrtEngine:
    """Runs a bundle's ONNX graphs on the CPU, CUDA, TensorRT or OpenVINO. Implements `Engine`.

    Args:
        bundle: a bundle that passed `load_bundle`.
        settings: of the engine. Each session has threads of its own, unless the process has a pool for all of them, see
            `share_between_sessions`.
        sizes: of batches, in which buffers are kept and used again; None: those that the provider wants.

    Raises:
        BundleError: ONNX Runtime can't load a graph, or a graph's tensors are not those that the bundle states.
    """

    def __init__(self, bundle: LoadedBundle, settings: EngineSettings, *, sizes: tuple[int, ...] | None = None) -> None:
        available = ort.get_available_providers()
        chain = available_chain(settings.provider, available)
        load_libraries(chain)
        if TENSORRT in chain:
            tensorrt.load_libraries()
        self._side = bundle.description.image.height
        self._beta1 = bundle.description.inversion.beta1
        self._maximum_rows = settings.maximum_rows
        self._captures = False
        self._graphs = [
            (graph, self._opened(bundle, graph, chain, settings))
            for graph in bundle.description.graphs
            if graph.format == bundle_pb2.GRAPH_FORMAT_ONNX
        ]
        self._whole = {
            graph.role: [output.name for output in bundle.whole_graph(graph.role).outputs] for graph, _ in self._graphs
        }
        decisive = STEP if bundle.has_generator else bundle_pb2.GRAPH_ROLE_ATTRIBUTION
        running = self._session(decisive).get_providers()[0]
        reason = fallback_reason(settings.provider, available, running)
        self._execution = Execution("onnxruntime", running, settings.provider, reason)
        kind = device_type(running)
        if sizes is None:
            sizes = () if kind == "cpu" else bucket_sizes(settings.maximum_rows)
        self._sizes = sizes
        device = kind, 0 if kind == "cpu" else settings.device
        if bundle.has_generator:
            self._slots = SlotPool(self._session(STEP), device, sizes, captures=self._captures)

    @property
    def execution(self) -> Execution:
        """How the model is really run."""
        return self._execution

    @property
    def is_shared(self) -> bool:
        """On the CPU: a session may be run by several threads at once, and no buffers are kept."""
        return self._execution.provider == CPU and not self._sizes

    def stand_in(self, requested: str, reason: str) -> None:
        """Say from now on that it runs where something else was asked for, and why."""
        self._execution = replace(self._execution, requested=requested, fallback_reason=reason)

    def run(
        self, role: GraphRole, inputs: Mapping[str, FloatArray], outputs: Sequence[str] | None = None
    ) -> dict[str, FloatArray]:
        """Run a stateless graph on host arrays; of several with one role, the first that has the outputs wanted."""
        names = self._whole[role] if outputs is None else list(outputs)
        session = self._session(role, names)
        return dict(zip(names, session.run(names, dict(inputs)), strict=True))

    def start(self, state: InversionState) -> OrtInversionRun:
        """Put a batch of inversions on the provider's device. The bundle has a generator."""
        return self._slots.start(state, self._beta1)

    def warm_up(self) -> None:
        """Run every graph once on one row, and the gradient step in every size of batch that buffers are kept for."""
        for graph, session in self._graphs:
            inputs = sample_inputs(graph, self._side)
            if graph.role != STEP:
                session.run(None, inputs)
                continue
            for size in self._sizes or (1,):
                state = InversionState(**{name: np.repeat(values, size, 0) for name, values in inputs.items()})
                # Both directions, and twice: a CUDA graph is captured at a call after the first.
                self.start(state).advance(4 if self._captures else 1)

    def _opened(
        self, bundle: LoadedBundle, graph: bundle_pb2.Graph, chain: Sequence[str], settings: EngineSettings
    ) -> ort.InferenceSession:
        providers = providers_of(bundle, graph, chain, settings)
        if settings.cuda_graphs and chain[0] == CUDA and graph.role == STEP:
            try:
                session = open_session(bundle, graph, _capturing(providers), settings.threads)
            except BundleError as error:
                # A node that CUDA can't run is no reason to run none there.
                _log.warning("cuda_graphs_refused", model=bundle.name, reason=str(error))
            else:
                self._captures = session.get_providers()[0] == CUDA
                return session
        content = None
        if providers[0][0] == OPENVINO:
            content = openvino.with_weights_apart(bundle.folder / graph.file)
        return open_session(bundle, graph, providers, settings.threads, content)

    def _session(self, role: GraphRole, outputs: Sequence[str] = ()) -> ort.InferenceSession:
        return next(
            session
            for graph, session in self._graphs
            if graph.role == role and {tensor.name for tensor in graph.outputs}.issuperset(outputs)
        )


def providers_of(
    bundle: LoadedBundle, graph: bundle_pb2.Graph, chain: Sequence[str], settings: EngineSettings
) -> list[Provider]:
    """The providers of a graph with their options, the wanted one first.

    Args:
        bundle: that the graph is of.
        graph: one of its graphs.
        chain: providers that this ONNX Runtime has, the wanted one first.
        settings: of the engine.
    """
    found: list[Provider] = []
    for provider in chain:
        if provider == CUDA:
            found.append((provider, {"device_id": str(settings.device), **CUDA_OPTIONS}))
        elif provider == TENSORRT:
            if tensorrt.takes(graph):
                found.append((provider, tensorrt.options(bundle, graph, settings)))
        elif provider == OPENVINO:
            if openvino.takes(graph):
                found.append((provider, openvino.options(settings)))
        else:
            found.append((provider, {}))
    return found


def _capturing(providers: Sequence[Provider]) -> list[Provider]:
    return [
        (provider, {**options, "enable_cuda_graph": "1"} if provider == CUDA else options)
        for provider, options in providers
    ]
