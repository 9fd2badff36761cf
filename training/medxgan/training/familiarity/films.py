"""Films as they occur, and films that are not as they ought to be: both made of the films that are trained on."""

import torch
import torch.nn.functional as F
from torch import Tensor

from medxgan.training.augmentation import blur, warp


def as_they_occur(x: Tensor) -> Tensor:
    """Levels of films that have to pass: turned, shifted, with borders, markers, another tone, some noise or blur.

    Args:
        x: [B, 1, S, S] in [-1, 1].
    """
    (film,) = warp(x, turn=8, zoom=0.1)
    film = torch.where(_some(x, 0.5), film, x)
    film = _toned(film)
    film = blur(film, 1.0) + 0.08 * torch.rand(len(x), 1, 1, 1) * torch.randn_like(x)
    film = torch.where(_some(x, 0.2), _marked(film), film)
    return torch.where(_some(x, 0.25), _bordered(film), film)


def broken(x: Tensor) -> Tensor:
    """Levels of films that must not pass: upside down, on their side, a negative, in pieces, or a part of one.

    Args:
        x: [B, 1, S, S] in [-1, 1].
    """
    size = x.shape[-1]
    kinds = [
        x.flip(2),
        x.flip(2, 3),
        x.transpose(2, 3),
        x.transpose(2, 3).flip(2),
        -x,
        _pieces(x, 2),
        _pieces(x, 4),
        _part(x, size // 2),
        _part(x, size // 3),
        _small(x, size // 2),
        _pixels_shuffled(x),
    ]
    kind = torch.randint(len(kinds), (len(x),))
    return torch.stack(kinds)[kind, torch.arange(len(x))]


def _some(x: Tensor, share: float) -> Tensor:
    """[B, 1, 1, 1], true for about this share of the rows."""
    return torch.rand(len(x), 1, 1, 1) < share


def _toned(x: Tensor) -> Tensor:
    """Through a mild tone curve."""
    tone: Tensor = ((x.clamp(-1, 1) + 1) / 2) ** (2 ** (torch.rand(len(x), 1, 1, 1) - 0.5))
    return 2 * tone - 1


def _lines(x: Tensor) -> tuple[Tensor, Tensor]:
    """Rows [1, 1, S, 1] and columns [1, 1, 1, S] from 0 to 1."""
    line = (torch.arange(x.shape[-1]) + 0.5) / x.shape[-1]
    return line[None, None, :, None], line[None, None, None, :]


def _marked(x: Tensor) -> Tensor:
    """With a small bright marker somewhere."""
    rows, columns = _lines(x)
    top, left = 0.9 * torch.rand(2, len(x), 1, 1, 1)
    inside = (rows > top) & (rows < top + 0.08) & (columns > left) & (columns < left + 0.08)
    return torch.where(inside, x.amax((1, 2, 3), keepdim=True), x)


def _bordered(x: Tensor) -> Tensor:
    """With borders of one level, black or white, at one or more sides, up to a tenth of the side wide."""
    rows, columns = _lines(x)
    width = 0.1 * torch.rand(4, len(x), 1, 1, 1) * (torch.rand(4, len(x), 1, 1, 1) < 0.6)
    outside = (rows < width[0]) | (rows > 1 - width[1]) | (columns < width[2]) | (columns > 1 - width[3])
    level = torch.where(_some(x, 0.7), x.amin((1, 2, 3), keepdim=True), x.amax((1, 2, 3), keepdim=True))
    return torch.where(outside, level, x)


def _pieces(x: Tensor, number: int) -> Tensor:
    """Cut into number x number pieces, which change places: the same way in all rows."""
    side = x.shape[-1] // number
    pieces = x.unfold(2, side, side).unfold(3, side, side).flatten(2, 3)
    order = torch.randperm(number * number)
    pieces = pieces[:, :, order].view(len(x), 1, number, number, side, side)
    return pieces.transpose(3, 4).reshape(len(x), 1, number * side, number * side)


def _part(x: Tensor, side: int) -> Tensor:
    """A square part, of the same place in all rows, blown up."""
    top, left = (int(torch.randint(0, x.shape[-1] - side + 1, ())) for _ in range(2))
    return F.interpolate(x[:, :, top : top + side, left : left + side], x.shape[-2:], mode="bilinear")


def _small(x: Tensor, side: int) -> Tensor:
    """The whole film at a smaller scale somewhere on a blank one."""
    left, top = (int(torch.randint(0, x.shape[-1] - side + 1, ())) for _ in range(2))
    right, bottom = x.shape[-1] - side - left, x.shape[-1] - side - top
    return F.pad(F.interpolate(x, (side, side), mode="area"), (left, right, top, bottom), value=-1.0)


def _pixels_shuffled(x: Tensor) -> Tensor:
    """The same grey levels in other places."""
    return x.flatten(1)[:, torch.randperm(x[0].numel())].view_as(x)
