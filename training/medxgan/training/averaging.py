"""The moving average of a network's weights, which is what is kept of a training."""

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


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
