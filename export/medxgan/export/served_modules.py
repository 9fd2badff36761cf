"""What a request needs first and last, and the networks between, as modules from tensors to tensors."""

import torch
from torch import Tensor, nn

from medxgan.training.familiarity import Familiarity
from medxgan.training.networks import ExplainedClassifier, Generator
from medxgan.training.preprocessing import Preprocess


class Opening(nn.Module):
    """What a request needs before anything is decided: a film's x, where x lies on it, and what the networks say of x.

    Args:
        preprocess: from grey levels to x.
        classifier: x to the outputs [B, K] of the classifier, and how they become the positive class's logit.
        familiarity: x to measures of how unlike it is to the training's films, if there are any.
        encoder: x to a first guess of z, if there is one.
    """

    def __init__(
        self, preprocess: Preprocess, classifier: nn.Module, familiarity: Familiarity | None, encoder: nn.Module | None
    ) -> None:
        super().__init__()
        self.preprocess = preprocess
        self.classifier = classifier
        self.familiarity = familiarity
        self.encoder = encoder

    def forward(self, image: Tensor, inverted: Tensor, pixel_aspect: Tensor) -> tuple[Tensor, ...]:
        """`x`, `box`, `logit`, and where there are such parts `unfamiliarity` and `z`.

        The arguments are those of `Preprocess.forward`.
        """
        x = self.preprocess(image, inverted, pixel_aspect)
        logit, _ = self.classifier(x)
        opened = [x, self.preprocess.box(image, pixel_aspect), logit]
        if self.familiarity is not None:
            opened.append(self.familiarity(x))
        if self.encoder is not None:
            opened.append(self.encoder(x))
        return tuple(opened)


class Scored(nn.Module):
    """x [B, 1, S, S] to the `logit` [B] of the positive class and all `outputs` [B, K] of the classifier."""

    def __init__(self, classifier: ExplainedClassifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """`logit` and `outputs`."""
        outputs = self.classifier.outputs(x)
        return self.classifier.positive_logit(outputs), outputs


class Generated(nn.Module):
    """z [B, D] to the generator's `image` [B, 1, S, S] and its `logit` [B]."""

    def __init__(self, generator: Generator, classifier: ExplainedClassifier) -> None:
        super().__init__()
        self.generator = generator
        self.classifier = classifier

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """`image` and `logit`."""
        image = self.generator(z)
        return image, self.classifier(image)


class Closing(nn.Module):
    """What a request needs once z is found: the pictures [B, 1, S, S] and, of each, the logit [B].

    What both pictures of the generator share is drawn once, and all three are scored as one batch.
    """

    def __init__(self, generator: Generator, classifier: ExplainedClassifier) -> None:
        super().__init__()
        self.generator = generator
        self.classifier = classifier

    def forward(self, x: Tensor, z: Tensor) -> tuple[Tensor, ...]:
        """Reconstruction, negative realization, applied negative, and their logits."""
        reconstruction, negative = self.generator.realize(z)
        applied = (x - (reconstruction - negative)).clamp(-1, 1)
        pictures = torch.stack([reconstruction, negative, applied])
        logits = _unbound(self.classifier(pictures.flatten(0, 1)), 3)
        return reconstruction, negative, applied, *logits


def _unbound(rows: Tensor, count: int) -> list[Tensor]:
    """[count * B, ...] as `count` tensors [B, ...]."""
    parted = rows.reshape(count, -1, *rows.shape[1:])
    return [parted[index] for index in range(count)]
