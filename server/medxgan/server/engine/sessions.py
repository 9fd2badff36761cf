"""Sessions of ONNX Runtime: how a graph is opened, and what all sessions of a process share."""

from collections.abc import Sequence

import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from medxgan.bundle import BundleError, LoadedBundle
from medxgan.v1 import bundle_pb2

_process_shares = False


def share_between_sessions(threads: int) -> None:
    """Give this process one pool of threads and one of memory, which all sessions opened from now on share.

    For a process that does nothing but serve, and once only: ONNX Runtime refuses a second pool, and from then on every
    session of the process that wants threads of its own, whoever opens it.

    Args:
        threads: threads within an operator on the CPU, the calling one counted; 0: as many as there are cores.
    """
    global _process_shares
    ort.set_global_thread_pool_sizes(threads, 1)
    memory = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
    ort.create_and_register_allocator(memory, None)
    _process_shares = True


Provider = tuple[str, dict[str, str]]
"""An execution provider and its options."""


def open_session(
    bundle: LoadedBundle,
    graph: bundle_pb2.Graph,
    providers: Sequence[Provider],
    threads: int,
    content: bytes | None = None,
) -> ort.InferenceSession:
    """Open a graph of a bundle.

    Args:
        bundle: a bundle that passed `load_bundle`.
        graph: one of its ONNX graphs.
        providers: the wanted one first.
        threads: threads within an operator on the CPU, where the process has no pool for all; 0: as many as cores.
        content: of the graph, where a provider needs it otherwise than it lies in the bundle.

    Raises:
        BundleError: ONNX Runtime can't load the graph, or its tensors are not those that the bundle states.
    """
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    if _process_shares:
        options.use_per_session_threads = False
    else:
        options.intra_op_num_threads = threads
        if graph.role != bundle_pb2.GRAPH_ROLE_INVERSION_STEP:
            # The threads of a graph that runs once must not spin beside the gradient steps.
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if graph.role == bundle_pb2.GRAPH_ROLE_OPEN:
        # A pool keeps what it once had: a film of 50 megapixels would be held for ever.
        options.enable_cpu_mem_arena = False
    elif _process_shares:
        options.add_session_config_entry("session.use_env_allocators", "1")
    where = f"{bundle.name}: {graph.file}"
    try:
        session = ort.InferenceSession(content or bundle.folder / graph.file, options, list(providers))
    except _LOAD_ERRORS as error:
        # Where the file lies on this machine is no caller's business.
        said = str(error).replace(f"{bundle.folder}/", "")
        raise BundleError(f"{where}: ONNX Runtime {ort.__version__} can't load it: {said}") from error
    # Else a provider that fails during a request would be swapped for another behind our back.
    session.disable_fallback()
    _check_tensors(f"{where}: inputs", session.get_inputs(), graph.inputs)
    _check_tensors(f"{where}: outputs", session.get_outputs(), graph.outputs)
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
