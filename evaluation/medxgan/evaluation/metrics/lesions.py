"""How many of an image's separate lesions a map finds."""

from itertools import product

import numpy as np
from numpy.typing import NDArray

HIT_SHARE = 0.25
"""A lesion is hit where the region covers at least this share of it."""

_NEIGHBOURS = [offset for offset in product((-1, 0, 1), repeat=2) if offset != (0, 0)]


def connected_components(mask: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
    """The separate parts of a mask [S, S], each [S, S]; pixels that touch by a corner belong together.

    A flood fill: the images are small, and SciPy is not otherwise needed.
    """
    left = {(int(row), int(column)) for row, column in np.argwhere(mask)}
    components = []
    while left:
        component = np.zeros_like(mask)
        reached = [left.pop()]
        while reached:
            row, column = reached.pop()
            component[row, column] = True
            near = {(row + down, column + right) for down, right in _NEIGHBOURS} & left
            left -= near
            reached.extend(near)
        components.append(component)
    return components


def lesion_recall(region: NDArray[np.bool_], lesions: list[NDArray[np.bool_]]) -> float:
    """Share of the lesions of which the region covers at least a quarter.

    A map that sees only the largest lesion can have a good average precision; here it counts as one of several.

    Args:
        region: [S, S] the most salient pixels, as many as all the lesions together have.
        lesions: [S, S] each, from `connected_components`; at least one.
    """
    return float(np.mean([(region & lesion).sum() >= HIT_SHARE * lesion.sum() for lesion in lesions]))
