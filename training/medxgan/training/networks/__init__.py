"""The networks: a classifier of our own or a foreign one, a generator in two forms, a discriminator and an encoder."""

from medxgan.training.networks.classifier import Classifier, ExplainedClassifier
from medxgan.training.networks.corrected_encoder import CorrectedEncoder
from medxgan.training.networks.discriminator import Discriminator
from medxgan.training.networks.encoder import Encoder
from medxgan.training.networks.external_classifier import ExternalClassifier
from medxgan.training.networks.feature_encoder import FeatureEncoder
from medxgan.training.networks.generator import Generator, PlainGenerator, TwoBranchGenerator
from medxgan.training.networks.masked_generator import MaskedGenerator
from medxgan.training.networks.refined_encoder import RefinedEncoder, ResidualEncoder
from medxgan.training.networks.residual_classifier import ResidualClassifier

__all__ = [
    "Classifier",
    "CorrectedEncoder",
    "Discriminator",
    "Encoder",
    "ExplainedClassifier",
    "ExternalClassifier",
    "FeatureEncoder",
    "Generator",
    "MaskedGenerator",
    "PlainGenerator",
    "RefinedEncoder",
    "ResidualClassifier",
    "ResidualEncoder",
    "TwoBranchGenerator",
]
