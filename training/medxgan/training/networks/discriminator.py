"""The discriminator D, that tells real images from generated ones."""

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm


class Discriminator(nn.Module):
    """Strided convolutions with spectral norm; a global and a patch score, and a class-conditional projection.

    The projection (Miyato & Koyama, 2018) makes D ask "a real positive?" or "a real negative?" instead of just "real?".

    Args:
        channels: channels of the convolutions, each of which halves the resolution.
        conditions: number of conditions that D is told: 2 for the class, more for the class within each stratum, 0 for
            none.
    """

    def __init__(self, channels: tuple[int, ...], conditions: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 1
        for outputs in channels:
            layers += [spectral_norm(nn.Conv2d(inputs, outputs, 4, 2, 1)), nn.LeakyReLU(0.2)]
            inputs = outputs
        self.convolutions = nn.Sequential(*layers)
        self.globally = spectral_norm(nn.Linear(inputs, 1))
        self.patchwise = spectral_norm(nn.Conv2d(inputs, 1, 1))
        self.projection = nn.Embedding(conditions, inputs) if conditions else None

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        """Score [B] of x: [B, 1, S, S] with the condition [B], label + 2 * stratum; high means real."""
        features = self.convolutions(x)
        pooled = features.mean((2, 3))
        score: Tensor = self.globally(pooled).squeeze(1) + self.patchwise(features).mean((1, 2, 3))
        if self.projection is not None:
            score = score + (self.projection(label.long()) * pooled).sum(1)
        return score
