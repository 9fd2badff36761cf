"""What drawings are made of and read back by."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from medxgan.client import (
    Explanation,
    MapKind,
)


def changed(explanation: Explanation, kind: MapKind, values: np.ndarray) -> Explanation:
    """The explanation with other values of one map."""
    entry = replace(explanation.maps[kind], values=values.astype(np.float32))
    return replace(explanation, maps={**explanation.maps, kind: entry})


def read(path: Path) -> np.ndarray:
    """The levels of a picture's file."""
    with Image.open(path) as image:
        return np.asarray(image).astype(np.float32)
