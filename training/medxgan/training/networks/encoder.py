"""The encoder E: a first guess of the latent code of an image."""

import torch
from torch import Tensor, nn

from medxgan.training.networks.generator import FINE_STRIDE, Generator, TwoBranchGenerator
from medxgan.training.networks.masked_generator import MaskedGenerator


class Encoder(nn.Module):
    """Strided convolutions; the last give the coarse codes, those at an eighth of the resolution the fine ones.

    Args:
        generator: whose latent code is to be found.
        channels: channels of the convolutions, each of which halves the resolution.
        parts: lengths of coarse and fine z1 and of coarse and fine z2, if not the generator's.
    """

    def __init__(self, generator: Generator, channels: tuple[int, ...], parts: list[int] | None = None) -> None:
        super().__init__()
        z1, fine_z1, z2, fine_z2 = parts or _parts(generator)
        layers: list[nn.Module] = []
        inputs = 1
        for outputs in channels:
            convolution = nn.Conv2d(inputs, outputs, 4, 2, 1, bias=False)
            layers.append(nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.LeakyReLU(0.2)))
            inputs = outputs
        self.before = nn.Sequential(*layers[:3])
        self.after = nn.Sequential(*layers[3:])
        side = generator.image_size // 2 ** len(channels)
        self.project = nn.Linear(inputs * side * side, z1 + z2)
        self.coarse = [z1, z2]
        places = (generator.image_size // FINE_STRIDE) ** 2
        self.fine = [fine_z1 // places, fine_z2 // places]
        self.context: nn.Module = nn.Identity()
        self.detail = nn.Conv2d(channels[2], sum(self.fine), 3, 1, 1) if sum(self.fine) else None

    def forward(self, x: Tensor) -> Tensor:
        """Latent code z [B, D] of x: [B, 1, S, S] in [-1, 1]."""
        eighth = self.before(x)
        coarse: Tensor = self.project(self.after(eighth).flatten(1))
        if self.detail is None:
            return coarse
        z1, z2 = torch.split(coarse, self.coarse, 1)
        fine_1, fine_2 = torch.split(self.detail(self.context(eighth)), self.fine, 1)
        return torch.cat([z1, fine_1.flatten(1), z2, fine_2.flatten(1)], 1)


def _parts(generator: Generator) -> list[int]:
    """Lengths of coarse and fine z1 and of coarse and fine z2."""
    if isinstance(generator, TwoBranchGenerator | MaskedGenerator):
        return generator.parts
    return [generator.z1_size, 0, generator.z2_size, 0]
