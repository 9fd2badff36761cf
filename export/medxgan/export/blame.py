"""Which layer an operator of a gradient comes from."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode


def responsible_layer(network: nn.Module, run: Callable[[], object], operator: OpOverload) -> str | None:
    """Name of the layer whose gradient calls an operator, or None where it can't be told.

    PyTorch numbers what it records for a gradient as it goes forward. So the layers are watched for the numbers that
    are given while they run, and the operator for the number that it is called for.

    Args:
        network: whose layers are watched.
        run: calls the network and takes gradients, with tensors that hold numbers.
        operator: the one to look for.
    """
    spans: list[tuple[int, int, str]] = []
    starts: list[int] = []

    def enter(_module: nn.Module, _inputs: Any) -> None:
        starts.append(_next_number())

    def leave(name: str) -> Callable[[nn.Module, Any, Any], None]:
        return lambda _module, _inputs, _output: spans.append((starts.pop(), _next_number(), name))

    hooks = []
    for name, module in network.named_modules():
        hooks += [module.register_forward_pre_hook(enter), module.register_forward_hook(leave(name))]
    watch = _Watch(operator)
    try:
        with watch:
            run()
    finally:
        for hook in hooks:
            hook.remove()
    if watch.number is None:
        return None
    # Layers are entered before those inside them and left after them: the shortest span is the innermost.
    around = [(end - start, name) for start, end, name in spans if start <= watch.number < end and name]
    return min(around)[1] if around else None


def _next_number() -> int:
    number: int = torch._C._autograd._get_sequence_nr()
    return number


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes what the gradient's first call of an operator was recorded as."""

    def __init__(self, operator: OpOverload) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operator = operator
        self.number: int | None = None

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        node = torch._C._current_autograd_node()
        if func is self.operator and self.number is None and node is not None:
            self.number = node._sequence_nr()
        result: Tensor = func(*args, **(kwargs or {}))
        return result
