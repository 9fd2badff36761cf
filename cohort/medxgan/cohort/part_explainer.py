"""One part of a run: its films explained, its maps and rows written. Every engine does it this way."""

import asyncio
import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from medxgan.client.async_client import AsyncClient
from medxgan.client.errors import (
    DeadlineExceededError,
    InvalidRequestError,
    MedxganClientError,
    ServerFaultError,
    UnsupportedError,
)
from medxgan.client.geometry import FloatArray
from medxgan.client.images import Image
from medxgan.client.results import Explanation
from medxgan.cohort.columns import schema
from medxgan.cohort.errors import DifferentRunError, FilmError
from medxgan.cohort.manifest import Run
from medxgan.cohort.rows import Row, error_part, explanation_part, film_part
from medxgan.cohort.run_folder import RunFolder, errors_of_the_folder
from medxgan.cohort.sources.film import Film
from medxgan.cohort.sources.reading import FilmReader

TRIES = 2
"""Times that a film is asked for whose explanation ended by a fault of the server, before that is its row."""

CODES = (
    (InvalidRequestError, "invalid"),
    (UnsupportedError, "unsupported"),
    (ServerFaultError, "server_fault"),
    (DeadlineExceededError, "deadline_exceeded"),
)
"""What the answer to one film may be, and not to all: the rest ends the run."""


Tell = Callable[[bool], None]
"""Hears of every film that is done, and whether it could be explained."""


@dataclass(frozen=True)
class DonePart:
    """What became of a part: its films, and how many of them have an error for an explanation."""

    part: int
    films: int
    failed: int


class PartExplainer:
    """Explains parts, from one event loop.

    Args:
        folder: of the run.
        run: what it began with.
        client: of the server.
        reader: of the films.
        requests: films that are with the server at once.
    """

    def __init__(self, folder: RunFolder, run: Run, client: AsyncClient, reader: FilmReader, requests: int) -> None:
        self._folder, self._run, self._client, self._reader = folder, run, client, reader
        self._films, self._maps = folder.film_list(run), folder.map_store(run)
        manifest = run.manifest
        self._schema = schema(manifest.maps, manifest.checks, region=manifest.region is not None)
        # Waiters are let in in the order in which they came.
        self._places = asyncio.Semaphore(requests)

    async def explain(self, part: int, tell: Tell) -> DonePart:
        """Explain the films of a part, and write it; `tell` hears of every film.

        Raises:
            MedxganClientError: the server can't be had.
            DifferentRunError: another model answers than the one that the run began with.
            SourceError: the archive does not answer.
            RunFolderError: the folder can't be written to.
        """
        films = await asyncio.to_thread(self._films.part, part)
        first = part * self._run.manifest.part_films
        maps: dict[str, FloatArray] = {}
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._place_film(first + place, film, place, len(films), maps, tell))
                for place, film in enumerate(films)
            ]
        rows = [task.result() for task in tasks]
        await asyncio.to_thread(self._write, part, rows, maps)
        return DonePart(part, len(rows), sum(row.get("error_code") is not None for row in rows))

    def _write(self, part: int, rows: list[Row], maps: dict[str, FloatArray]) -> None:
        # Maps first: a part is done where its rows are.
        with errors_of_the_folder():
            self._maps.write(part, maps)
        self._folder.finish_part(part, pa.Table.from_pylist(rows, self._schema))

    async def _place_film(
        self, number: int, film: Film, place: int, films: int, maps: dict[str, FloatArray], tell: Tell
    ) -> Row:
        """The row of one film; its maps go to their place among those of the part."""
        async with self._places:
            row, explanation = await self._explain_film(number, film)
        if explanation is not None:
            for kind, entry in explanation.maps.items():
                values = entry.array()
                if kind.value not in maps:
                    maps[kind.value] = np.full((films, *values.shape), np.nan, np.float32)
                maps[kind.value][place] = values
        tell(explanation is not None)
        return row

    async def _explain_film(self, number: int, film: Film) -> tuple[Row, Explanation | None]:
        sha256, size, began = None, None, time.perf_counter()
        try:
            content = await asyncio.to_thread(self._reader.read, film)
            read_ms = 1000 * (time.perf_counter() - began)
            sha256, size = hashlib.sha256(content).hexdigest(), len(content)
            explanation = await self._ask(content)
        except FilmError as error:
            return {**film_part(number, film, sha256, size), **error_part(error)}, None
        manifest = self._run.manifest
        row: dict[str, Any] = {
            **film_part(number, film, sha256, size),
            **explanation_part(explanation, manifest.classes, manifest.asked_region),
            "read_ms": read_ms,
        }
        return row, explanation

    async def _ask(self, content: bytes) -> Explanation:
        manifest = self._run.manifest
        for remaining in reversed(range(TRIES)):
            try:
                explanation = await self._client.explain(
                    Image(content),
                    model=manifest.model,
                    version=manifest.version,
                    maps=manifest.kinds,
                    settings=manifest.asked_settings,
                )
            except MedxganClientError as error:
                code = next((code for kind, code in CODES if isinstance(error, kind)), None)
                if code is None or _is_of_every_film(error):
                    raise
                if remaining and code in ("server_fault", "deadline_exceeded"):
                    continue
                raise _film_error(code, error) from error
            if explanation.model.bundle_sha256 != manifest.bundle_sha256:
                now = explanation.model.bundle_sha256
                raise DifferentRunError([f"bundle_sha256 began as {manifest.bundle_sha256!r}, and is {now!r} now"])
            return explanation
        raise AssertionError("unreachable")


def _is_of_every_film(error: MedxganClientError) -> bool:
    """Whether it is the run's settings that are wrong, and no film."""
    return isinstance(error, InvalidRequestError) and error.field != "" and not error.field.startswith("image")


def _film_error(code: str, error: MedxganClientError) -> FilmError:
    if isinstance(error, InvalidRequestError):
        return FilmError(code, error.field or "image", error.description)
    # The text names the fault by an id that is another in every run.
    text = "the server failed; its log tells why" if isinstance(error, ServerFaultError) else str(error)
    return FilmError(code, "image", text)
