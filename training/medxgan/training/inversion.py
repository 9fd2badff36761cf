"""The reference inversion in plain PyTorch: the yardstick for parity and speed of the exported gradient step.

argmin over z of  λ · MSE(G(z), x) + BCE(C(G(z)), C(x)), by Adam (Dravid et al., medXGAN, CVPR-W 2022, eq. 4; their
settings are learning rate 0.01, betas 0.5 and 0.999, λ = 4, z1 = 0 and z2 ~ N(0, I) to start with).
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medxgan.training.networks import Encoder, Generator


@dataclass(frozen=True)
class InversionResult:
    """Where the inversion ended.

    Attributes:
        z: [B, D] latent codes.
        reconstruction_loss: [steps, B] mean squared error before each step.
        classification_loss: [steps, B] binary cross-entropy before each step, in nats.
    """

    z: Tensor
    reconstruction_loss: Tensor
    classification_loss: Tensor


@torch.no_grad()
def encoded_start(encoder: Encoder, x: Tensor) -> Tensor:
    """The encoder's guess for x: [B, 1, S, S]; [B, D]."""
    z: Tensor = encoder(x)
    return z


def invert(
    generator: Generator,
    classifier: nn.Module,
    x: Tensor,
    start: Tensor,
    *,
    steps: int,
    learning_rate: float = 0.01,
    reconstruction_weight: float = 4.0,
    betas: tuple[float, float] = (0.5, 0.999),
    epsilon: float = 1e-8,
    pathology_rate: float = 1.0,
) -> InversionResult:
    """Find the latent codes whose pictures match x.

    Args:
        generator: frozen, in evaluation mode.
        classifier: frozen, in evaluation mode.
        x: [B, 1, S, S] in [-1, 1].
        start: [B, D] the codes to start from.
        steps: gradient steps.
        learning_rate: Adam's.
        reconstruction_weight: λ.
        betas: Adam's decay rates.
        epsilon: Adam's.
        pathology_rate: share of the learning rate that z2 moves by.
    """
    with torch.no_grad():
        target = torch.sigmoid(classifier(x))
    z1, z2 = (part.clone().requires_grad_(True) for part in torch.tensor_split(start, [generator.z1_size], 1))
    groups: list[dict[str, Any]] = [{"params": [z1]}, {"params": [z2], "lr": pathology_rate * learning_rate}]
    optimizer = torch.optim.Adam(groups, lr=learning_rate, betas=betas, eps=epsilon)
    reconstruction, classification = [], []
    for _ in range(steps):
        picture = generator(torch.cat([z1, z2], 1))
        mse = ((picture - x) ** 2).mean((1, 2, 3))
        bce = F.binary_cross_entropy_with_logits(classifier(picture), target, reduction="none")
        optimizer.zero_grad()
        (reconstruction_weight * mse + bce).sum().backward()
        optimizer.step()
        reconstruction.append(mse.detach())
        classification.append(bce.detach())
    return InversionResult(torch.cat([z1, z2], 1).detach(), torch.stack(reconstruction), torch.stack(classification))
