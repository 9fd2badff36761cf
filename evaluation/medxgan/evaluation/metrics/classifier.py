"""How well the classifier that is explained tells positive from negative images."""

import numpy as np
from numpy.typing import NDArray


def weighted_auc(
    scores: NDArray[np.float64], labels: NDArray[np.bool_], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Area under the ROC curve for many weightings of the same images at once; equal scores count half.

    Source: the Mann-Whitney statistic (Hanley and McNeil 1982). With all weights 1 it is the plain area; the weights of
    a bootstrap draw say how often each image was drawn.

    Args:
        scores: [N].
        labels: [N], True where the image is positive.
        weights: [D, N], not negative.

    Returns:
        [D] areas, 0 to 1; NaN where a class has no weight.
    """
    negative = np.sort(scores[~labels])
    order = np.argsort(scores[~labels], kind="stable")
    cumulated = np.concatenate([np.zeros((len(weights), 1)), np.cumsum(weights[:, ~labels][:, order], axis=1)], axis=1)
    positive = scores[labels]
    below = cumulated[:, np.searchsorted(negative, positive, side="left")]
    not_above = cumulated[:, np.searchsorted(negative, positive, side="right")]
    won = (weights[:, labels] * (below + not_above) / 2).sum(1)
    pairs = weights[:, labels].sum(1) * cumulated[:, -1]
    areas: NDArray[np.float64] = np.divide(won, pairs, out=np.full(len(weights), np.nan), where=pairs > 0)
    return areas
