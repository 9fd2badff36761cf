"""Small pictures of a report's films, kept while there is place for them."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from io import BytesIO

from PIL import Image

from medxgan.web.decoding.confined import decode_confined
from medxgan.web.errors import FilmError, MissingError

SIDE = 96
"""Rows and columns at most: two for each pixel of the page, for fine screens."""


class Thumbnails:
    """Small pictures by what they are of. One is made at a time: who opens a film does not wait for a table of them.

    Args:
        most_bytes: that are kept; what was not asked for the longest goes first.
        maximum_pixels: of a film.
    """

    def __init__(self, most_bytes: int, maximum_pixels: int) -> None:
        self._most_bytes, self._maximum_pixels = most_bytes, maximum_pixels
        self._turn = asyncio.Semaphore(1)
        self._kept: OrderedDict[Hashable, bytes | str] = OrderedDict()  # a text says why there is none
        self._bytes = 0

    async def of(self, film: Hashable, content: Callable[[], bytes], wanted: Callable[[], Awaitable[bool]]) -> bytes:
        """A film's small picture as PNG.

        Args:
            film: says which it is, and in which state its file.
            content: reads the file, in a thread.
            wanted: whether anybody still waits for it, when its turn has come.

        Raises:
            FilmError: the file is no film that can be shown.
            MissingError: the film is not at hand, or nobody waits.
        """
        if film not in self._kept:
            async with self._turn:
                if film not in self._kept:
                    if not await wanted():
                        raise MissingError("nobody waits for this picture any more")
                    self._keep(film, await asyncio.to_thread(self._made, content))
        self._kept.move_to_end(film)
        found = self._kept[film]
        if isinstance(found, str):
            raise FilmError(found)
        return found

    def _made(self, content: Callable[[], bytes]) -> bytes | str:
        try:
            film = decode_confined(content(), maximum_pixels=self._maximum_pixels, side=SIDE)
        except FilmError as error:
            return str(error)
        picture = BytesIO()
        Image.fromarray(film.levels).save(picture, "PNG")
        return picture.getvalue()

    def _keep(self, film: Hashable, made: bytes | str) -> None:
        self._kept[film] = made
        self._bytes += _size(made)
        while len(self._kept) > 1 and self._bytes > self._most_bytes:  # the last one stays, whatever its size
            self._bytes -= _size(self._kept.popitem(last=False)[1])


def _size(kept: bytes | str) -> int:
    """Roughly what it takes in memory, with what it is kept by."""
    return 500 + len(kept)
