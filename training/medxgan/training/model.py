"""A trained model as training hands it to export: the networks and everything that a bundle says of them."""

from dataclasses import dataclass

from medxgan.training.networks import Classifier, Encoder, Generator
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
        generator: z to image.
        encoder: x to a first guess of z, if one was trained.
    """

    preprocess: Preprocess
    classifier: Classifier
    generator: Generator
    encoder: Encoder | None
    image: ImageSpecification
    classification: Classification
    inversion: InversionSpecification
    reliability: Reliability
    provenance: Provenance
    metrics: tuple[Metric, ...]
