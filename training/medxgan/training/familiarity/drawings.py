"""Drawn pictures that are no films: what a familiarity measure is fitted against, since foreign images can't be had.

Noise of every grain, gradients, gratings, lines of writing, blank films with little on them, round bodies without an
anatomy, and shapes over each other, which have the statistics of natural photographs (Lee, Mumford, Huang, Int. Journal
of Computer Vision, 2001).
Levels are of any range: `Preprocess.stretch` makes x of them.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor


def drawings(count: int, size: int) -> Tensor:
    """[count, 1, size, size] levels, of all kinds in equal shares; a third are mixtures of two kinds."""
    pictures = _of_all_kinds(count, size)
    other = _of_all_kinds(count, size)
    share = torch.rand(count, 1, 1, 1) * (torch.rand(count, 1, 1, 1) < 1 / 3)
    mixed = pictures.lerp(other, share)
    # Seen through the light fall-off of a lens, or of a lamp.
    return torch.where(torch.rand(count, 1, 1, 1) < 0.15, mixed * (1.2 + _standard(_gradient(count, size)) / 2), mixed)


def _of_all_kinds(count: int, size: int) -> Tensor:
    kinds: list[Callable[[int, int], Tensor]] = [
        _white_noise,
        _coloured_noise,
        _coloured_noise,
        _gradient,
        _grating,
        _shapes,
        _shapes,
        _writing,
        _nearly_blank,
        _bodies,
    ]
    share = -(-count // len(kinds))
    pictures = torch.cat([_standard(kind(share, size)) for kind in kinds])
    return pictures[torch.randperm(len(pictures))[:count]]


def _standard(pictures: Tensor) -> Tensor:
    """Levels from -1 to 1, half of the pictures as negatives."""
    low, high = pictures.amin((1, 2, 3), keepdim=True), pictures.amax((1, 2, 3), keepdim=True)
    sign = 2.0 * (torch.rand(len(pictures), 1, 1, 1) < 0.5) - 1
    return sign * (2 * (pictures - low) / (high - low).clamp_min(1e-6) - 1)


def _between(low: float, high: float, count: int) -> Tensor:
    return low + (high - low) * torch.rand(count, 1, 1, 1)


def _places(size: int) -> tuple[Tensor, Tensor]:
    """Rows and columns [1, 1, S, S] from -1 to 1."""
    line = torch.linspace(-1, 1, size)
    rows, columns = torch.meshgrid(line, line, indexing="ij")
    return rows[None, None], columns[None, None]


def _turned(count: int, size: int) -> tuple[Tensor, Tensor]:
    """Coordinates [count, 1, S, S] along two axes at right angles, turned at random."""
    rows, columns = _places(size)
    angle = _between(0, 2 * torch.pi, count)
    return rows * angle.cos() + columns * angle.sin(), columns * angle.cos() - rows * angle.sin()


def _white_noise(count: int, size: int) -> Tensor:
    """Gaussian noise, or a level with grains of black and white."""
    grains = torch.rand(count, 1, size, size)
    share = 10 ** _between(-2.5, -0.3, count)
    pepper = (grains < share / 2).float() - (grains > 1 - share / 2).float()
    return torch.where(torch.rand(count, 1, 1, 1) < 0.5, torch.randn(count, 1, size, size), pepper)


def _coloured_noise(count: int, size: int) -> Tensor:
    """Noise whose power falls with some power of the frequency, which may differ along the two axes."""
    rows, columns = torch.fft.fftfreq(size)[:, None], torch.fft.rfftfreq(size)[None, :]
    along = 2 ** _between(-1.5, 1.5, count)
    frequency = torch.sqrt(rows**2 * along + columns**2 / along + 1 / size**2)
    spectrum = torch.fft.rfft2(torch.randn(count, 1, size, size)) / frequency ** _between(0.5, 4, count)
    noise: Tensor = torch.fft.irfft2(spectrum, s=(size, size))
    return noise


def _gradient(count: int, size: int) -> Tensor:
    """Light that falls off along a line, or away from a centre."""
    along, across = _turned(count, size)
    shift, across_shift = _between(-0.7, 0.7, count), _between(-0.7, 0.7, count)
    ellipse = (along - shift) ** 2 * 2 ** _between(-1, 1, count) + (across - across_shift) ** 2
    radial = torch.where(
        torch.rand(count, 1, 1, 1) < 0.5, ellipse.sqrt(), torch.exp(-ellipse / _between(0.1, 1, count))
    )
    picture = torch.where(torch.rand(count, 1, 1, 1) < 0.5, along, radial)
    return _bent(picture)


def _bent(pictures: Tensor) -> Tensor:
    """Through a random tone curve."""
    low, high = pictures.amin((1, 2, 3), keepdim=True), pictures.amax((1, 2, 3), keepdim=True)
    curve: Tensor = ((pictures - low) / (high - low).clamp_min(1e-6)) ** (2 ** _between(-1.5, 1.5, len(pictures)))
    return curve


def _grating(count: int, size: int) -> Tensor:
    """Stripes and checkerboards, sharp or soft."""
    along, across = _turned(count, size)
    straight = torch.rand(count, 1, 1, 1) < 0.5
    rows, columns = _places(size)
    along, across = torch.where(straight, rows, along), torch.where(straight, columns, across)
    pitch = 2 ** _between(0, 5, count)
    first = torch.sin(torch.pi * pitch * along + _between(0, 6.3, count))
    second = torch.sin(torch.pi * pitch * across + _between(0, 6.3, count))
    picture = torch.where(torch.rand(count, 1, 1, 1) < 0.5, first * second, first)
    return torch.where(torch.rand(count, 1, 1, 1) < 0.6, picture.sign(), picture)


def _shapes(count: int, size: int, most: int = 40) -> Tensor:
    """Ellipses and boxes of all sizes over each other, each with a shade of its own, some with a texture."""
    picture = 0.5 * _standard(_gradient(count, size)) * torch.rand(count, 1, 1, 1)
    number = 2 ** _between(1, 5.3, count)
    smallest = _between(0.03, 0.3, count)
    texture = _standard(_coloured_noise(count, size)) * 0.3 * torch.rand(count, 1, 1, 1)
    for index in range(most):
        along, across = _turned(count, size)
        x, y = along - _between(-1, 1, count), across - _between(-1, 1, count)
        reach = smallest / (torch.rand(count, 1, 1, 1) + 0.15)
        longer = 2 ** _between(-1.5, 1.5, count)
        box = torch.maximum((x / longer).abs(), (y * longer).abs())
        ellipse = torch.sqrt((x / longer) ** 2 + (y * longer) ** 2)
        inside = torch.where(torch.rand(count, 1, 1, 1) < 0.5, box, ellipse) < reach
        shade = _between(-1, 1, count) + _between(-0.5, 0.5, count) * along
        picture = torch.where(inside & (index < number), shade + texture, picture)
    blurred = F.avg_pool2d(F.pad(picture, (1,) * 4, mode="replicate"), 3, 1)
    return picture.lerp(blurred, torch.rand(count, 1, 1, 1))


def _writing(count: int, size: int) -> Tensor:
    """Lines of dark runs, as a page has from afar."""
    rows = torch.arange(size)[None, None, :, None].float()
    pitch = _between(3, size / 6, count)
    phase = (rows + _between(0, size, count)) / pitch
    on_line = (phase - phase.floor()) < _between(0.4, 0.7, count)
    ink = torch.rand(count, 1, size, size)
    coarse = F.interpolate(torch.rand(count, 1, size, size // 2), (size, size))
    letters = torch.where(torch.rand(count, 1, 1, 1) < 0.5, ink, coarse) < _between(0.4, 0.9, count)
    columns = torch.linspace(0, 1, size)[None, None, None, :]
    margin = _between(0, 0.2, count)
    return -(on_line & letters & (columns > margin) & (columns < 1 - margin)).float()


def _nearly_blank(count: int, size: int) -> Tensor:
    """A film of one level with a marker, an edge, a collimator's opening or a few grains of noise."""
    rows, columns = _places(size)
    top, left = _between(-1, 0.8, count), _between(-1, 0.8, count)
    marker = (rows > top) & (rows < top + _between(0.06, 0.4, count)) & (columns > left)
    marker = marker & (columns < left + _between(0.06, 0.4, count))
    along, _ = _turned(count, size)
    edge = along > _between(-0.8, 0.8, count)
    opening = torch.maximum(rows.abs() / _between(0.3, 0.95, count), columns.abs() / _between(0.3, 0.95, count)) < 1
    disc = (rows - top / 2) ** 2 + (columns - left / 2) ** 2 < _between(0.05, 0.9, count)
    kinds = torch.cat([each.float() for each in (marker, edge, opening, disc)], 1)
    chosen = kinds.gather(1, torch.randint(4, (count, 1, 1, 1)).expand(-1, 1, size, size))
    return chosen + torch.randn(count, 1, size, size) * 10 ** _between(-4, -0.7, count)


def _bodies(count: int, size: int) -> Tensor:
    """One or two round bodies within each other on a dark ground, with a texture or a gradient but no anatomy."""
    rows, columns = _places(size)
    rows, columns = rows - _between(-0.25, 0.25, count), columns - _between(-0.25, 0.25, count)
    turn = _between(-0.3, 0.3, count)
    along, across = rows * turn.cos() + columns * turn.sin(), columns * turn.cos() - rows * turn.sin()
    longer, reach = 2 ** _between(-0.4, 0.6, count), _between(0.4, 1.0, count)
    radius = torch.sqrt((along / longer) ** 2 + (across * longer) ** 2) / reach
    sharpness = 2 ** _between(1, 7, count)
    whole = torch.sigmoid((1 - radius) * sharpness)
    inner = torch.sigmoid((_between(0.3, 0.95, count) - radius) * sharpness)
    texture = torch.where(
        torch.rand(count, 1, 1, 1) < 0.6, _standard(_coloured_noise(count, size)), _standard(_gradient(count, size))
    )
    fill = _between(0.2, 1, count) + _between(0, 0.5, count) * texture
    return whole * fill + _between(-0.6, 0.6, count) * inner + 0.05 * torch.rand(count, 1, 1, 1) * _standard(texture)
