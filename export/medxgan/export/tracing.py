"""From a Python function that differentiates to a graph of forward operators."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx

from medxgan.export.decompositions import Decompositions, refuse_backward_operators


def trace(function: Callable[..., Any], inputs: Sequence[Tensor], decompositions: Decompositions) -> GraphModule:
    """Trace a function and the gradients that it takes.

    Args:
        function: from tensors to a tuple of tensors; it may call `torch.func.grad` and modules with frozen weights,
            which become constants of the graph.
        inputs: a sample of its inputs. Extents of 2 and more become free; two axes of one extent become one symbol,
            so the batch must not have the extent of another axis.
        decompositions: what replaces an operator.

    Raises:
        UnsupportedOperatorError: an operator's gradient has no decomposition.
    """
    tracer = make_fx(
        torch.func.functionalize(function),
        decomposition_table=decompositions,
        tracing_mode="symbolic",
        _allow_non_fake_inputs=True,
    )
    graph = tracer(*inputs)
    # The gradients of frozen parameters are still there, though nothing reads them.
    graph.graph.eliminate_dead_code()
    graph.recompile()
    refuse_backward_operators(graph)
    graph.eval()
    return graph
