"""Explanations of many images at once, as the server makes them one by one."""

from dataclasses import dataclass

import torch
from torch import Tensor

from medxgan.training.configuration import InversionConfig
from medxgan.training.evaluation.cohort import Cohort
from medxgan.training.inversion import encoded_start, invert, published_start
from medxgan.training.networks import Encoder, ExplainedClassifier, Generator
from medxgan.training.networks.classifier import probability
from medxgan.training.objective import Realizations

BATCH = 64


@dataclass(frozen=True)
class Explained:
    """True positives, N >= 1, with what the inversion found for them.

    Attributes:
        x: [N, 1, S, S] in [-1, 1], each called positive by C.
        realizations: G(z1, z2) and G(z1, 0), [N, 1, S, S] each in [-1, 1].
        reconstruction_score: [N] probability that C gives the reconstruction.
        negative_score: [N] that C gives the negative realization.
        applied_score: [N] that C gives the applied negative.
        decision_threshold: probability from which C calls an image positive.
        cohort: who they are.
    """

    x: Tensor
    realizations: Realizations
    reconstruction_score: Tensor
    negative_score: Tensor
    applied_score: Tensor
    decision_threshold: float
    cohort: Cohort

    @property
    def reconstruction_error(self) -> Tensor:
        """Mean squared error [N] of the reconstruction, in [-1, 1] units."""
        return ((self.realizations.reconstruction - self.x) ** 2).mean((1, 2, 3))

    @property
    def difference(self) -> Tensor:
        """[N, 1, S, S] what the pathology adds, in [-2, 2]."""
        return self.realizations.reconstruction - self.realizations.negative

    @property
    def reconstruction_is_positive(self) -> Tensor:
        """[N] True where C calls the reconstruction positive, as it does the image."""
        return self.reconstruction_score >= self.decision_threshold

    @property
    def negative_is_negative(self) -> Tensor:
        """[N] True where C calls the negative realization negative."""
        return self.negative_score < self.decision_threshold

    @property
    def applied_is_negative(self) -> Tensor:
        """[N] True where C calls the applied negative negative."""
        return self.applied_score < self.decision_threshold

    def is_reliable(self, maximum_reconstruction_mse: float) -> Tensor:
        """[N] True where the server's verdict is RELIABLE: where every check passes."""
        near = self.reconstruction_error <= maximum_reconstruction_mse
        return near & self.reconstruction_is_positive & self.negative_is_negative


@dataclass(frozen=True)
class Explainer:
    """Explains by inversion.

    Attributes:
        classifier: C.
        generator: G.
        encoder: guesses where the inversion starts; None starts it as published.
        inversion: its settings.
        decision_threshold: probability from which C calls an image positive.
        seed: of starts without an encoder.
    """

    classifier: ExplainedClassifier
    generator: Generator
    encoder: Encoder | None
    inversion: InversionConfig
    decision_threshold: float
    seed: int

    def explain(self, x: Tensor, cohort: Cohort) -> Explained:
        """Invert true positives: [N, 1, S, S] in [-1, 1]."""
        random = torch.Generator().manual_seed(self.seed)
        codes = torch.cat([self._codes(rows, random) for rows in torch.split(x, BATCH)])
        realizations = self._realizations(codes)
        return Explained(
            x,
            realizations,
            reconstruction_score=probability(self.classifier, realizations.reconstruction),
            negative_score=probability(self.classifier, realizations.negative),
            applied_score=probability(self.classifier, realizations.applied_negative(x)),
            decision_threshold=self.decision_threshold,
            cohort=cohort,
        )

    def _codes(self, x: Tensor, random: torch.Generator) -> Tensor:
        settings = self.inversion
        start = encoded_start(self.encoder, x) if self.encoder else published_start(self.generator, len(x), random)
        result = invert(
            self.generator,
            self.classifier,
            x,
            start,
            steps=settings.steps,
            learning_rate=settings.learning_rate,
            reconstruction_weight=settings.reconstruction_weight,
            betas=(settings.beta1, settings.beta2),
            epsilon=settings.epsilon,
        )
        return result.z

    @torch.no_grad()
    def _realizations(self, codes: Tensor) -> Realizations:
        batches = torch.split(codes, BATCH)
        reconstruction = torch.cat([self.generator(rows) for rows in batches])
        return Realizations(codes, reconstruction, torch.cat([self.generator.negative(rows) for rows in batches]))


def share(holds: Tensor) -> float:
    """The share of images for which it holds: bool [N], N >= 1."""
    return holds.double().mean().item()
