"""A film as a small picture: as a person looks at it, by the window that it comes with."""

import numpy as np
from PIL import Image

from medxgan.web.decoding import Film
from medxgan.web.upright import upright

_FINER = 4
"""Times as fine as the small picture, what it is made of is at least."""


def small(film: Film, side: int) -> Film:
    """A film upright, with square pixels, of at most `side` rows and columns: uint8, from black to white."""
    levels = upright(film.levels, film.orientation)
    aspect = film.aspect if film.orientation < 5 else 1 / film.aspect
    rows, columns = levels.shape
    scale = min(1.0, side / max(rows * aspect, columns))
    size = max(1, round(columns * scale)), max(1, round(rows * aspect * scale))
    step = max(1, int(1 / (scale * _FINER)))
    shown = (levels[::step, ::step].astype(np.float32) - film.low) / (film.high - film.low)
    if film.inverted:
        shown = 1 - shown
    picture = Image.fromarray(np.ascontiguousarray(shown, np.float32)).resize(size, Image.Resampling.BILINEAR)
    return Film((np.clip(np.asarray(picture), 0, 1) * 255).round().astype(np.uint8), inverted=False, low=0, high=255)
