"""All that a process needs to explain parts of a run; it goes from one machine to another."""

import asyncio
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medxgan.client.async_client import AsyncClient
from medxgan.cohort.manifest import Run
from medxgan.cohort.part_explainer import DonePart, PartExplainer, Tell
from medxgan.cohort.run_folder import RunFolder, errors_of_the_folder
from medxgan.cohort.sources.archive import Archive
from medxgan.cohort.sources.reading import FilmReader

PARTS_AT_ONCE = 3
"""Parts under way in a process: while one is written, the next two keep the server busy. It bounds the memory."""


@dataclass(frozen=True)
class Job:
    """What to explain, and into which folder.

    Attributes:
        folder: of the run.
        run: what it began with.
        archive: that films are fetched from; None for files.
        maximum_bytes: of a film.
        requests: films that are with a server at once.
    """

    folder: Path
    run: Run
    archive: Archive | None
    maximum_bytes: int
    requests: int

    def explain(self, address: str, arguments: dict[str, Any], parts: Iterable[int], tell: Tell) -> list[DonePart]:
        """Explain parts by a server, in order, a few at a time.

        Raises:
            CohortError: the run can't go on; see `PartExplainer.explain`.
            MedxganClientError: the server can't be had.
        """
        try:
            # Not all that pydicom warns of is a value's form, and all of it quotes films. The filter is one for all
            # threads: those of this run come after it, and are gone before it.
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", module="pydicom")
                return asyncio.run(self._explain(address, arguments, parts, tell))
        except BaseExceptionGroup as group:
            raise _first(group) from group

    async def _explain(
        self, address: str, arguments: dict[str, Any], parts: Iterable[int], tell: Tell
    ) -> list[DonePart]:
        waiting, done = iter(parts), list[DonePart]()
        async with AsyncClient(address, **arguments) as client:
            reader = FilmReader(self.archive, self.maximum_bytes)
            with errors_of_the_folder():
                explainer = PartExplainer(RunFolder(self.folder), self.run, client, reader, self.requests)

            async def work(parts: Iterator[int]) -> None:
                for part in parts:
                    done.append(await explainer.explain(part, tell))

            async with asyncio.TaskGroup() as group:
                for _ in range(PARTS_AT_ONCE):
                    group.create_task(work(waiting))
        return done


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first error of tasks that were ended together: the others were cancelled for it, or say the same."""
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
