"""The encoder E: a first guess of the latent code of an image."""

from torch import Tensor, nn


class Encoder(nn.Module):
    """Strided convolutions and a linear layer.

    Args:
        latents: size of the latent code, z1 and z2 together.
        channels: channels of the convolutions, each of which halves the resolution.
        image_size: side S of the image in pixels.
    """

    def __init__(self, latents: int, channels: tuple[int, ...], image_size: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 1
        for outputs in channels:
            layers += [nn.Conv2d(inputs, outputs, 4, 2, 1, bias=False), nn.BatchNorm2d(outputs), nn.LeakyReLU(0.2)]
            inputs = outputs
        self.convolutions = nn.Sequential(*layers)
        side = image_size // 2 ** len(channels)
        self.project = nn.Linear(inputs * side * side, latents)

    def forward(self, x: Tensor) -> Tensor:
        """Latent code z [B, D] of x: [B, 1, S, S] in [-1, 1]."""
        z: Tensor = self.project(self.convolutions(x).flatten(1))
        return z
