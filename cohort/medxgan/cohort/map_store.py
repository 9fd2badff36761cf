"""The maps of a run: a Zarr group with an array [films, S, S] for every map, a chunk of it for every part."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from medxgan.client.geometry import FloatArray
from medxgan.client.results import MapDescription
from medxgan.cohort.durable import synchronise


def create_store(
    path: Path, maps: Sequence[MapDescription], size: tuple[int, int], films: int, part_films: int
) -> None:
    """Make the arrays, without content: a film that could not be explained has none, and reads as NaN.

    Args:
        path: of the group; what is there is replaced.
        maps: which.
        size: rows and columns of x.
        films: number of films.
        part_films: films of a part.
    """
    group = zarr.create_group(path, overwrite=True)
    for entry in maps:
        group.create_array(
            entry.name,
            shape=(films, *size),
            chunks=(min(part_films, films), *size),
            dtype=np.float32,
            fill_value=np.nan,
            dimension_names=("film", "row", "column"),
            attributes={"title": entry.title, "unit": entry.unit},
        )
    for file in path.rglob("zarr.json"):
        synchronise(file)
        synchronise(file.parent)


class MapStore:
    """Reads and writes the maps of a part.

    Args:
        path: of the group.
        part_films: films of a part.
    """

    def __init__(self, path: Path, part_films: int) -> None:
        self._path, self._part_films = path, part_films
        self._group = zarr.open_group(path, mode="r+")

    def write(self, part: int, maps: Mapping[str, FloatArray]) -> None:
        """Write the maps of a part, by name, [films of the part, S, S]; on return they are on the disk."""
        for name, values in maps.items():
            array = self._array(name)
            start = part * self._part_films
            array[start : start + len(values)] = values
            # Of a part without a map nothing is written.
            chunk = self._path / name / "c" / str(part) / "0" / "0"
            for path in (chunk, *chunk.parents[:4]):
                if path.exists():
                    synchronise(path)

    def read(self, part: int, name: str) -> FloatArray:
        """The map `name` of a part's films, [films of the part, S, S]; NaN where there is none."""
        start = part * self._part_films
        return np.asarray(self._array(name)[start : start + self._part_films], np.float32)

    def film(self, row: int, name: str) -> FloatArray:
        """The map `name` of one film, [S, S]; NaN where there is none."""
        return np.asarray(self._array(name)[row], np.float32)

    def _array(self, name: str) -> zarr.Array[Any]:
        array = self._group[name]
        if not isinstance(array, zarr.Array):
            raise TypeError(f"expected an array {name}, found a group")
        return array


def sweep(path: Path) -> None:
    """Delete what a run that was killed left half-written; only where nobody writes."""
    for left_over in path.glob("*/c/*/*/*.partial"):
        left_over.unlink()
