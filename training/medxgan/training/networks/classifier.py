"""The classifier C that is explained."""

from itertools import pairwise

import torch
from torch import Tensor, nn


class ExplainedClassifier(nn.Module):
    """What the other networks, and export, ask of the classifier C.

    Attributes:
        body: the module that names of layers start from.
        layer: name of the layer whose activations attribution looks at.
    """

    layer: str

    @property
    def body(self) -> nn.Module:
        """Names of layers are paths from here."""
        return self

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know of how it was made; the model card has it among the limitations."""
        return ()

    def outputs(self, x: Tensor) -> Tensor:
        """Every output [B, K] of the classifier for x: [B, 1, S, S] in [-1, 1]; K = 1 is the logit alone."""
        raise NotImplementedError

    def deeper_features(self, x: Tensor) -> list[Tensor]:
        """Activations of the deeper stages, [B, C, H, W] each: what pictures have in common that C takes for alike."""
        raise NotImplementedError

    def activation_map(self, activations: Tensor) -> Tensor:
        """[B, C, h, w] of what the layer gives that attribution looks at, or of its gradient."""
        return activations

    def positive_logit(self, outputs: Tensor) -> Tensor:
        """Logit [B] of the positive class, whose logistic function is its probability, from all outputs [B, K].

        Where there is one output, it is the logit.
        """
        return outputs.squeeze(1)

    def forward(self, x: Tensor) -> Tensor:
        """Logit [B] of the positive class for x: [B, 1, S, S] in [-1, 1]."""
        return self.positive_logit(self.outputs(x))


class Classifier(ExplainedClassifier):
    """A small convolutional network: four blocks of convolution, batch norm and ReLU with max-pooling between.

    Attributes:
        width: channels of the first block; the others have twice, four times and four times as many.
        dropout: probability with which a pooled feature is dropped in training.
    """

    def __init__(self, width: int = 16, dropout: float = 0.3) -> None:
        super().__init__()
        channels = [1, width, 2 * width, 4 * width, 4 * width]
        blocks = [_block(*pair) for pair in pairwise(channels)]
        self.blocks = nn.ModuleList(blocks)
        self.pool = nn.MaxPool2d(2)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(channels[-1], 1)
        self.layer = f"blocks.{len(blocks) - 1}"

    def features(self, x: Tensor) -> list[Tensor]:
        """Activations of every block, before its pooling; the last one is what Grad-CAM looks at.

        Args:
            x: [B, 1, S, S] in [-1, 1].

        Returns:
            [B, width, S, S], [B, 2 width, S/2, S/2], [B, 4 width, S/4, S/4], [B, 4 width, S/8, S/8].
        """
        activations = [self.blocks[0](x)]
        for block in self.blocks[1:]:
            activations.append(block(self.pool(activations[-1])))
        return activations

    def head(self, activations: Tensor) -> Tensor:
        """Logit [B] from the last block's activations."""
        return self.positive_logit(self._output(activations))

    def _output(self, activations: Tensor) -> Tensor:
        output: Tensor = self.output(self.dropout(self.pool(activations).mean((2, 3))))
        return output

    def deeper_features(self, x: Tensor) -> list[Tensor]:
        """Activations of the last two blocks."""
        return self.features(x)[2:]

    def outputs(self, x: Tensor) -> Tensor:
        """The logit [B, 1]."""
        return self._output(self.features(x)[-1])


def _block(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU())


@torch.no_grad()
def probability(classifier: nn.Module, x: Tensor, batch_size: int = 128) -> Tensor:
    """Probability [N] of the positive class for x: [N, 1, S, S], in batches."""
    return torch.cat([torch.sigmoid(classifier(rows)) for rows in torch.split(x, batch_size)])
