"""The pointing game: does the map's maximum lie on the lesion."""

import numpy as np
from numpy.typing import NDArray


def pointing_game(order: NDArray[np.intp], mask: NDArray[np.bool_]) -> float:
    """1 where the most salient pixel lies inside the mask, else 0; no margin is added around it.

    Source: Zhang et al., Top-down Neural Attention by Excitation Backprop, ECCV 2016, section 4.1.

    Args:
        order: [S * S] flat indices, most salient first.
        mask: [S, S].
    """
    return float(mask.ravel()[order[0]])
