"""Which rows a training draws, so that what is not disease says nothing of the label."""

import torch
from torch import Tensor


def balancing_weights(label: Tensor, strata: tuple[str, ...] | None) -> Tensor:
    """Weight [N] of each row, the same sum for each pair of label and stratum that there is.

    Args:
        label: [N], 0 or 1.
        strata: N names, or None where only the label is to be balanced.
    """
    cells = [(float(row), name) for row, name in zip(label, strata or ("",) * len(label), strict=True)]
    counts = {cell: cells.count(cell) for cell in set(cells)}
    return torch.tensor([1 / (counts[cell] * len(counts)) for cell in cells])


def draw_epoch(weights: Tensor | None, rows: int) -> Tensor:
    """Numbers [rows] of the rows of one epoch: without weights each once, in any order; else drawn by weight."""
    return torch.randperm(rows) if weights is None else torch.multinomial(weights, rows, replacement=True)


def draw_batch(weights: Tensor | None, rows: int, count: int) -> Tensor:
    """Numbers [count] of rows drawn one by one, by weight where there are weights."""
    if weights is None:
        return torch.randint(0, rows, (count,))
    return torch.multinomial(weights, count, replacement=True)
