"""A picture of one size as one of another, by matrix products: any runtime has them, and their gradients."""

import torch
from torch import Tensor


def resampling(size: int, other: int) -> Tensor:
    """Weights [other, size] that make a line of `other` pixels of one of `size`, linearly; anti-aliased downwards."""
    scale = size / other
    centres = (torch.arange(other) + 0.5) * scale
    distance = (torch.arange(size)[None, :] + 0.5 - centres[:, None]).abs() / max(scale, 1.0)
    weights = (1 - distance).clamp_min(0)
    return weights / weights.sum(1, keepdim=True)
