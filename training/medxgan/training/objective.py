"""The objective, term by term.

    min_G max_D  E[log D(x)] + E[log(1 - D(G(z1, z2)))] - E[log p_C(y | G(z1, z2))]

with z1 ~ N(0, I), z2 = 0 for y = 0 and z2 ~ N(0, I) for y = 1, and the classifier C frozen (Dravid et al., medXGAN,
CVPR-W 2022, eq. 1). The class term is the cross-entropy of C's *logit*: feeding it a probability, as is easily done,
flattens the gradient.

With an encoder E along, every real image x gives two more pictures, the reconstruction G(E(x)) and the negative
realization G(z1, 0), and with them the terms under "With an encoder". D then judges three kinds of picture, each as
the class that it is meant to be.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from medxgan.training import processes
from medxgan.training.networks import (
    Discriminator,
    Encoder,
    ExplainedClassifier,
    Generator,
)
from medxgan.training.processes import drawn_rows

View = Callable[[Tensor], Tensor]
AdversarialLoss = Literal["hinge", "cross-entropy"]


@dataclass(frozen=True)
class Batch:
    """Real images as C sees them.

    Attributes:
        x: [B, 1, S, S] in [-1, 1].
        label: [B] C's own decision, 0 or 1.
        focus: [B, 1, S, S] in [0, 1], where C looks, or the data's masks, in positives; 0 in negatives.
        stratum: [B] number of the stratum that D compares within; None where there is one.
        placed: [B] 1 where the focus says where the masked form's mask is to open; None where it says so nowhere.
    """

    x: Tensor
    label: Tensor
    focus: Tensor
    stratum: Tensor | None = None
    placed: Tensor | None = None

    def condition(self, label: Tensor) -> Tensor:
        """What D is told [B] of pictures of these rows that are meant to be of the class `label` [B]."""
        return label if self.stratum is None else label + 2 * self.stratum


@dataclass(frozen=True)
class Samples:
    """Pictures drawn from the prior, with the codes that they were drawn from."""

    image: Tensor
    label: Tensor
    z: Tensor


@dataclass(frozen=True)
class Realizations:
    """What the encoder and the generator make of real images."""

    code: Tensor
    reconstruction: Tensor
    negative: Tensor

    def applied_negative(self, x: Tensor) -> Tensor:
        """The images less what the pathology adds to their reconstruction: their own detail, and no pathology."""
        return (x - (self.reconstruction - self.negative)).clamp(-1, 1)


@dataclass(frozen=True)
class Judged:
    """Generated pictures that D judges.

    Attributes:
        image: [B, 1, S, S].
        label: [B] the class that each is meant to be, as D is told it (`Batch.condition`).
        counts: [B] 1 where the picture is judged, 0 where it is a real image.
    """

    image: Tensor
    label: Tensor
    counts: Tensor


def draw_codes(generator: Generator, count: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Draw y ~ B(1/2), z1 ~ N(0, I), z2 = 0 for y = 0 and N(0, I) for y = 1; z [count, D] and y [count]."""
    label = (drawn_rows(torch.rand, count, device=device) < 0.5).float()
    z1 = drawn_rows(torch.randn, count, generator.z1_size, device=device)
    z2 = drawn_rows(torch.randn, count, generator.z2_size, device=device) * label[:, None]
    return torch.cat([z1, z2], 1), label


def generate(generator: Generator, encoder: Encoder | None, batch: Batch) -> tuple[Samples, Realizations | None]:
    """Everything that G makes in one step; an image that C calls negative is encoded with z2 = 0.

    All codes go through G together: its batch norm then sees in training the mixture that its running statistics,
    which it is used with later, describe.
    """
    z, label = draw_codes(generator, len(batch.x), batch.x.device)
    if encoder is None:
        return Samples(generator(z), label, z), None
    code = encoder(batch.x)
    z1, z2 = code[:, : generator.z1_size], code[:, generator.z1_size :] * batch.label[:, None]
    codes = [z, torch.cat([z1, z2], 1), torch.cat([z1, torch.zeros_like(z2)], 1)]
    image, reconstructed, negative = generator(torch.cat(codes)).chunk(3)
    return Samples(image, label, z), Realizations(code, reconstructed, negative)


def judged(samples: Samples, realizations: Realizations | None, batch: Batch, applied: bool) -> list[Judged]:
    """The generated pictures that D judges.

    Args:
        samples: drawn from the prior.
        realizations: of the batch, where there is an encoder.
        batch: real images.
        applied: whether the applied negatives of positives are judged too; those of negatives are the images.
    """
    negative, all_count = torch.zeros_like(batch.label), torch.ones_like(batch.label)
    negative = batch.condition(negative)
    pictures = [Judged(samples.image, batch.condition(samples.label), all_count)]
    if realizations is not None:
        pictures.append(Judged(realizations.reconstruction, batch.condition(batch.label), all_count))
        pictures.append(Judged(realizations.negative, negative, all_count))
        if applied:
            pictures.append(Judged(realizations.applied_negative(batch.x), negative, batch.label))
    return pictures


# --- D's side: max E[log D(x)] + E[log(1 - D(G))] ---


def discriminator_loss(
    discriminator: Discriminator,
    batch: Batch,
    generated: list[Judged],
    view: View,
    kind: AdversarialLoss,
) -> Tensor:
    """D's loss on real and generated pictures, as cross-entropy (published) or hinge."""
    real = discriminator(view(batch.x), batch.condition(batch.label))
    fake = [discriminator(view(each.image.detach()), each.label) for each in generated]
    loss = F.softplus if kind == "cross-entropy" else _hinge
    return loss(-real).mean() + _mean([(loss(s) * each.counts).mean() for s, each in zip(fake, generated, strict=True)])


# --- G's side ---


def adversarial(discriminator: Discriminator, generated: list[Judged], view: View, kind: AdversarialLoss) -> Tensor:
    """G against D; for the cross-entropy the non-saturating form, -log D(G) (Goodfellow et al., 2014)."""
    scores = [discriminator(view(each.image), each.label) for each in generated]
    losses = [-score if kind == "hinge" else F.softplus(-score) for score in scores]
    return _mean([(loss * each.counts).mean() for loss, each in zip(losses, generated, strict=True)])


def class_of_sample(classifier: ExplainedClassifier, samples: Samples, view: View) -> Tensor:
    """-log p_C(y | G(z1, z2)): a sample is of the class that its z2 says."""
    return F.binary_cross_entropy_with_logits(classifier(view(samples.image)), samples.label)


# --- With an encoder ---


def reconstruction(batch: Batch, realizations: Realizations) -> Tensor:
    """Squared and absolute error of the reconstruction, up to seven times heavier where C looks."""
    error = realizations.reconstruction - batch.x
    return ((1 + 6 * batch.focus) * error**2).mean() + 0.5 * error.abs().mean()


def features(classifier: ExplainedClassifier, batch: Batch, realizations: Realizations) -> Tensor:
    """Distance between C's deeper activations of the image and of its reconstruction, relative to their size."""
    with torch.no_grad():
        wanted = classifier.deeper_features(batch.x)
    got = classifier.deeper_features(realizations.reconstruction)
    return _mean([F.mse_loss(g, w) / processes.mean((w**2).mean()) for g, w in zip(got, wanted, strict=True)])


def class_of_negative(classifier: ExplainedClassifier, realizations: Realizations, view: View) -> Tensor:
    """-log p_C(0 | G(z1, 0)) for the codes of real images."""
    logit = classifier(view(realizations.negative))
    return F.binary_cross_entropy_with_logits(logit, torch.zeros_like(logit))


def class_of_applied(classifier: ExplainedClassifier, batch: Batch, realizations: Realizations, view: View) -> Tensor:
    """-log p_C(0 | x - difference) for positives: without what the explanation shows, the image itself is negative."""
    logit = classifier(view(realizations.applied_negative(batch.x)))
    return (F.softplus(logit) * batch.label).mean()


def sparsity(batch: Batch, realizations: Realizations) -> Tensor:
    """Mean absolute difference of positives, five times heavier outside of where C looks: change little, and there."""
    difference = (realizations.negative - realizations.reconstruction).abs()
    return ((1 + 4 * (1 - batch.focus)) * difference).mean((1, 2, 3)).mul(batch.label).mean()


def outside(batch: Batch, realizations: Realizations) -> Tensor:
    """Outside of where C looks, the negative realization of a positive is still the image itself."""
    error = (realizations.negative - batch.x) ** 2
    return ((1 - batch.focus) * error * batch.label[:, None, None, None]).mean()


def prior(realizations: Realizations) -> Tensor:
    """Keeps the codes of real images where z is sampled: half their mean square."""
    return 0.5 * (realizations.code**2).mean()


def cycle(encoder: Encoder, generator: Generator, samples: Samples) -> Tensor:
    """The encoder finds the anatomy that a sample was drawn with."""
    z1 = encoder(samples.image.detach())[:, : generator.z1_size]
    return F.mse_loss(z1, samples.z[:, : generator.z1_size])


def _hinge(score: Tensor) -> Tensor:
    return F.relu(1 + score)


def _mean(losses: list[Tensor]) -> Tensor:
    return torch.stack(losses).mean()
