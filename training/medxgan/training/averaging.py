"""The end of a training: a falling learning rate, and the moving average of the weights, which is what is kept."""

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


def remaining(progress: float, decay: float) -> float:
    """Share of the learning rate that is left: 1, then down to almost 0 in a straight line over the last `decay`."""
    return min(1.0, (1 - progress) / decay + 1e-3) if decay > 0 else 1.0


@torch.no_grad()
def update_average(average: nn.Module, live: nn.Module, decay: float) -> None:
    """Move the averaged parameters towards the live ones, and the batch statistics with them."""
    blend = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
    blend(list(average.parameters()), list(live.parameters()), 0)
    for ours, theirs in zip(average.buffers(), live.buffers(), strict=True):
        if theirs.is_floating_point():
            ours.lerp_(theirs, 1 - decay)
        else:
            ours.copy_(theirs)
