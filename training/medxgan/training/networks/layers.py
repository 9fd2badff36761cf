"""A network's layers by name: which ones it runs, what they give, and which one attribution looks at."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

NO_ACTIVATIONS: tuple[type[nn.Module], ...] = (
    nn.AdaptiveAvgPool2d,
    nn.AdaptiveMaxPool2d,
    nn.AvgPool2d,
    nn.MaxPool2d,
    nn.Dropout,
    nn.Dropout2d,
    nn.Flatten,
    nn.Identity,
    nn.ConstantPad2d,
    nn.ReflectionPad2d,
    nn.ReplicationPad2d,
)
"""Layers that only hand on, or thin out, the activations of the one before them."""


class LayerError(ValueError):
    """No layer has the name; the message lists those that there are."""


@dataclass(frozen=True)
class Layer:
    """A call of a module that gave one tensor [B, C, H, W].

    Attributes:
        name: path of the module in the network: "layer4.1.act".
        height: H of its output.
        width: W of its output.
        makes_activations: whether it is a leaf module that computes something of its own, with H or W above 1.
    """

    name: str
    height: int
    width: int
    makes_activations: bool


@torch.no_grad()
def executed_layers(network: nn.Module, run: Callable[[], object]) -> list[Layer]:
    """The layers of a network in the order in which they finish.

    Args:
        network: whose modules are watched.
        run: calls the network.
    """
    layers: list[Layer] = []

    def watch(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, _inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor) and output.ndim == 4:
                height, width = output.shape[2:]
                leaf = next(module.children(), None) is None
                active = leaf and max(height, width) > 1 and not isinstance(module, NO_ACTIVATIONS)
                layers.append(Layer(name, height, width, active))

        return hook

    hooks = [module.register_forward_hook(watch(name)) for name, module in network.named_modules() if name]
    try:
        run()
    finally:
        for each in hooks:
            each.remove()
    return layers


def activation_layer(layers: Sequence[Layer], name: str | None) -> str:
    """The layer whose activations are looked at.

    Args:
        layers: those that the network runs, in order.
        name: of a layer, or None for the last that makes activations.

    Raises:
        LayerError: there is no such layer.
    """
    if name is None:
        if active := [layer.name for layer in layers if layer.makes_activations]:
            return active[-1]
        raise LayerError("layer: the network has none that gives activations [B, C, H, W] of more than one pixel")
    if name not in {layer.name for layer in layers}:
        candidates = list(dict.fromkeys(layer.name for layer in reversed(layers) if layer.makes_activations))
        listed = ", ".join(candidates[:12]) + (", …" if len(candidates) > 12 else "")
        raise LayerError(f'layer: no layer "{name}" gives activations [B, C, H, W]; the last that do are {listed}')
    return name


def stage_before(layers: Sequence[Layer], name: str) -> str | None:
    """The last layer, before the one named, that makes activations of a higher resolution."""
    # A module that is called more than once is known by its last call: that is the one that is captured.
    last_calls: dict[str, Layer] = {}
    for layer in reversed(layers):
        last_calls.setdefault(layer.name, layer)
    before = list(last_calls.values())[list(last_calls).index(name) + 1 :]
    pixels = last_calls[name].height * last_calls[name].width
    return next((each.name for each in before if each.makes_activations and each.height * each.width > pixels), None)


@contextmanager
def captured(network: nn.Module, names: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """While it is open, what the named layers gave when they were last called.

    The network goes on with a copy, so that a later operation in place leaves what was captured as it is.
    """
    outputs: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[[nn.Module, Any, Tensor], Tensor]:
        def hook(_module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
            outputs[name] = output
            return output.clone()

        return hook

    hooks = [network.get_submodule(name).register_forward_hook(keep(name)) for name in names]
    try:
        yield outputs
    finally:
        for each in hooks:
            each.remove()


def out_of_place(network: nn.Module) -> None:
    """Make every module that works in place give a new tensor instead; the values are the same."""
    for module in network.modules():
        if getattr(module, "inplace", False) is True:
            module.inplace = False  # type: ignore[assignment]
