"""A trained model as training hands it to export: the networks and everything that a bundle says of them."""

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from medxgan.training.familiarity import FamiliarityCheck
from medxgan.training.networks import ExplainedClassifier, Generator
from medxgan.training.preprocessing import Preprocess
from medxgan.v1.bundle_pb2 import (
    Classification,
    ImageSpecification,
    InversionSpecification,
    Metric,
    Provenance,
    Reliability,
)


@dataclass(frozen=True)
class TrainedModel:
    """Frozen networks in evaluation mode and their description, in the bundle's own terms.

    Attributes:
        preprocess: from grey levels to x.
        classifier: x to logit.
        generator: z to image, if there is one.
        encoder: x to a first guess of z, if one was trained.
        inversion: settings of the inversion; None without a generator.
        reliability: thresholds of the verdict; None without a generator.
        familiarity: tells images unlike the training's; None where there were no films to fit it on.
        classifier_file: the ONNX file that the classifier was made of, if it was.
    """

    preprocess: Preprocess
    classifier: ExplainedClassifier
    generator: Generator | None
    encoder: nn.Module | None
    image: ImageSpecification
    classification: Classification
    inversion: InversionSpecification | None
    reliability: Reliability | None
    provenance: Provenance
    metrics: tuple[Metric, ...]
    familiarity: FamiliarityCheck | None = None
    classifier_file: Path | None = None
