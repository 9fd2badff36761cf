"""The networks: a classifier, a generator in two forms, a discriminator and an encoder."""

from medxgan.training.networks.classifier import Classifier
from medxgan.training.networks.discriminator import Discriminator
from medxgan.training.networks.encoder import Encoder
from medxgan.training.networks.generator import Generator, PlainGenerator, TwoBranchGenerator

__all__ = ["Classifier", "Discriminator", "Encoder", "Generator", "PlainGenerator", "TwoBranchGenerator"]
