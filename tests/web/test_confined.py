"""Files are read in a process of their own, which may take so much and no more."""

import os
import sys
import time
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from tests.web.films import SAMPLE

from medxgan.web.decoding import Film, confined, decode
from medxgan.web.decoding.confined import decode_confined
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


@pytest.fixture(params=[_opens_a_file, _takes_memory, _ends, _never_ends], ids=lambda each: each.__name__)
def harm(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A decoder that does what a file might have one do."""
    monkeypatch.setattr(confined, "WAIT_SECONDS", 5)
    monkeypatch.setattr(confined, "DECODER", request.param)


@pytest.mark.usefixtures("harm")
def test_a_file_that_means_harm_ends_its_reader_and_no_other() -> None:
    with pytest.raises(FilmError, match="ends its reader"):
        decode_confined(SAMPLE, maximum_pixels=10**6)


def test_the_main_module_is_not_loaded_for_each_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    main = ModuleType("__main__")
    main.__file__ = str(tmp_path / "main.py")
    Path(main.__file__).write_text(f"open({str(tmp_path / 'loaded')!r}, 'w').close()")
    monkeypatch.setitem(sys.modules, "__main__", main)
    assert decode_confined(SAMPLE, maximum_pixels=10**6).levels.shape == (512, 512)
    assert not (tmp_path / "loaded").exists()
    assert main.__file__ == str(tmp_path / "main.py")
