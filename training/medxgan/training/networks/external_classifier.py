"""A classifier that was trained elsewhere, as C."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from medxgan.training.networks.classifier import ExplainedClassifier
from medxgan.training.networks.grids import Layout
from medxgan.training.networks.layers import activation_layer, captured, executed_layers, out_of_place, stage_before
from medxgan.training.networks.resampling import resampling

PROBES = 3
"""Random pictures that the layers are watched with."""


class ExternalClassifier(ExplainedClassifier):
    """Gives a foreign network x in the form that it was trained with, and reads its outputs as C's.

    Args:
        network: from [B, channels, S, S] to [B, K] or, for one output, [B]: logits, not probabilities.
        image_size: side S of x in pixels.
        positive: index of the positive class among the outputs, once merged.
        exclusive: whether several outputs exclude each other (softmax); else each stands for itself (logistic).
        channels: 1, or 3 to show the grey picture three times.
        mean: what is taken from each channel of (x + 1) / 2; one number, or one a channel.
        deviation: what each channel is then divided by.
        layer: name of the layer whose activations attribution looks at; by default the last that makes any.
        layout: how that layer's activations lie; by default it is found out.
        picture_size: side of the pictures that the network takes, where it is not `image_size`: x is resized to it.
        merged: of each class, the outputs that it is made of; none: each output is a class.
        notes: what a person should know of how its outputs are read.

    Raises:
        LayerError: there is no such layer, or its activations are no picture.
    """

    mean: Tensor
    deviation: Tensor
    resampling: Tensor | None

    def __init__(
        self,
        network: nn.Module,
        image_size: int,
        *,
        positive: int = 0,
        exclusive: bool = True,
        channels: int = 1,
        mean: Sequence[float] = (),
        deviation: Sequence[float] = (),
        layer: str | None = None,
        layout: Layout | None = None,
        picture_size: int | None = None,
        merged: Sequence[Sequence[int]] = (),
        notes: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.network = network.eval()
        self.picture_size = picture_size or image_size
        resized = self.picture_size != image_size
        self.register_buffer("resampling", resampling(image_size, self.picture_size) if resized else None, False)
        self.positive = positive
        self.exclusive = exclusive
        self._reading = tuple(notes)
        self.merged = merged
        self.channels = channels
        self.normalized = bool(mean) or bool(deviation)
        self.register_buffer("mean", torch.tensor(list(mean) or [0.0]).view(1, -1, 1, 1))
        self.register_buffer("deviation", torch.tensor(list(deviation) or [1.0]).view(1, -1, 1, 1))
        out_of_place(network)
        random = torch.Generator().manual_seed(0)
        x = 2 * torch.rand(PROBES, 1, image_size, image_size, generator=random) - 1
        layers = executed_layers(network, self.network_outputs, x, layout)
        looked_at = activation_layer(layers, layer, layout)
        before = stage_before(layers, looked_at)
        stages = [each for each in (before, looked_at) if each is not None]
        self.layer = looked_at.name
        self.stages = tuple(each.name for each in stages)
        self._grids = {each.name: each.grid for each in stages if each.grid is not None}

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know of how the network was converted, and of how its outputs are read."""
        converted: tuple[str, ...] = getattr(self.network, "conversion_notes", ())
        return (*converted, *self._reading)

    @property
    def body(self) -> nn.Module:
        """The foreign network."""
        return self.network

    def outputs(self, x: Tensor) -> Tensor:
        """A logit [B, K] of every class for x: [B, 1, S, S] in [-1, 1].

        Of a class made of several outputs it is log sum exp of theirs: a softmax's probabilities add up.
        """
        outputs = self.network_outputs(x)
        if not self.merged:
            return outputs
        return torch.stack([torch.logsumexp(outputs[:, list(members)], 1) for members in self.merged], 1)

    def network_outputs(self, x: Tensor) -> Tensor:
        """What the network itself gives, [B, outputs], for x: [B, 1, S, S] in [-1, 1]."""
        if self.resampling is not None:
            x = self.resampling @ x @ self.resampling.T
        picture = x.expand(-1, self.channels, -1, -1)
        if self.normalized:
            picture = ((picture + 1) / 2 - self.mean) / self.deviation
        outputs: Tensor = self.network(picture)
        return outputs[:, None] if outputs.ndim == 1 else outputs

    def deeper_features(self, x: Tensor) -> list[Tensor]:
        """Activations of the layer that attribution looks at and, before it, of the next higher resolution."""
        with captured(self.network, self.stages) as activations:
            self.network_outputs(x)
        return [self._grids[name].map_of(activations[name]) for name in self.stages]

    def activation_map(self, activations: Tensor) -> Tensor:
        """[B, C, h, w] of what the layer gives that attribution looks at, or of its gradient."""
        return self._grids[self.layer].map_of(activations)

    def positive_logit(self, outputs: Tensor) -> Tensor:
        """Logit [B] of the positive class from outputs [B, K].

        Where they exclude each other it is o[positive] - log sum exp(o[others]): its sigmoid is the softmax's
        probability. Else it is the output itself.
        """
        logit = outputs[:, self.positive]
        if outputs.shape[1] == 1 or not self.exclusive:
            return logit
        others = [outputs[:, : self.positive], outputs[:, self.positive + 1 :]]
        return logit - torch.logsumexp(torch.cat(others, 1), 1)
