"""How good the generated pictures are: near the image, and of the class that they are meant to be."""

import torch
from torchmetrics.image import StructuralSimilarityIndexMeasure

from medxgan.training.evaluation.explained import Explained, share
from medxgan.training.focus import classifier_focus
from medxgan.training.networks import ExplainedClassifier, Generator
from medxgan.training.networks.classifier import probability
from medxgan.training.trap import shared_place
from medxgan.v1.bundle_pb2 import Metric

ANATOMIES = 1000
PATHOLOGIES = 3
"""Sampled with each anatomy."""


@torch.no_grad()
def disentanglement(generator: Generator, classifier: ExplainedClassifier, threshold: float, seed: int) -> Metric:
    """Share of samples that C calls what their z2 says: 1000 z1, each with z2 = 0 and three z2 ~ N(0, I).

    Source: the authors' measure (Dravid et al., medXGAN, CVPR-W 2022, section 4).
    """
    random = torch.Generator().manual_seed(seed)
    agreed = []
    for count in (ANATOMIES // 10,) * 10:
        z1 = torch.randn(count, generator.z1_size, generator=random)
        healthy = torch.cat([z1, torch.zeros(count, generator.z2_size)], 1)
        agreed.append(probability(classifier, generator(healthy)) < threshold)
        for _ in range(PATHOLOGIES):
            z2 = torch.randn(count, generator.z2_size, generator=random)
            agreed.append(probability(classifier, generator(torch.cat([z1, z2], 1))) >= threshold)
    return Metric(
        name="disentanglement",
        value=share(torch.cat(agreed)),
        measured_on="1000 sampled anatomies, each negative once and positive three times",
        description="Share of sampled pictures that the classifier calls what their pathology code says.",
    )


def reconstruction_metrics(explained: Explained) -> list[Metric]:
    """Mean squared error in [-1, 1] units, PSNR in dB and SSIM of the reconstructions, averaged over images."""
    error, metric = explained.reconstruction_error, explained.cohort.metric
    psnr = 10 * torch.log10(4 / error)
    # From 0 upwards: the similarity compares means by their product, which grey levels around 0 would turn over.
    ssim = StructuralSimilarityIndexMeasure(data_range=2.0)(explained.realizations.reconstruction + 1, explained.x + 1)
    return [
        metric("reconstruction_mse", error.mean().item(),
               "Mean squared error between image and reconstruction, grey levels in [-1, 1]."),
        metric("reconstruction_psnr_db", psnr.mean().item(),
               "Peak signal-to-noise ratio of the reconstruction, in dB."),
        metric("reconstruction_ssim", ssim.item(),
               "Structural similarity of image and reconstruction; 1 is the same."),
    ]  # fmt: skip


def class_metrics(explained: Explained) -> list[Metric]:
    """Whether C calls each picture what it is meant to be, and how large the change between the two is."""
    metric = explained.cohort.metric
    return [
        metric("reconstruction_called_positive", share(explained.reconstruction_is_positive),
               "Share of reconstructions that the classifier calls positive, as it does the image."),
        metric("negative_called_negative", share(explained.negative_is_negative),
               "Share of negative realizations that the classifier calls negative. Alone it proves little: "
               "a picture can fool a classifier."),
        metric("applied_negative_called_negative", share(explained.applied_is_negative),
               "Share of applied negatives that the classifier calls negative: of the images themselves, less the "
               "difference shown. It tests the difference map, whatever detail the generator can't draw."),
        metric("mean_absolute_difference", explained.difference.abs().mean().item(),
               "Mean absolute difference between reconstruction and negative realization: size of change."),
    ]  # fmt: skip


def place_metrics(classifier: ExplainedClassifier, explained: Explained) -> list[Metric]:
    """How far the differences lie in one place, and where C looks does: see `medxgan.training.trap`."""
    if len(explained.x) < 2:
        return []
    _, focus = classifier_focus(classifier, explained.x, explained.decision_threshold)
    metric = explained.cohort.metric
    return [
        metric("place_of_difference", shared_place(explained.difference.abs()),
               "Mean correlation of the difference maps of different images; near 1, they show the same "
               "place whoever the patient is: a generator that fools the classifier."),
        metric("place_of_focus", shared_place(focus), "The same of where the classifier looks, for comparison."),
    ]  # fmt: skip
