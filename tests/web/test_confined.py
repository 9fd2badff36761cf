"""Files are read in a process of their own, which may take so much and no more."""

import asyncio
import json
import multiprocessing
import os
import struct
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from tests.web.films import SAMPLE

from medxgan.web.decoding import Film, confined, decode
from medxgan.web.decoding.confined import decode_confined, decoded
from medxgan.web.errors import FilmError


def test_a_file_is_read_as_it_is_without_a_process() -> None:
    film, plain = decode_confined(SAMPLE, maximum_pixels=10**6), decode(SAMPLE, maximum_pixels=10**6)
    np.testing.assert_array_equal(film.levels, plain.levels)
    assert (film.low, film.high, film.orientation) == (plain.low, plain.high, plain.orientation)


def test_what_is_wrong_with_a_file_is_told_as_without_a_process() -> None:
    with pytest.raises(FilmError, match="no DICOM, PNG, JPEG or TIFF image"):
        decode_confined(b"no film", maximum_pixels=10**6)


def _opens_a_file(_content: bytes, **_options: object) -> Film:
    Path(__file__).read_bytes()
    return decode(SAMPLE, maximum_pixels=10**6)


def _takes_memory(_content: bytes, **_options: object) -> Film:
    return Film(np.ones(2**32, np.uint8).reshape(2**16, -1), inverted=False, low=0, high=1)


def _ends(_content: bytes, **_options: object) -> Film:
    os._exit(3)


def _never_ends(_content: bytes, **_options: object) -> Film:
    while True:
        time.sleep(1)


def _is_taken_over(answer: bytes, channel: Connection) -> None:
    channel.recv_bytes()
    channel.send_bytes(answer)
    channel.send_bytes(b"0")


def _tells_without_end(channel: Connection, *_: object) -> None:
    _is_taken_over(b"[" * 2**20, channel)


def _tells_no_film(channel: Connection, *_: object) -> None:
    _is_taken_over(b'{"shape": [1, 1], "kind": "|u1", "levels": 3}', channel)


def _tells_other_levels(channel: Connection, *_: object) -> None:
    told = {"shape": [1, 1], "kind": "|S1", "inverted": False, "low": 0, "high": 1}
    _is_taken_over(json.dumps(told).encode(), channel)


def _stops_in_a_message(channel: Connection, *_: object) -> None:
    channel.recv_bytes()
    os.write(channel.fileno(), struct.pack("!i", 1000) + b"{")
    time.sleep(600)


@pytest.fixture(params=[_opens_a_file, _takes_memory, _ends, _never_ends], ids=lambda each: each.__name__)
def harm(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A decoder that does what a file might have one do."""
    monkeypatch.setattr(confined, "WAIT_SECONDS", 2 if request.param is _never_ends else 60)
    monkeypatch.setattr(confined, "DECODER", request.param)


@pytest.mark.usefixtures("harm")
def test_a_file_that_means_harm_ends_its_reader_and_no_other() -> None:
    with pytest.raises(FilmError, match="ends its reader"):
        decode_confined(SAMPLE, maximum_pixels=10**6)


@pytest.mark.parametrize("work", [_tells_without_end, _tells_no_film, _tells_other_levels, _stops_in_a_message])
def test_what_a_reader_tells_that_was_taken_over_harms_nobody(work: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confined, "WAIT_SECONDS", 2 if work is _stops_in_a_message else 60)
    monkeypatch.setattr(confined, "_work", work)
    with pytest.raises(FilmError, match="ends its reader"):
        decode_confined(SAMPLE, maximum_pixels=10**6)


def test_films_that_wait_for_a_place_leave_the_room_its_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confined, "DECODER", _never_ends)
    before = set(multiprocessing.active_children())

    async def bring_many() -> None:
        with ThreadPoolExecutor(2) as threads:
            asyncio.get_running_loop().set_default_executor(threads)
            films = [asyncio.create_task(decoded(SAMPLE, maximum_pixels=10**6)) for _ in range(8)]
            while len(readers := set(multiprocessing.active_children()) - before) < confined.AT_ONCE:
                await asyncio.sleep(0.01)
            async with asyncio.timeout(60):
                await asyncio.to_thread(time.monotonic)
            for film in films:
                film.cancel()  # who waits leaves the queue
            for reader in readers:
                reader.kill()
            await asyncio.gather(*films, return_exceptions=True)

    asyncio.run(bring_many())
    monkeypatch.undo()
    assert decode_confined(SAMPLE, maximum_pixels=10**6).levels.shape == (512, 512)
    assert set(multiprocessing.active_children()) == before


def test_the_main_module_is_not_loaded_for_each_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    main = ModuleType("__main__")
    main.__file__ = str(tmp_path / "main.py")
    Path(main.__file__).write_text(f"open({str(tmp_path / 'loaded')!r}, 'w').close()")
    monkeypatch.setitem(sys.modules, "__main__", main)
    assert decode_confined(SAMPLE, maximum_pixels=10**6).levels.shape == (512, 512)
    assert not (tmp_path / "loaded").exists()
    assert main.__file__ == str(tmp_path / "main.py")
