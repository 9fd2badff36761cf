"""How a code of the two-branch form lies: coarse z1, fine z1, coarse z2, fine z2."""

import json
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from medxgan.training.networks.generator import FINE_STRIDE
from medxgan.v1 import bundle_pb2


@dataclass(frozen=True)
class CodeParts:
    """The sizes of a code's parts.

    Attributes:
        image_size: side S of the picture.
        coarse: latents of coarse z1 and coarse z2.
        fine: channels of fine z1 and fine z2, each a grid of S / 8 places a side.
    """

    image_size: int
    coarse: tuple[int, int]
    fine: tuple[int, int]

    @classmethod
    def of(cls, description: bundle_pb2.Bundle) -> Self:
        """Those of a bundle.

        Raises:
            ValueError: its generator has another form, or no fine codes.
        """
        stated = json.loads(description.provenance.configuration.get("generator", "{}"))
        form, fine = stated.get("form"), (stated.get("fine_z1", 0), stated.get("fine_z2", 0))
        if form != "two-branch" or not all(fine):
            raise ValueError(
                f"{description.name}/{description.version}: expected a generator of the two-branch form with fine "
                f"codes, found the form {form} with {sum(fine)} channels of them"
            )
        return cls(description.image.height, (stated["z1_size"], stated["z2_size"]), fine)

    @property
    def side(self) -> int:
        """Places of a fine code along each axis."""
        return self.image_size // FINE_STRIDE

    @property
    def lengths(self) -> list[int]:
        """Of coarse z1, fine z1, coarse z2 and fine z2."""
        (z1, z2), (fine_1, fine_2), places = self.coarse, self.fine, self.side**2
        return [z1, fine_1 * places, z2, fine_2 * places]

    @property
    def z1_size(self) -> int:
        """Latents of the anatomy, the first."""
        return sum(self.lengths[:2])

    @property
    def size(self) -> int:
        """All latents, D."""
        return sum(self.lengths)

    def split(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """The coarse codes [B, C] and the grid of the fine ones [B, F, S/8, S/8] of z: [B, D]."""
        z1, fine_1, z2, fine_2 = torch.split(z, self.lengths, 1)
        grid = torch.cat([fine_1, fine_2], 1).reshape(-1, sum(self.fine), self.side, self.side)
        return torch.cat([z1, z2], 1), grid

    def joined(self, coarse: Tensor, grid: Tensor) -> Tensor:
        """The code [B, D] that `split` takes apart."""
        z1, z2 = torch.split(coarse, list(self.coarse), 1)
        fine_1, fine_2 = torch.split(grid, list(self.fine), 1)
        return torch.cat([z1, fine_1.flatten(1), z2, fine_2.flatten(1)], 1)
