"""What the classifier says of images, and how well it tells the classes apart."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torchmetrics.functional.classification import binary_auroc

from medxgan.training.data.samples import LabelledImages
from medxgan.training.dataset import preprocess_images
from medxgan.training.evaluation.cohort import Cohort
from medxgan.training.networks import ExplainedClassifier
from medxgan.training.networks.classifier import probability
from medxgan.training.preprocessing import Preprocess
from medxgan.v1.bundle_pb2 import Metric


@dataclass(frozen=True)
class Scored:
    """Images with what is known of them and what C says.

    Attributes:
        x: [N, 1, S, S] in [-1, 1].
        label: [N], 0 or 1.
        score: [N] probability that C gives the positive class.
        sources: where each image comes from; an empty string where unknown.
        cohort: who they are.
    """

    x: Tensor
    label: Tensor
    score: Tensor
    sources: tuple[str, ...]
    cohort: Cohort

    def true_positives(self, threshold: float) -> Tensor:
        """[N] True where an image is positive and C says so."""
        return (self.label > 0) & (self.score >= threshold)


def score_images(
    classifier: ExplainedClassifier, preprocess: Preprocess, images: LabelledImages, split: str, part: str
) -> Scored:
    """Have C score every image of a split; `part` says which these are, as in `Cohort`."""
    tensors = preprocess_images(preprocess, images)
    score = probability(classifier, tensors.x)
    return Scored(tensors.x, tensors.label, score, images.sources, Cohort(part, split, images.patients))


def classifier_aucs(test: Scored) -> list[Metric]:
    """Area under the ROC curve on all test images, and within each source that has both classes.

    Where label and source go together the figure on all images also rewards telling the sources apart; the one within
    a source does not.
    """
    metrics = [_auc("classifier_auc", test.score, test.label, test.cohort)]
    for source in sorted(set(test.sources)):
        rows = torch.tensor([each == source for each in test.sources])
        if source and not rows.all() and len(torch.unique(test.label[rows])) == 2:
            within = test.cohort.select(rows, f"images of the source {source!r} alone")
            metrics.append(_auc(f"classifier_auc_within_{source}", test.score[rows], test.label[rows], within))
    return metrics


def _auc(name: str, score: Tensor, label: Tensor, cohort: Cohort) -> Metric:
    value = binary_auroc(score, label.long()).item()
    return cohort.metric(name, value, "Area under the classifier's ROC curve; 0.5 is chance.")
