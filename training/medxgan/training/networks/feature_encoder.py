"""An encoder that reads the pathology off the explained classifier's own features."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medxgan.training.networks.classifier import ExplainedClassifier
from medxgan.training.networks.encoder import Encoder
from medxgan.training.networks.masked_generator import MaskedGenerator
from medxgan.training.networks.residual_classifier import ResidualBlock

FEATURES = 64
"""Channels that C's activations are reduced to."""


class FeatureEncoder(Encoder):
    """z1 by convolutions of its own; z2 from the last activations of C, which stays as it is.

    What C does not see can't become pathology, and few weights learn to place it, where an encoder of its own would
    have to learn from some hundred positives what a lesion is.

    Args:
        generator: whose codes are to be found.
        classifier: C; the encoder keeps a frozen copy.
        deeper_channels: channels of C's `deeper_features`, the finer first.
        channels: of the anatomy's convolutions, each of which halves the resolution, down to 4x4 pixels.
    """

    def __init__(
        self,
        generator: MaskedGenerator,
        classifier: ExplainedClassifier,
        deeper_channels: tuple[int, ...],
        channels: tuple[int, ...],
    ) -> None:
        z1, fine_z1, z2, fine_z2 = generator.parts
        super().__init__(generator, channels, [z1, fine_z1, 0, 0])
        self.context = ResidualBlock(channels[2], channels[2])
        self.side = generator.side
        self.classifier = classifier.eval()
        self.classifier.requires_grad_(False)
        self.mixed = nn.Sequential(
            nn.Conv2d(sum(deeper_channels), FEATURES, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(FEATURES, FEATURES, 3, 1, 1),
            nn.LeakyReLU(0.2),
        )
        self.pathology = nn.Linear(deeper_channels[-1], z2)
        self.pathology_detail = nn.Conv2d(FEATURES, fine_z2 // self.side**2, 3, 1, 1)

    def train(self, mode: bool = True) -> "FeatureEncoder":
        """C stays in evaluation mode."""
        super().train(mode)
        self.classifier.eval()
        return self

    def pathology_parameters(self) -> list[nn.Parameter]:
        """Those that find z2, C's own left out; the other trained ones find z1."""
        layers = (self.mixed, self.pathology, self.pathology_detail)
        return [parameter for layer in layers for parameter in layer.parameters()]

    def anatomy_code(self, x: Tensor) -> Tensor:
        """z1 [B, z1_size] of x: [B, 1, S, S] in [-1, 1]."""
        return super().forward(x)

    def pathology_code(self, x: Tensor) -> Tensor:
        """z2 [B, z2_size] of x: [B, 1, S, S] in [-1, 1]."""
        seen = self.classifier.deeper_features(x)
        fine = self.pathology_detail(self.mixed(torch.cat([self._at_grid(each) for each in seen], 1)))
        coarse = self.pathology(seen[-1].mean((2, 3)))
        return torch.cat([coarse, fine.flatten(1)], 1)

    def forward(self, x: Tensor) -> Tensor:
        """Latent code z [B, D] of x: [B, 1, S, S] in [-1, 1]."""
        return torch.cat([self.anatomy_code(x), self.pathology_code(x)], 1)

    def _at_grid(self, activations: Tensor) -> Tensor:
        """[B, C, side, side] from activations of whatever size."""
        if activations.shape[-1] == self.side:
            return activations
        return F.interpolate(activations, (self.side, self.side), mode="bilinear", align_corners=False)
