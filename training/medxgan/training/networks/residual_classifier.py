"""A classifier of larger pictures: residual blocks, and a second output that is told where the lesions are."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medxgan.training.networks.classifier import ExplainedClassifier
from medxgan.training.networks.spline import binomial_matrix, enlarge


class ResidualClassifier(ExplainedClassifier):
    """A strided stem and one residual block a stage, each at half the resolution of the one before.

    Where the training has masks, `lesions` is trained with them along with the logit, and so is every layer below it:
    the features then tell lesions from what merely goes with them. Only the logit is served.

    Args:
        channels: of the stages; the first is at half the image's resolution.
        dropout: probability with which a pooled feature is dropped in training.
        image_size: S.
        low_pass: times that x is smoothed by (1/4, 1/2, 1/4) before the stem. Detail that the generator's pathology
            is too smooth to take away can then decide nothing, or its negative would stay positive by it.
    """

    low_pass: Tensor | None

    def __init__(
        self,
        channels: tuple[int, ...] = (20, 40, 80, 128),
        dropout: float = 0.3,
        image_size: int = 128,
        low_pass: int = 0,
    ) -> None:
        super().__init__()
        matrix = torch.linalg.matrix_power(binomial_matrix(image_size), low_pass) if low_pass else None
        self.register_buffer("low_pass", matrix, persistent=False)
        self.stem = nn.Sequential(_convolution(1, channels[0], 5), nn.BatchNorm2d(channels[0]), nn.ReLU())
        self.pool = nn.AvgPool2d(2)
        self.stages = nn.ModuleList(
            [ResidualBlock(channels[0], channels[0])] + [ResidualBlock(*pair) for pair in pairwise(channels)]
        )
        self.localise = nn.Conv2d(channels[-2], 1, 1)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(channels[-1], 1)
        self.layer = f"stages.{len(channels) - 1}"

    def features(self, x: Tensor) -> list[Tensor]:
        """Activations of every stage, [B, channels[i], S / 2**(i + 1), the same]."""
        seen = x if self.low_pass is None else enlarge(x, self.low_pass)
        activations = [self.stages[0](self.pool(self.stem(seen)))]
        for stage in self.stages[1:]:
            activations.append(stage(self.pool(activations[-1])))
        return activations

    def head(self, activations: Tensor) -> Tensor:
        """Logit [B] from the last stage's activations."""
        return self.positive_logit(self._output(activations))

    def _output(self, activations: Tensor) -> Tensor:
        output: Tensor = self.output(self.dropout(activations.mean((2, 3))))
        return output

    def with_lesions(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logit [B], and logits [B, 1, s, s] of a lesion being at each place of the last stage but one."""
        activations = self.features(x)
        return self.head(activations[-1]), self.localise(activations[-2])

    def deeper_features(self, x: Tensor) -> list[Tensor]:
        """Activations of the last two stages."""
        return self.features(x)[-2:]

    def outputs(self, x: Tensor) -> Tensor:
        """The logit [B, 1]."""
        return self._output(self.features(x)[-1])


class ResidualBlock(nn.Module):
    """Two convolutions with batch norm, added to what came in (through a 1x1 convolution where the channels differ)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first, self.first_norm = _convolution(inputs, outputs, 3), nn.BatchNorm2d(outputs)
        self.second, self.second_norm = _convolution(outputs, outputs, 3), nn.BatchNorm2d(outputs)
        self.skip = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1, bias=False)
        self.act, self.last_act = nn.ReLU(), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] to [B, outputs, H, W]."""
        changed = self.second_norm(self.second(self.act(self.first_norm(self.first(x)))))
        result: Tensor = self.last_act(changed + self.skip(x))
        return result


def _convolution(inputs: int, outputs: int, size: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, size, padding=size // 2, bias=False)


def lesion_loss(logits: Tensor, mask: Tensor) -> Tensor:
    """Cross-entropy of `with_lesions`' second output with the share of each place that the mask [B, 1, S, S] covers."""
    share = F.interpolate(mask, logits.shape[2:], mode="area")
    return F.binary_cross_entropy_with_logits(logits, share)


__all__ = ["ResidualBlock", "ResidualClassifier", "lesion_loss"]
