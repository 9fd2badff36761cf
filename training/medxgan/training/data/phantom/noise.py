"""Random fields that vary smoothly across a picture."""

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]
"""One value a pixel, float32 [N, S, S], or one a slice, float32 [N, 1, 1]."""


def smooth_noise(rng: np.random.Generator, count: int, size: int, waves: float) -> Field:
    """Random fields [N, S, S] of mean 0 and deviation 1 with features of about S / `waves` pixels; they wrap around."""
    across, down = np.fft.rfftfreq(size) * size, np.fft.fftfreq(size)[:, None] * size
    passed = np.exp(-(across**2 + down**2) / (2.0 * waves**2)).astype(np.float32)
    passed[0, 0] = 0.0
    white = np.fft.rfft2(rng.standard_normal((count, size, size), dtype=np.float32))
    noise = np.fft.irfft2(white * passed, s=(size, size))
    smooth: Field = (noise / noise.std(axis=(1, 2), keepdims=True)).astype(np.float32)
    return smooth
