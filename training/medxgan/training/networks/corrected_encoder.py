"""An encoder that sees what its guess leaves behind: the pathology goes on until C is convinced that it is gone."""

import torch
from torch import Tensor, nn

from medxgan.training.networks.classifier import ExplainedClassifier
from medxgan.training.networks.encoder import Encoder
from medxgan.training.networks.masked_generator import MaskedGenerator

DAMPING = 0.5
"""Added to the squared norm of the gradient, which is some 3 where the code of `chest` lies: a flat place is no reason
for a large step."""


class CorrectedEncoder(nn.Module):
    """Corrects an encoder's z2, so that the image less the difference is called negative, and not by a hair.

    What is left of the evidence is r = max(0, C(x - (G(z1, z2) - G(z1, 0))) - limit), a logit. Each correction is a
    damped Gauss-Newton step on r²/2 (Levenberg, 1944), by the gradient g of C's logit with respect to z2:

        z2 - r · g / (|g|² + damping)

    Images of which nothing is left stay as they were guessed. In the masked form the difference depends on z2 alone, so
    that an inversion which holds z2 keeps it.

    Args:
        encoder: makes the first guess.
        generator: draws the difference.
        classifier: C.
        steps: corrections, >= 1.
        limit: logit that the image less the difference shall have at most.
    """

    def __init__(
        self, encoder: Encoder, generator: MaskedGenerator, classifier: ExplainedClassifier, steps: int, limit: float
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.generator = generator
        self.classifier = classifier
        self.steps = steps
        self.limit = limit

    def forward(self, x: Tensor) -> Tensor:
        """Latent code z [B, D] of x: [B, 1, S, S] in [-1, 1]."""
        z = self.encoder(x)
        z1, z2 = z[:, : self.generator.z1_size], z[:, self.generator.z1_size :]
        for _ in range(self.steps):
            with torch.enable_grad():
                code = z2.detach().requires_grad_()
                difference, _ = self.generator.pathology(code)
                logit = self.classifier((x - difference).clamp(-1, 1))
                # Rows do not touch each other, so the gradient of the sum is each row's own gradient.
                (gradient,) = torch.autograd.grad(logit.sum(), code)
            left = (logit.detach() - self.limit).clamp_min(0)
            z2 = z2 - (left / ((gradient * gradient).sum(1) + DAMPING))[:, None] * gradient
        return torch.cat([z1, z2], 1)
