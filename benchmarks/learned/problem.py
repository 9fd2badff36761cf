"""What is minimised: the inversion's own loss by a bundle's frozen networks, and what keeps the negative negative."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from learned.graphs import BundleGraph
from medxgan.bundle import LoadedBundle
from medxgan.v1 import bundle_pb2

MARGIN = 2.0
"""Logits by which negatives shall lie below the threshold: those that do add nothing to the loss."""
EXCESS_WEIGHT = 0.1
"""Of a logit above that."""


@dataclass(frozen=True)
class Rows:
    """Images to invert.

    Attributes:
        x: [B, 1, S, S] in [-1, 1].
        wanted: [B] C's logit of them.
        guess: [B, D] the encoder's guess.
    """

    x: Tensor
    wanted: Tensor
    guess: Tensor


@dataclass(frozen=True)
class Drawn:
    """What the generator makes of codes.

    Attributes:
        picture: [B, 1, S, S].
        logit: [B] C's of it.
        mse: [B] of the picture against the image.
        bce: [B] of the logit against the image's score, in nats.
    """

    picture: Tensor
    logit: Tensor
    mse: Tensor
    bce: Tensor

    @property
    def losses(self) -> Tensor:
        """[B, 2] MSE and BCE."""
        return torch.stack([self.mse, self.bce], 1)


@dataclass(frozen=True)
class Closed(Drawn):
    """The same, and how surely negatives are negative.

    Attributes:
        excess: [B] logits by which the negative realization and the image less the difference, together, are above
            what is surely negative; 0 where both are below.
    """

    excess: Tensor


class Problem:
    """The inversion with a bundle's networks, differentiable in the code.

    Args:
        bundle: the bundle.

    Attributes:
        weight: λ.
    """

    def __init__(self, bundle: LoadedBundle) -> None:
        self.weight = bundle.description.inversion.default_reconstruction_weight
        self._limit = torch.tensor(bundle.description.classification.decision_threshold).logit().item() - MARGIN
        files = {
            role: bundle.folder / bundle.whole_graph(role).file
            for role in (bundle_pb2.GRAPH_ROLE_OPEN, bundle_pb2.GRAPH_ROLE_GENERATOR, bundle_pb2.GRAPH_ROLE_CLOSE)
        }
        self._open = BundleGraph(files[bundle_pb2.GRAPH_ROLE_OPEN], ["x"], ["z", "logit"])
        self._generator = BundleGraph(files[bundle_pb2.GRAPH_ROLE_GENERATOR], ["z"], ["image", "logit"])
        logits = ["reconstruction_logit", "negative_realization_logit", "applied_negative_logit"]
        self._close = BundleGraph(files[bundle_pb2.GRAPH_ROLE_CLOSE], ["x", "z"], ["reconstruction", *logits])
        for graph in (self._open, self._generator, self._close):
            graph.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @torch.no_grad()
    def rows(self, x: Tensor) -> Rows:
        """Images [B, 1, S, S] with their scores and first guesses."""
        opened = self._open(x=x)
        return Rows(x, opened["logit"], opened["z"])

    def drawn(self, rows: Rows, z: Tensor) -> Drawn:
        """What is drawn of z: [B, D]."""
        found = self._generator(z=z)
        return Drawn(found["image"], found["logit"], *_errors(rows, found["image"], found["logit"]))

    def closed(self, rows: Rows, z: Tensor) -> Closed:
        """What is drawn of z: [B, D], and how surely its negatives are negative."""
        found = self._close(x=rows.x, z=z)
        picture, logit = found["reconstruction"], found["reconstruction_logit"]
        negatives = (found["negative_realization_logit"], found["applied_negative_logit"])
        excess = torch.stack([F.relu(each - self._limit) for each in negatives]).sum(0)
        return Closed(picture, logit, *_errors(rows, picture, logit), excess)

    def loss(self, drawn: Drawn) -> Tensor:
        """The inversion's own, [B]."""
        return self.weight * drawn.mse + drawn.bce


def _errors(rows: Rows, picture: Tensor, logit: Tensor) -> tuple[Tensor, Tensor]:
    """MSE and BCE, [B] each."""
    bce = F.binary_cross_entropy_with_logits(logit, rows.wanted.sigmoid(), reduction="none")
    return (picture - rows.x).square().mean((1, 2, 3)), bce
