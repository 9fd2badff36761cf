"""A network's layers by name: which ones it runs, what they give, and which one attribution looks at."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from medxgan.training.networks.grids import Grid, Layout, Seen, grids_of, stated_grid
from medxgan.training.networks.token_order import row_by_row

LISTED = 12
"""Layers that a message names, of those that there are."""


class Rearrangement(nn.Module):
    """Marks a module that gives the numbers it is given, in another shape or order."""


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
    nn.Softmax,
    Rearrangement,
)
"""Layers that only hand on, thin out or weigh the activations of the one before them."""


class LayerError(ValueError):
    """No layer has the name, or what it gives is no picture; the message lists those that there are."""


@dataclass(frozen=True)
class Layer:
    """The last call of a module that gave a tensor of three or four axes, the first of them the batch.

    Attributes:
        name: path of the module in the network: "layer4.1.act".
        shape: of its output.
        grid: how its output lies over the picture; None where that can't be told.
        makes_activations: whether it computes something of its own, at more than one place.
        counts: whether the network's outputs depend on what it gives at those places; None where they do not depend
            on it at all.
    """

    name: str
    shape: tuple[int, ...]
    grid: Grid | None
    makes_activations: bool
    counts: bool | None

    @property
    def places(self) -> int:
        """Places of its grid; without one there are none."""
        return 0 if self.grid is None else self.grid.height * self.grid.width


def executed_layers(
    network: nn.Module, run: Callable[[Tensor], Tensor], picture: Tensor, layout: Layout | None = None
) -> list[Layer]:
    """The layers of a network in the order in which they finish, a module that is called again where it is last.

    Args:
        network: whose modules are watched.
        run: calls the network and gives its outputs [B, K].
        picture: [B, 1, S, S] that it is called with.
        layout: of every layer with as many axes as it; by default it is found out.

    Raises:
        LayerError: no gradient passes through the network.
    """
    calls: dict[str, tuple[nn.Module, Tensor, bool]] = {}
    seen: list[Tensor] = []

    def watch(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, _inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor) and output.ndim in {3, 4}:
                # What a module hands on from one inside it is known by the one inside.
                new = all(output is not each for each in seen)
                seen.append(output)
                calls.pop(name, None)
                calls[name] = (module, output, new)

        return hook

    hooks = [module.register_forward_hook(watch(name)) for name, module in network.named_modules() if name]
    try:
        with torch.enable_grad():
            picture = picture.detach().requires_grad_()
            outputs = run(picture)
    finally:
        for each in hooks:
            each.remove()
    if not outputs.requires_grad:
        raise LayerError("layer: no gradient passes through the network (does it run under no_grad or round?)")
    batch = len(outputs)
    if outputs.ndim != 2:
        raise ValueError(f"expected outputs [B, K], found {list(outputs.shape)}")
    calls = {name: call for name, call in calls.items() if len(call[1]) == batch}
    if not calls:
        return []
    grids = grids_of(
        [Seen(module, tuple(output.shape)) for module, output, _ in calls.values()],
        leading=getattr(network, "num_prefix_tokens", None),
        layout=layout,
    )
    if layout is None:
        grids = row_by_row(
            [(output, grid) for (_, output, _), grid in zip(calls.values(), grids, strict=True)], picture
        )
    # Weights that differ: outputs that add up to a constant would have no gradient.
    score = (outputs * torch.linspace(1, 2, outputs[0].numel()).view_as(outputs[0])).sum()
    gradients = torch.autograd.grad(
        score, [output if output.requires_grad else outputs for _, output, _ in calls.values()], allow_unused=True
    )
    layers = []
    for (name, (module, output, new)), grid, gradient in zip(calls.items(), grids, gradients, strict=True):
        counts = None
        if gradient is not None and output.requires_grad:
            counts = bool((gradient if grid is None else grid.map_of(gradient)).any())
        several = grid is not None and max(grid.height, grid.width) > 1
        active = new and several and not isinstance(module, NO_ACTIVATIONS)
        layers.append(Layer(name, tuple(output.shape), grid, active, counts))
    return layers


def activation_layer(layers: Sequence[Layer], name: str | None, layout: Layout | None = None) -> Layer:
    """The layer whose activations are looked at.

    Args:
        layers: those that the network runs, in order.
        name: of a layer, or None for the last that makes activations which the outputs depend on. Of tokens, and of
            channels that come last, it is the last that is as wide as the last of all: inside a block others are
            narrower or wider.
        layout: of the layer's output; None where it has been found out.

    Raises:
        LayerError: there is no such layer, it can't be told how its output lies over the picture, or no output of the
            network depends on it.
    """
    active = [layer for layer in layers if layer.makes_activations]
    # Where nothing counts, the network is dead for the pictures that it was tried with, and not for all.
    counting = [layer for layer in active if layer.counts] or active
    widths = {layer.grid.layout: layer.grid.channels(layer.shape) for layer in active if layer.grid is not None}
    chosen = [
        layer
        for layer in counting
        if layer.grid is not None
        and (layer.grid.layout == "channels_first" or layer.grid.channels(layer.shape) == widths[layer.grid.layout])
    ]
    if name is None:
        if chosen:
            return chosen[-1]
        raise LayerError(
            "layer: the network has none whose activations are known to be [B, C, H, W], [B, H, W, C] or a square grid "
            "of tokens, of more than one pixel; name a layer and its layout"
        )
    names = list(dict.fromkeys(layer.name for layer in reversed(chosen)))
    listed = ", ".join(names[:LISTED]) + (", …" if len(names) > LISTED else "")
    advice = f"the last that do are {listed}" if names else "none is known to"
    layer = next((each for each in layers if each.name == name), None)
    if layer is None:
        raise LayerError(f'layer: no layer "{name}" gives activations [B, C, H, W], [B, H, W, C] or tokens; {advice}')
    if layer.grid is None:
        reason = stated_grid(layer.shape, layout)
        raise LayerError(f'layer: what "{name}" gives, [B, {", ".join(map(str, layer.shape[1:]))}], {reason}; {advice}')
    if layer.counts is None:
        raise LayerError(f'layer: no output of the network depends on what "{name}" gives; {advice}')
    if layer.grid.leading and not layer.counts and any(each.counts for each in layers):
        raise LayerError(
            f'layer: the outputs depend on what "{name}" gives for the class token alone, and not for any place of the '
            f"picture; {advice}"
        )
    return layer


def stage_before(layers: Sequence[Layer], layer: Layer) -> Layer | None:
    """The last layer, before the given one, that makes activations of a higher resolution."""
    before = reversed(layers[: layers.index(layer)])
    return next((each for each in before if each.makes_activations and each.places > layer.places), None)


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
