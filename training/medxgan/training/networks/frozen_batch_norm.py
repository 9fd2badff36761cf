"""Batch norm in evaluation mode: a product and a sum."""

import torch
from torch import Tensor, nn


class FrozenBatchNorm(nn.Module):
    """What a batch norm with running statistics does to [B, C, ...], with a gradient of a single product.

    Args:
        weight: [C].
        bias: [C].
        mean: [C] running mean.
        variance: [C] running variance.
        epsilon: is added to the variance.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, weight: Tensor, bias: Tensor, mean: Tensor, variance: Tensor, epsilon: float) -> None:
        super().__init__()
        # In double precision, so that the two numbers are no further off than float32 has to be.
        scale = weight.double() / torch.sqrt(variance.double() + epsilon)
        self.register_buffer("scale", scale.to(weight.dtype))
        self.register_buffer("shift", (bias.double() - mean.double() * scale).to(weight.dtype))

    @classmethod
    def of(cls, norm: nn.BatchNorm2d) -> "FrozenBatchNorm":
        """The same as a batch norm that has running statistics."""
        mean, variance = norm.running_mean, norm.running_var
        if mean is None or variance is None:
            raise ValueError("expected a batch norm with running statistics")
        weight = torch.ones_like(mean) if norm.weight is None else norm.weight.detach()
        bias = torch.zeros_like(mean) if norm.bias is None else norm.bias.detach()
        return cls(weight, bias, mean, variance, norm.eps)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, ...] to the same."""
        axes = [-1] + [1] * (x.ndim - 2)
        return x * self.scale.view(axes) + self.shift.view(axes)
