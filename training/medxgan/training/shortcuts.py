"""What can be told of the label without seeing the disease: logistic regressions of borders and of grey levels.

Where one of these scores well, a classifier may score well for the same reason: its AUC is to be read beside theirs.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from medxgan.training.discrimination import area_under_curve

BORDER = 1 / 16
"""Width of the border as a share of the image's side: 16 pixels of 256."""

BINS = 32
"""Bins of the histogram over [-1, 1]."""

RIDGE = 1e-2
"""Weight of the penalty on the squared coefficients of standardised features."""


def border(x: Tensor) -> Tensor:
    """What lies at the border [N, F] of x: [N, 1, S, S], at 32x32 pixels of which two are border."""
    small = F.interpolate(x, (32, 32), mode="area")
    width = round(32 * BORDER)
    kept = torch.ones(32, 32, dtype=torch.bool)
    kept[width:-width, width:-width] = False
    return small[:, 0, kept]


def histogram(x: Tensor) -> Tensor:
    """Share of the pixels in each of `BINS` bins, [N, BINS] of x: [N, 1, S, S] in [-1, 1]."""
    level = ((x.flatten(1) + 1) / 2 * BINS).long().clamp(0, BINS - 1)
    return F.one_hot(level, BINS).float().mean(1)


def miniature(x: Tensor) -> Tensor:
    """The whole picture at 32x32 pixels, [N, 1024]."""
    return F.interpolate(x, (32, 32), mode="area").flatten(1)


def regression_score(train: Tensor, label: Tensor, weights: Tensor, other: Tensor) -> Tensor:
    """Logit [M] for other: [M, F] of a logistic regression with a ridge, fitted to train [N, F] and label [N].

    Args:
        train: features of the rows that are fitted to.
        label: 0 or 1.
        weights: [N] of the rows, which add up to 1.
        other: features of the rows to score.
    """
    mean, deviation = train.mean(0), train.std(0).clamp_min(1e-6)
    fitted, scored = ((part - mean) / deviation for part in (train, other))
    slope = torch.zeros(train.shape[1], requires_grad=True)
    offset = torch.zeros((), requires_grad=True)
    optimizer = torch.optim.LBFGS([slope, offset], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        each = F.binary_cross_entropy_with_logits(fitted @ slope + offset, label, reduction="none")
        total = (each * weights).sum() + RIDGE * slope.square().sum()
        total.backward()  # type: ignore[no-untyped-call]
        return total

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    return (scored @ slope + offset).detach()


def auc_by_stratum(score: Tensor, label: Tensor, strata: tuple[str, ...]) -> dict[str, float | None]:
    """Area under the ROC curve within each stratum, and over all rows under "all"; None where a class is missing."""
    figures = {"all": area_under_curve(score, label)}
    for name in sorted(set(strata)):
        rows = torch.tensor([each == name for each in strata])
        figures[name] = area_under_curve(score[rows], label[rows])
    return figures
