"""Whether tokens lie row by row, as all that looks at them expects: networks may sort them otherwise (Hiera, windows).

Before a network mixes its tokens, each depends on its own part of the picture alone, which the gradient shows.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from medxgan.training.networks.grids import Grid

WHOLE = 0.9
"""Share of the picture from which on a token counts as depending on all of it."""

NEAR = 0.25
"""How far, in sides of the picture, the middle of a token's part may be from its place: convolutions reach further."""


def row_by_row(layers: Sequence[tuple[Tensor, Grid | None]], picture: Tensor) -> list[Grid | None]:
    """The grids of layers, and None instead of those of tokens that are sorted otherwise.

    Args:
        layers: what each gave, in order, and its grid; no more is looked at than comes before tokens are mixed.
        picture: [B, 1, S, S] that they depend on, requiring a gradient.
    """
    grids = [grid for _, grid in layers]
    for place, (output, grid) in enumerate(layers):
        if grid is None or grid.layout != "tokens" or not output.requires_grad:
            continue
        sorted_so = _in_order(output, grid, picture)
        if sorted_so is None:
            break
        if not sorted_so:
            return [
                None if each is not None and each.layout == "tokens" and later >= place else each
                for later, each in enumerate(grids)
            ]
    return grids


def _in_order(tokens: Tensor, grid: Grid, picture: Tensor) -> bool | None:
    """Whether three tokens depend on the picture around their places; None where they depend on all of it."""
    height, width, side = grid.height, grid.width, picture.shape[-1]
    places = torch.arange(side) + 0.5
    for row, column in ((0, width - 1), (height - 1, 0), (height // 4, 3 * width // 4)):
        token = tokens[:, grid.leading + row * width + column]
        # Weights that differ: what has been normed adds up to a constant.
        score = (token * torch.linspace(1, 2, token.shape[1])).sum()
        (gradient,) = torch.autograd.grad(score, picture, retain_graph=True, allow_unused=True)
        if gradient is None or not bool(gradient.any()):
            return None
        weight = gradient.abs().sum((0, 1))
        if float((weight > 0).double().mean()) > WHOLE:
            return None
        middle = [float((weight.sum(axis) * places).sum() / weight.sum()) / side for axis in (1, 0)]
        expected = [(row + 0.5) / height, (column + 0.5) / width]
        if any(abs(found - wanted) > NEAR for found, wanted in zip(middle, expected, strict=True)):
            return False
    return True
