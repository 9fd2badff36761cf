"""Healthy heads, drawn from the outside in.

Lengths are in units of the head: its outline is where `radius` is 1, its axes run from -1 to 1. The shapes are signed
distances, negative within, which `_Sketch.inside` turns into how much of a pixel the shape covers.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medxgan.training.data.phantom.noise import Field, smooth_noise

CLEFTS = 13  # sulci around the brain


@dataclass(frozen=True)
class Head:
    """N heads without lesions, before the scanner sees them.

    Attributes:
        levels: float32 [N, S, S], grey levels of the tissue, about 0 to 255.
        tissue: bool [N, S, S], where a lesion can grow.
        gain: float32 [N, S, S], the scanner's uneven sensitivity, about 1.
        noise: float32 [N, S, S], the scanner's noise, in grey levels.
    """

    levels: Field
    tissue: NDArray[np.bool_]
    gain: Field
    noise: Field


def draw_heads(rng: np.random.Generator, count: int, size: int) -> Head:
    """Draws N heads of random pose, shape and brightness on S x S pixels."""
    sketch = _Sketch(rng, count, size)
    skull = sketch.vary(0.84, 0.87)
    depth = skull - sketch.radius
    hollow, plexus = _ventricles(sketch)
    healthy_bright = np.maximum(plexus, _vessels(sketch, depth, skull))

    levels = _tissue(sketch, depth)
    fluid_level = sketch.vary(22.0, 38.0)
    levels += (fluid_level - levels) * np.maximum(hollow, _clefts(sketch, depth))
    levels += (fluid_level - levels) * sketch.inside(depth)
    levels += (sketch.vary(165.0, 220.0) - levels) * healthy_bright
    _cover(sketch, levels, skull)
    return Head(
        levels=levels,
        tissue=(depth > 0.08) & (hollow < 0.2) & (healthy_bright < 0.2),
        gain=(1.0 + 0.08 * sketch.noise(1.0)) * sketch.vary(0.9, 1.05),
        noise=rng.standard_normal((count, size, size), dtype=np.float32) * sketch.vary(2.0, 5.0),
    )


class _Sketch:
    """The coordinates of N heads in random poses, and what the parts are drawn with."""

    def __init__(self, rng: np.random.Generator, count: int, size: int) -> None:
        self._rng, self._count, self._size = rng, count, size
        axis = ((np.arange(size) + 0.5) * 2.0 / size - 1.0).astype(np.float32)  # the picture spans -1 to 1
        right, down = axis[None, :] - self.vary(-0.08, 0.08), axis[:, None] - self.vary(-0.06, 0.06)
        turn, length, width = self.vary(-0.2, 0.2), self.vary(0.78, 0.93), self.vary(0.62, 0.76)
        across, self.along = np.cos(turn) * right + np.sin(turn) * down, np.cos(turn) * down - np.sin(turn) * right

        # The outline: an egg, wider behind, with a few slow bumps.
        self.across = across / (width * (1.0 + 0.1 * self.along))
        self.along = self.along / length
        self.mirrored = np.abs(self.across)
        angle = np.arctan2(self.along, self.across)
        bumps = sum(self.vary(0.0, 0.02) * np.cos(k * angle + self.vary(0.0, 6.3)) for k in (2, 3, 4))
        self.radius = np.hypot(self.across, self.along) / (1.0 + bumps)
        self._pixel = 2.0 / size / width

        # The folds of the cortex: distance to the nearest cleft, which wander about their even places.
        self.wander = self.noise(5.0)
        self.cleft = np.abs(np.sin(0.5 * (CLEFTS * angle + 1.4 * self.wander))) * self.radius * (2.0 / CLEFTS)
        self.cleft_depth = self.vary(0.15, 0.22) + 0.05 * self.noise(4.0)

    def vary(self, low: float, high: float) -> Field:
        """One random number for each slice, float32 [N, 1, 1]."""
        return self._rng.uniform(low, high, (self._count, 1, 1)).astype(np.float32)

    def noise(self, waves: float) -> Field:
        return smooth_noise(self._rng, self._count, self._size, waves)

    def inside(self, distance: Field) -> Field:
        """1 where the distance is negative, 0 where it is positive; the edge takes two pixels."""
        cover: Field = np.clip(0.5 - distance / (2.0 * self._pixel), 0.0, 1.0)
        return cover


def _tissue(sketch: _Sketch, depth: Field) -> Field:
    """White matter; brighter grey matter at the surface, along the clefts, and in the nuclei."""
    white, grey = sketch.vary(84.0, 98.0), sketch.vary(114.0, 132.0)
    surface = sketch.inside(depth - 0.09 - 0.03 * sketch.wander)
    lining = sketch.inside(np.maximum(sketch.cleft - 0.055, depth - sketch.cleft_depth - 0.05))
    putamen = _nucleus(sketch, centre=(0.30, -0.02), half_axes=(0.09, 0.20))
    thalamus = _nucleus(sketch, centre=(0.13, 0.10), half_axes=(0.07, 0.12))
    greyness = np.maximum(surface, lining) + 0.8 * (putamen + thalamus)
    levels: Field = white + (grey - white) * greyness + 4.0 * sketch.noise(10.0) + 5.0 * sketch.noise(1.5)
    return levels


def _nucleus(sketch: _Sketch, centre: tuple[float, float], half_axes: tuple[float, float]) -> Field:
    """A leaning ellipse on either side of the midline."""
    across, along = sketch.mirrored - centre[0], sketch.along - centre[1]
    distance = np.hypot(across / half_axes[0], (along + 0.1 * across) / half_axes[1]) - 1.0
    return sketch.inside(distance * half_axes[0])


def _clefts(sketch: _Sketch, depth: Field) -> Field:
    """Fluid, thinner than a pixel: the sulci, and the fissure between the halves in front and behind."""
    sulci = sketch.inside(np.maximum(sketch.cleft - 0.004, depth - sketch.cleft_depth))
    fissure = sketch.inside(np.maximum(sketch.mirrored - 0.012, sketch.vary(0.40, 0.50) - np.abs(sketch.along)))
    cover: Field = np.maximum(0.7 * sulci, 0.6 * fissure)
    return cover


def _ventricles(sketch: _Sketch) -> tuple[Field, Field]:
    """A pair of bows that part in front and behind, the slit between, and the bright plexus in the hind ends."""
    span, middle = sketch.vary(0.24, 0.42), sketch.vary(-0.12, 0.04)
    reach = (sketch.along - middle) / span
    half_width = sketch.vary(0.035, 0.085) * np.sqrt(np.clip(1.0 - reach**2, 0.0, 1.0))
    bows = np.abs(sketch.mirrored - 0.06 - sketch.vary(0.10, 0.22) * reach**2) - half_width
    slit = np.maximum(sketch.mirrored - 0.015, np.abs(sketch.along - 0.12) - 0.14)
    hollow = np.maximum(sketch.inside(np.where(np.abs(reach) > 1.0, bows + 0.03, bows)), sketch.inside(slit))
    hind = np.hypot(sketch.mirrored - 0.06 - sketch.vary(0.05, 0.12), sketch.along - middle - 0.75 * span)
    return hollow, sketch.inside(hind - sketch.vary(0.03, 0.055))


def _vessels(sketch: _Sketch, depth: Field, skull: Field) -> Field:
    """Bright and healthy: the venous sinus behind, and vessels here and there in the cortex."""
    sinus = np.hypot(sketch.across, 0.8 * (sketch.along - skull + 0.04)) - sketch.vary(0.03, 0.06)
    vessels = 0.06 * (sketch.vary(2.3, 2.9) - sketch.noise(10.0))
    return np.maximum(sketch.inside(sinus), sketch.inside(np.maximum(vessels, depth - 0.35))) * sketch.inside(-depth)


def _cover(sketch: _Sketch, levels: Field, skull: Field) -> None:
    """Lays dark bone around the brain, then scalp, whose fat is the brightest of all, then air."""
    bone = sketch.inside(skull + 0.035 - sketch.radius)
    levels += (sketch.vary(12.0, 30.0) - levels) * bone
    scalp = sketch.inside(sketch.vary(0.91, 0.935) - sketch.radius)
    levels += (sketch.vary(220.0, 245.0) + 8.0 * sketch.noise(1.5) - levels) * scalp
    levels *= sketch.inside(sketch.radius - 1.0)
