"""Pooling, and above all its gradients, by operators that every inference runtime has."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

aten = torch.ops.aten


def max_pool2d_with_indices_backward(
    grad_output: Tensor,
    x: Tensor,
    kernel_size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    _ceil_mode: bool,
    indices: Tensor,
) -> Tensor:
    """Input gradient of a max-pooling: each output's gradient is added where its maximum stood.

    Args:
        grad_output: [..., C, h, w] gradient with respect to the pooled picture.
        x: [..., C, H, W] the pooling's input.
        kernel_size: of the pooling, as are the following.
        stride: per axis; none given means `kernel_size`.
        padding: per axis.
        dilation: per axis.
        indices: [..., C, h, w] position in the flattened H x W of each maximum.
    """
    halving = [*kernel_size, *(stride or kernel_size), *padding, *dilation] == [2, 2, 2, 2, 0, 0, 1, 1]
    if halving and x.shape[-2] % 2 == 0 and x.shape[-1] % 2 == 0:
        return _halving_backward(grad_output, x)
    # The windows need not be known: the indices say where the maxima are.
    zeros = torch.zeros_like(x).flatten(-2)
    return zeros.scatter_add(-1, indices.flatten(-2), grad_output.flatten(-2)).view_as(x)


def _halving_backward(grad_output: Tensor, x: Tensor) -> Tensor:
    """The same for 2x2 windows side by side, without indices: runtimes are slow at scattering.

    Of equal maxima the first in row order takes the gradient, as in PyTorch.
    """
    quarters = [x[..., row::2, column::2] for row in (0, 1) for column in (0, 1)]
    highest = torch.maximum(torch.maximum(quarters[0], quarters[1]), torch.maximum(quarters[2], quarters[3]))
    left, parts = grad_output, []
    for quarter in quarters[:-1]:
        # A product, which runtimes do faster than a choice.
        part = left * (quarter >= highest).to(left.dtype)
        parts.append(part)
        left = left - part
    parts.append(left)
    rows = [torch.stack(pair, -1).flatten(-2) for pair in (parts[:2], parts[2:])]
    return torch.stack(rows, -2).flatten(-3, -2)


def avg_pool2d(
    x: Tensor,
    kernel_size: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0, 0),
    _ceil_mode: bool = False,
    _count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """Average-pooling of windows side by side: a convolution of each channel, which runtimes do faster.

    Args:
        x: [B, C, H, W].
        kernel_size: of the window, as are the following.
        stride: empty: the kernel size.
        padding: per axis.
        divisor_override: what is divided by instead of the number of pixels averaged.

    Returns:
        [B, C, h, w]; NotImplemented for other windows: the operator stays as it is.
    """
    kernel, step = _pair(kernel_size), _pair(stride or kernel_size)
    whole = x.shape[-2] % kernel[0] == 0 and x.shape[-1] % kernel[1] == 0
    if kernel != step or any(padding) or not whole or divisor_override is not None:
        untouched: Tensor = NotImplemented
        return untouched
    channels = x.shape[-3]
    window = torch.full((channels, 1, *kernel), 1 / (kernel[0] * kernel[1]), dtype=x.dtype, device=x.device)
    pooled: Tensor = aten.convolution(x, window, None, step, [0, 0], [1, 1], False, [0, 0], channels)
    return pooled


def avg_pool2d_backward(
    grad_output: Tensor,
    x: Tensor,
    kernel_size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    _ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Tensor:
    """Input gradient of an average-pooling: each output's gradient, over the pixels averaged, is spread over them.

    Args:
        grad_output: [B, C, h, w] gradient with respect to the pooled picture.
        x: [B, C, H, W] the pooling's input; its values are not looked at.
        kernel_size: of the window, as are the following.
        stride: empty: the kernel size.
        padding: per axis.
        count_include_pad: whether padding counts among the pixels averaged.
        divisor_override: what is divided by instead of the number of pixels averaged.
    """
    height, width = x.shape[-2:]
    kernel, step, pad = (_pair(each) for each in (kernel_size, stride or kernel_size, padding))
    if divisor_override:
        share = grad_output / divisor_override
    else:
        rows, columns = (
            _counted(size, extent, steps, edge, windows, count_include_pad)
            for size, extent, steps, edge, windows in zip(
                (height, width), kernel, step, pad, grad_output.shape[-2:], strict=True
            )
        )
        if len({*rows}) == len({*columns}) == 1:
            share = grad_output / (rows[0] * columns[0])
        else:
            share = grad_output / torch.tensor([[row * column for column in columns] for row in rows])
    pooled_height, pooled_width = grad_output.shape[-2:]
    whole = (pooled_height * kernel[0], pooled_width * kernel[1]) == (height, width)
    if kernel == step and pad == (0, 0) and whole:
        # Windows tile the picture: every pixel gets the share of its own window. To expand single values into windows
        # takes runtimes five times as long.
        spread: Tensor = aten.upsample_nearest2d(share, [height, width])
        return spread
    planes = share.reshape(-1, 1, pooled_height, pooled_width)
    window = torch.ones(1, 1, *kernel, dtype=share.dtype, device=share.device)
    spread = aten.convolution(planes, window, None, step, [0, 0], [1, 1], True, [0, 0], 1)
    behind = [
        size + edge - reached for size, edge, reached in zip((height, width), pad, spread.shape[-2:], strict=True)
    ]
    # Cuts off the padding; rows that no window reached are zeros.
    return nn.functional.pad(spread, [-pad[1], behind[1], -pad[0], behind[0]]).reshape(x.shape)


def _pair(values: Sequence[int]) -> tuple[int, int]:
    return values[0], values[-1]


def _counted(size: int, extent: int, step: int, pad: int, windows: int, count_include_pad: bool) -> list[int]:
    """Pixels along one axis that each window averages over."""
    starts = [index * step - pad for index in range(windows)]
    if count_include_pad:
        return [min(start + extent, size + pad) - start for start in starts]
    return [min(start + extent, size) - max(start, 0) for start in starts]


def adaptive_avg_pool2d(x: Tensor, output_size: Sequence[int]) -> Tensor:
    """Average-pooling to a given size: a product with a matrix of weights on either side.

    Args:
        x: [B, C, H, W].
        output_size: h and w.

    Returns:
        [B, C, h, w].
    """
    height, width = output_size
    return _weights(height, x.shape[-2], x) @ x @ _weights(width, x.shape[-1], x).T


def adaptive_avg_pool2d_backward(grad_output: Tensor, x: Tensor) -> Tensor:
    """Its input gradient: the same matrices the other way round.

    Args:
        grad_output: [B, C, h, w] gradient with respect to the pooled picture.
        x: [B, C, H, W] the pooling's input; its values are not looked at.
    """
    height, width = grad_output.shape[-2:]
    return _weights(height, x.shape[-2], x).T @ grad_output @ _weights(width, x.shape[-1], x)


def _weights(pooled: int, size: int, like: Tensor) -> Tensor:
    """[h, H] weight of each pixel in each average along one axis; windows overlap where h does not divide H."""
    rows = []
    for index in range(pooled):
        start, end = index * size // pooled, -(-(index + 1) * size // pooled)
        rows.append([1 / (end - start) if start <= position < end else 0.0 for position in range(size)])
    return torch.tensor(rows, dtype=like.dtype, device=like.device)
