"""How sharp and how contrasted pictures are: made ones are to be as real ones of the same kind."""

import torch
import torch.nn.functional as F
from torch import Tensor

MARGIN = 4
"""Pixels at the border that are left out: what lies there is collimation and marks."""

BANDS = 4
"""Octaves of the spectrum, from half a cycle every pixel downwards."""


def laplacian_energy(x: Tensor) -> Tensor:
    """Mean square [N] of the discrete Laplacian of x: [N, 1, S, S], away from the border."""
    kernel = torch.tensor([[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]])[None, None]
    inner = x[:, :, MARGIN:-MARGIN, MARGIN:-MARGIN]
    return F.conv2d(inner, kernel).square().mean((1, 2, 3))


def contrast(x: Tensor) -> Tensor:
    """Standard deviation [N] of the grey levels."""
    return x.flatten(1).std(1)


def band_energies(x: Tensor) -> Tensor:
    """Energy [N, BANDS] of the spectrum in octaves, the finest first: of a windowed picture, per pixel.

    Args:
        x: [N, 1, S, S].
    """
    side = x.shape[-1]
    window = torch.hann_window(side)
    centred = x[:, 0] - x[:, 0].mean((1, 2), keepdim=True)
    spectrum = torch.fft.fft2(centred * window[:, None] * window).abs().square() / side**2
    frequency = torch.fft.fftfreq(side)
    radius = torch.hypot(frequency[:, None], frequency[None, :])
    octave = (-torch.log2(radius.clamp_min(1e-6) / 0.5)).floor().clamp(0, BANDS).long()
    return torch.stack([spectrum[:, octave == band].sum(1) / side**2 for band in range(BANDS)], 1)
