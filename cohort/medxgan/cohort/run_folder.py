"""The folder of a run: how it begins, how it goes on, and what is done of it.

run.json          what the run began with; written last of what begins it
films.parquet     the films, as they were listed
rows/             part-000000.parquet and so on: a part is done where its file is
maps.zarr/        an array for every map, a chunk for every part
report.html       of all rows, when all are there
"""

import fcntl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from medxgan.client.results import MapDescription
from medxgan.cohort.durable import UNFINISHED, synchronise, write_durably
from medxgan.cohort.errors import DifferentRunError, RunFolderError, SourceError
from medxgan.cohort.film_list import FilmList, write_films
from medxgan.cohort.manifest import Manifest, Run
from medxgan.cohort.map_store import MapStore, create_store, sweep
from medxgan.cohort.sources.film import Film

OWN = frozenset({"run.json", "films.parquet", "rows", "maps.zarr", "report.html", "lock"})
"""All that a run puts into its folder."""


@contextmanager
def errors_of_the_folder() -> Iterator[None]:
    """Say in words what keeps a run from its folder: a full disk, a file in its place.

    Raises:
        RunFolderError: in place of an OSError.
    """
    try:
        yield
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise RunFolderError(f"--out: expected a folder that can be written to: {why}") from error


class RunFolder:
    """Where everything of a run lies.

    Args:
        path: of the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.manifest, self.films, self.rows = path / "run.json", path / "films.parquet", path / "rows"
        self.maps, self.report = path / "maps.zarr", path / "report.html"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Make the folder, and keep other commands out of it while the context lasts; a killed one holds nothing.

        Raises:
            RunFolderError: another command works there, it holds what is no run's, or it can't be written to.
        """
        with errors_of_the_folder():
            self.path.mkdir(parents=True, exist_ok=True)
            foreign = sorted(entry.name for entry in self.path.iterdir() if not _is_own(entry.name))
            if foreign:
                raise RunFolderError(
                    f"--out: expected an empty folder or that of a run, found {len(foreign)} other names"
                )
            lock = (self.path / "lock").open("a")
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise RunFolderError("--out: another command works in this folder") from error
            except OSError as error:
                raise RunFolderError(f"--out: it can't be locked: {error.strerror}") from error
            yield

    @errors_of_the_folder()
    def begun(self) -> Run | None:
        """The run that has begun here; None where none has.

        Raises:
            RunFolderError: it can't be told how it began.
        """
        return Run.read(self.manifest) if self.manifest.exists() else None

    @errors_of_the_folder()
    def begin_or_continue(
        self,
        manifest: Manifest,
        films: Callable[[], Iterator[Film]],
        maps: Sequence[MapDescription],
        size: tuple[int, int],
    ) -> Run:
        """The run of this folder: the one that is there, where it began with the same; else a new one.

        Args:
            manifest: what is asked for now.
            films: lists them, where the run is new.
            maps: the maps of the manifest.
            size: rows and columns of x.

        Raises:
            DifferentRunError: it began otherwise.
            RunFolderError: it can't be told how it began, or the folder can't be written to.
            SourceError: there are no films.
        """
        for left_over in (*self.path.glob(f"*{UNFINISHED}"), *self.rows.glob(f"*{UNFINISHED}")):
            left_over.unlink()
        if (run := self.begun()) is not None:
            if differences := run.manifest.differences(manifest):
                raise DifferentRunError(differences)
            sweep(self.maps)
            return run
        if any(self.rows.glob("*.parquet")):
            raise RunFolderError(f"--out: there are rows, and no {self.manifest.name} that says what they began with")
        run = Run(manifest, write_films(self.films, films(), manifest.part_films))
        if not run.films:
            raise SourceError("SOURCE: there is no film in it")
        self.rows.mkdir(exist_ok=True)
        create_store(self.maps, maps, size, run.films, manifest.part_films)
        synchronise(self.path)
        run.write(self.manifest)
        return run

    def part_file(self, part: int) -> Path:
        """Where the rows of a part are, once it is done."""
        return self.rows / f"part-{part:06}.parquet"

    def counts(self, part: int) -> tuple[int, int]:
        """Films of a part that is done, and how many of them have an error for an explanation."""
        errors = pq.read_table(self.part_file(part), columns=["error_code"])["error_code"]
        return len(errors), len(errors) - errors.null_count

    def open_parts(self, run: Run) -> list[int]:
        """The parts that are still to be done, in order."""
        return [part for part in range(run.parts) if not self.part_file(part).exists()]

    def film_list(self, run: Run) -> FilmList:
        """The films of the run."""
        return FilmList(self.films, run.manifest.part_films)

    def map_store(self, run: Run) -> MapStore:
        """The maps of the run."""
        return MapStore(self.maps, run.manifest.part_films)

    @errors_of_the_folder()
    def finish_part(self, part: int, rows: pa.Table) -> None:
        """Write the rows of a part, the maps of which are on the disk: from then on it is done."""
        write_durably(self.part_file(part), partial(pq.write_table, rows, compression="zstd"))


def _is_own(name: str) -> bool:
    return name in OWN or name.endswith(UNFINISHED)
