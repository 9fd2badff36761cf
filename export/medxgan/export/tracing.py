"""From a Python function that differentiates to a graph of forward operators."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._dispatch.python import enable_python_dispatcher
from torch._ops import OpOverload
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensorMode,
    UnsupportedOperatorException,
)
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.experimental.symbolic_shapes import (
    DimDynamic,
    GuardOnDataDependentSymNode,
    ShapeEnv,
    StatelessSymbolicContext,
)
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

from medxgan.export.blame import responsible_layer
from medxgan.export.decompositions import Decompositions, backward_operator
from medxgan.export.errors import ExportError, TracingError, UnsupportedOperatorError

COPIES = (torch.ops.aten.alias.default, torch.ops.aten.clone.default, torch.ops.aten.detach.default)
"""Operators that give what they are given, where nothing works in place."""

POOLED_AXES: dict[Callable[..., Any], tuple[int, ...]] = {
    torch.adaptive_avg_pool1d: (-1,),
    torch._C._nn.adaptive_avg_pool2d: (-2, -1),
    F.adaptive_avg_pool2d: (-2, -1),
}
"""Average-pooling to a given size, by the axes that it averages over."""


def trace(
    function: Callable[..., Any],
    inputs: Sequence[Tensor],
    decompositions: Decompositions,
    network: nn.Module | None = None,
) -> GraphModule:
    """Trace a function and the gradients that it takes.

    Args:
        function: from tensors to a tuple of tensors; it may call `torch.func.grad`, `torch.autograd.grad` and modules
            with frozen weights, which become constants of the graph.
        inputs: a sample of its inputs. Their first axis, the batch, becomes free: it should have an extent that no
            other axis and no kernel has, so that nothing takes the one for the other.
        decompositions: what replaces an operator.
        network: the module to look in for the layer that an unsupported operator comes from.

    Raises:
        UnsupportedOperatorError: an operator's gradient has no decomposition.
        TracingError: what the function does depends on the values of its inputs, or it fixes the batch's extent.
    """
    try:
        graph = _traced(function, inputs, decompositions)
        if any(_works_in_place(node.target) for node in graph.graph.nodes):
            graph = _traced(torch.func.functionalize(graph), inputs, decompositions)
    except (
        DataDependentOutputException,
        DynamicOutputShapeException,
        GuardOnDataDependentSymNode,
        UnsupportedOperatorException,
    ) as error:
        raise TracingError(str(error).splitlines()[0]) from error
    except ExportError:
        raise
    except Exception as error:  # foreign code raises what it likes
        place = "".join(f"{note}: " for note in getattr(error, "__notes__", ()))
        reason = (str(error).strip().splitlines() or ["no reason given"])[0]
        raise TracingError(f"{place}{type(error).__name__}: {reason}") from error
    for node in graph.graph.nodes:
        # A copy with a memory format lays a tensor out for a view of it.
        if node.target in COPIES and "memory_format" not in node.kwargs:
            node.replace_all_uses_with(node.args[0])
    _part_outputs(graph)
    # The gradients of frozen parameters are still there, though nothing reads them.
    graph.graph.eliminate_dead_code()
    graph.recompile()
    if (operator := backward_operator(graph)) is not None:
        layer = None if network is None else responsible_layer(network, lambda: function(*inputs), operator)
        raise UnsupportedOperatorError(
            str(operator), "has no decomposition; add one to gradient_decompositions()", layer
        )
    graph.eval()
    return graph


def _traced(function: Callable[..., Any], inputs: Sequence[Tensor], decompositions: Decompositions) -> GraphModule:
    """The graph of a function; batches of one extent are one symbol, all other extents are numbers."""
    fake = FakeTensorMode(shape_env=ShapeEnv(), allow_non_fake_inputs=True)
    samples = [
        fake.from_tensor(
            each,
            symbolic_context=StatelessSymbolicContext([DimDynamic.DUCK, *[DimDynamic.STATIC] * (each.ndim - 1)]),
        )
        for each in inputs
    ]
    # PyTorch's own decompositions in C++ would take the batch's extent for a number; those in Python keep it free.
    # Attention is said as the products and the softmax that it is made of, whose gradients every runtime has.
    with fake, enable_python_dispatcher(), sdpa_kernel(SDPBackend.MATH), _no_fused_layers(), _PlainMeans():
        graph: GraphModule = make_fx(function, decomposition_table=decompositions, _allow_non_fake_inputs=True)(
            *samples
        )
    batches = [each.shape[0] for each in samples if each.ndim]
    if any(isinstance(batch, torch.SymInt) and batch.node.expr.is_number for batch in batches):
        raise TracingError("it takes the number of pictures in a batch for a fixed one (len(x), or a reshape to it?)")
    return graph


@contextmanager
def _no_fused_layers() -> Iterator[None]:
    """While it is open, a transformer's layers are run step by step where no gradient is taken, too."""
    enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(enabled)


class _PlainMeans(TorchFunctionMode):
    """While it is on, average-pooling to one place is a mean.

    PyTorch's own gives what it makes of channels that lie last in memory (ConvNeXt) other strides, and the gradient of
    strides has no form in ONNX.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        axes = POOLED_AXES.get(func)
        if axes is not None:
            x, size = _pooling_arguments(*args, **kwargs)
            if {*(size if isinstance(size, list | tuple) else [size])} == {1}:
                return x.mean(axes, keepdim=True)
        return func(*args, **kwargs)


def _pooling_arguments(input: Tensor, output_size: Any) -> tuple[Tensor, Any]:  # noqa: A002 - PyTorch's name
    return input, output_size


def _part_outputs(graph: GraphModule) -> None:
    """Make two outputs of one node two nodes: a file format names an output once."""
    (output,) = graph.graph.find_nodes(op="output")
    nodes = list(output.args[0]) if isinstance(output.args[0], list | tuple) else [output.args[0]]
    for index, node in enumerate(nodes):
        if node in nodes[:index]:
            with graph.graph.inserting_before(output):
                nodes[index] = graph.graph.call_function(torch.ops.aten.clone.default, (node,))
                nodes[index].meta.update(node.meta)
            output.args = (tuple(nodes),)


def _works_in_place(target: Any) -> bool:
    return isinstance(target, OpOverload) and target._schema.is_mutable
