"""How well scores tell the two classes apart."""

from torch import Tensor
from torchmetrics.functional.classification import binary_auroc


def area_under_curve(score: Tensor, label: Tensor) -> float | None:
    """Area under the ROC curve of scores [N] and labels [N], 0 or 1; None where a class is missing, which has none."""
    positives = int(label.sum())
    return binary_auroc(score, label.long()).item() if 0 < positives < len(label) else None
