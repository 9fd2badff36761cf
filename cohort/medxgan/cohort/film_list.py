"""The films of a run, written down once when it begins: whatever becomes of the source, rows stay where they are."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from medxgan.cohort.durable import write_durably
from medxgan.cohort.sources.film import Film

SCHEMA = pa.schema([(name, pa.string()) for name in ("film", "place", "label", "source")])

GROUP_FILMS = 8192
"""Films of a row group, in whole parts: what is held at once to write the list, and to know one part."""


def write_films(path: Path, films: Iterator[Film], part_films: int) -> int:
    """Write them down as they come, in memory for one row group.

    Returns:
        How many there are.
    """
    count = 0

    def write(unfinished: Path) -> None:
        nonlocal count
        with pq.ParquetWriter(unfinished, SCHEMA, compression="zstd") as writer:
            while group := list(islice(films, part_films * _group_parts(part_films))):
                writer.write_table(pa.Table.from_pylist([vars(film.as_text) for film in group], SCHEMA))
                count += len(group)

    write_durably(path, write)
    return count


class FilmList:
    """Reads the list by parts.

    Args:
        path: of the list.
        part_films: films of a part, as it was written with.
    """

    def __init__(self, path: Path, part_films: int) -> None:
        self._path, self._part_films = path, part_films
        self._group = lru_cache(maxsize=2)(self._read_group)

    def part(self, number: int) -> Sequence[Film]:
        """The films of part `number`, from 0."""
        group, place = divmod(number, _group_parts(self._part_films))
        start = place * self._part_films
        return self._group(group)[start : start + self._part_films]

    def _read_group(self, group: int) -> list[Film]:
        with pq.ParquetFile(self._path) as file:
            return [Film(**row) for row in file.read_row_group(group).to_pylist()]


def _group_parts(part_films: int) -> int:
    return max(1, GROUP_FILMS // part_films)
