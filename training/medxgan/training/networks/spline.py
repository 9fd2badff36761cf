"""Fixed matrices that a picture is made smooth with, so that no network can draw chequers.

Products of matrices, because any runtime has these and their gradient.
"""

import torch
from torch import Tensor


def spline_matrix(coefficients: int, pixels: int) -> Tensor:
    """Weights [pixels, coefficients] of a uniform cubic B-spline, evaluated at the centres of the pixels.

    The rows are not negative and add up to 1, so that what is drawn keeps within the range of the coefficients; its
    first two derivatives are continuous. Beyond the ends the last coefficients go on.

    Args:
        coefficients: K, spread evenly over the line.
        pixels: number of places along the same line.
    """
    place = (torch.arange(pixels, dtype=torch.float64) + 0.5) * coefficients / pixels - 0.5
    first = place.floor().long() - 1
    matrix = torch.zeros(pixels, coefficients, dtype=torch.float64)
    for offset in range(4):
        index = first + offset
        distance = (place - index).abs()
        near = 2 / 3 - distance**2 + distance**3 / 2
        far = (2 - distance).clamp_min(0) ** 3 / 6
        weight = torch.where(distance < 1, near, far)
        matrix.scatter_add_(1, index.clamp(0, coefficients - 1)[:, None], weight[:, None])
    return matrix.float()


def binomial_matrix(pixels: int) -> Tensor:
    """Weights [pixels, pixels] of (1/4, 1/2, 1/4): no light-dark-light from pixel to pixel passes."""
    place = torch.arange(pixels)
    matrix = torch.zeros(pixels, pixels)
    for offset, weight in ((-1, 0.25), (0, 0.5), (1, 0.25)):
        index = (place + offset).clamp(0, pixels - 1)
        matrix[place, index] += weight
    return matrix


def enlarge(surface: Tensor, matrix: Tensor) -> Tensor:
    """[..., pixels, pixels] from [..., K, K] by a matrix [pixels, K] along both axes."""
    return matrix @ surface @ matrix.T
