"""The one way from a picture's grey levels to the networks' input, in training and, exported, in the server."""

from typing import Literal

import torch
from torch import Tensor, nn

Aspect = Literal["crop", "pad", "stretch"]


class Preprocess(nn.Module):
    """Resize to a square with anti-aliasing, then stretch the grey levels between two percentiles to [-1, 1].

    The percentiles are taken after the resize, so that small burnt-in marks do not set the scale and 8-bit and
    16-bit pictures of the same scene come out alike. The resize is two small matrix products: any runtime has
    them, with any picture size, while anti-aliased resize operators differ between runtimes.

    Attributes:
        size: side S of the square, in pixels.
        lower_percentile: percentile (0 to 100) that becomes -1.
        upper_percentile: percentile (0 to 100) that becomes +1.
        aspect: "crop" keeps the largest centred square, "pad" fills the shorter side up with the darkest level,
            "stretch" scales both sides on their own. Sides are lengths on the patient: pixels need not be square.
    """

    def __init__(self, size: int, lower_percentile: float, upper_percentile: float, aspect: Aspect) -> None:
        super().__init__()
        self.size = size
        self.lower_percentile = lower_percentile
        self.upper_percentile = upper_percentile
        self.aspect = aspect

    def forward(self, image: Tensor, inverted: Tensor, pixel_aspect: Tensor | None = None) -> Tensor:
        """Preprocess films of one size.

        Args:
            image: [B, 1, H, W] grey levels of any finite range.
            inverted: [B], 1 where a high level means dark (DICOM MONOCHROME1), else 0.
            pixel_aspect: [1] height of a film pixel over its width; None for square pixels.

        Returns:
            x: [B, 1, S, S] in [-1, 1].
        """
        return self.stretch(self.resize(image, inverted, pixel_aspect))

    def resize(self, image: Tensor, inverted: Tensor, pixel_aspect: Tensor | None = None) -> Tensor:
        """The films at the size of x, [B, 1, S, S], as grey levels less each film's own mean; high means bright."""
        rows, columns = _extent(image[0, 0, :, 0]), _extent(image[0, 0, 0, :])
        height, width = rows[-1] + 1, columns[-1] + 1
        height_seen, width_seen = self._seen(height, width, pixel_aspect)
        vertical, inside_vertical = self._resampling(rows, height, height_seen)
        horizontal, inside_horizontal = self._resampling(columns, width, width_seen)

        # An image's own mean is taken out first: float32 then resolves 16-bit levels through the products.
        signed = image * (1 - 2 * inverted[:, None, None, None])
        centre = signed.mean((2, 3), keepdim=True)
        resized = vertical @ (signed - centre) @ horizontal.T
        darkest = resized.amin((2, 3), keepdim=True)
        inside = inside_vertical[:, None] * inside_horizontal[None, :]
        return torch.where(inside > 0, resized, darkest)

    def stretch(self, levels: Tensor) -> Tensor:
        """x: [B, 1, S, S] in [-1, 1] from what `resize` gives."""
        low, high = (
            self._percentile(levels.flatten(1), each) for each in (self.lower_percentile, self.upper_percentile)
        )
        span = (high - low)[:, None, None, None]
        # A picture of one level has no contrast to stretch: it becomes mid-grey.
        stretched = 2 * (levels - low[:, None, None, None]) / span.clamp_min(1e-6) - 1
        return torch.where(span > 1e-6, stretched, torch.zeros_like(stretched)).clamp(-1, 1)

    def box(self, image: Tensor, pixel_aspect: Tensor | None = None) -> Tensor:
        """[4] top, left, bottom, right: the part of the film that x covers, in film pixels from the film's top left.

        Beyond the film where "pad" has filled it up.
        """
        height, width = _extent(image[0, 0, :, 0])[-1] + 1, _extent(image[0, 0, 0, :])[-1] + 1
        height_seen, width_seen = self._seen(height, width, pixel_aspect)
        top, left = (height - height_seen) / 2, (width - width_seen) / 2
        return torch.stack([top, left, top + height_seen, left + width_seen])

    def _seen(self, height: Tensor, width: Tensor, pixel_aspect: Tensor | None) -> tuple[Tensor, Tensor]:
        """Rows and columns of the film that x covers: a square, in units of length, unless the film is stretched."""
        if self.aspect == "stretch":
            return height, width
        aspect = torch.ones_like(height) if pixel_aspect is None else pixel_aspect[0]
        length = height * aspect
        side = torch.minimum(length, width) if self.aspect == "crop" else torch.maximum(length, width)
        return side / aspect, side

    def _resampling(self, positions: Tensor, extent: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        """Weights [S, N] of a triangle filter as wide as an output pixel, and [S] 1 where one lies on the picture."""
        scale = seen / self.size
        centres = (torch.arange(self.size, device=positions.device) + 0.5) * scale + (extent - seen) / 2
        distance = (positions[None, :] + 0.5 - centres[:, None]).abs() / scale.clamp_min(1.0)
        weights = (1 - distance).clamp_min(0)
        total = weights.sum(1, keepdim=True)
        inside = ((centres > 0) & (centres < extent)).to(weights.dtype)
        return weights / total.clamp_min(1e-6), inside

    def _percentile(self, levels: Tensor, percentile: float) -> Tensor:
        """Percentile of each row of `levels` [B, S * S], linearly between its neighbours."""
        last = self.size * self.size - 1
        position = percentile / 100 * last
        below = int(position)
        above = min(below + 1, last)
        # Only what lies beyond it on the nearer end is put in order: near an end that takes next to no time.
        if above <= last - below:
            ordered = levels.topk(above + 1, 1, largest=False).values
            lower, upper = ordered[:, below], ordered[:, above]
        else:
            ordered = levels.topk(last - below + 1, 1).values
            lower, upper = ordered[:, last - below], ordered[:, last - above]
        return torch.lerp(lower, upper, position - below)


def _extent(line: Tensor) -> Tensor:
    """Positions 0 to N-1 along `line` [N], as floats."""
    return torch.arange(line.shape[0], device=line.device).to(line.dtype)
