"""Small pictures of a report's films: as they are looked at, made once, and made no more than is wanted."""

import asyncio
import io
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tests.web.films import SAMPLE
from tests.web.reports import write_evaluation
from tests.web.rooms import Opening, entered

from medxgan.web.decoding import Film
from medxgan.web.decoding.small import small
from medxgan.web.errors import FilmError, MissingError
from medxgan.web.reports.thumbnails import SIDE, Thumbnails


@given(
    st.integers(1, 300), st.integers(1, 300), st.integers(1, 8), st.floats(0.2, 5), st.booleans(), st.integers(0, 65535)
)
def test_a_small_picture_has_the_shape_and_the_grey_of_the_film(
    rows: int, columns: int, orientation: int, aspect: float, inverted: bool, level: int
) -> None:
    levels = np.full((rows, columns), level, np.uint16)
    film = Film(levels, inverted, low=1000, high=50000, orientation=orientation, aspect=aspect)
    picture = small(film, SIDE).levels
    tall, wide = (rows * aspect, columns) if orientation < 5 else (columns / aspect, rows)
    assert max(picture.shape) <= SIDE
    scale = min(1, SIDE / max(tall, wide))
    np.testing.assert_allclose(picture.shape, (max(1, tall * scale), max(1, wide * scale)), atol=0.5)
    share = min(max((level - 1000) / 49000, 0), 1)
    assert np.ptp(picture) == 0
    assert picture[0, 0] == pytest.approx(255 * (1 - share if inverted else share), abs=0.51)


def test_a_small_picture_stands_upright() -> None:
    levels = np.zeros((40, 20), np.uint8)
    levels[:5] = 255
    turned = small(Film(levels, inverted=False, low=0, high=255, orientation=6), SIDE).levels  # its top is to the right
    assert turned.shape == (20, 40)
    assert turned[:, -5:].min() == 255
    assert turned[:, :-6].max() == 0


async def _anybody() -> bool:
    return True


async def _nobody() -> bool:
    return False


def test_a_picture_is_made_once_and_the_oldest_goes() -> None:
    read = []

    def content() -> bytes:
        read.append(1)
        return SAMPLE

    async def asked() -> None:
        thumbnails = Thumbnails(most_bytes=1, maximum_pixels=10**6)
        first = await thumbnails.of("one", content, _anybody)
        assert await thumbnails.of("one", content, _nobody) == first
        assert len(read) == 1
        with pytest.raises(MissingError, match="nobody waits"):
            await thumbnails.of("other", content, _nobody)
        assert len(read) == 1
        for _ in range(2):
            with pytest.raises(FilmError, match="no DICOM"):
                await thumbnails.of("letter", lambda: b"no film", _anybody)
        await thumbnails.of("one", content, _anybody)
        assert len(read) == 2

    asyncio.run(asked())


@pytest.fixture(scope="module")
def visitor(opening: Opening, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[httpx.Client, Path]]:
    """Somebody in a reading room with a report, and the folder of its films."""
    folder, films = tmp_path_factory.mktemp("report"), tmp_path_factory.mktemp("films")
    write_evaluation(folder, {"here.png": {}, "letter.txt": {}, "elsewhere.png": {}})
    (films / "here.png").write_bytes(SAMPLE)
    (films / "letter.txt").write_text("no film")
    with opening(report=folder, report_films=films) as url, entered(url) as reader:
        yield reader, films


def test_films_that_are_at_hand_have_small_pictures(visitor: tuple[httpx.Client, Path]) -> None:
    reader, films = visitor
    here, letter, elsewhere = reader.get("/api/report").json()["rows"]
    shown = reader.get(f"/api/report/{here['id']}/thumbnail")
    assert (shown.status_code, shown.headers["content-type"]) == (200, "image/png")
    assert shown.headers["cache-control"] == "no-store"
    picture = np.asarray(Image.open(io.BytesIO(shown.content))).astype(float)
    assert picture.shape == (SIDE, SIDE)
    expected = np.asarray(Image.open(io.BytesIO(SAMPLE)).resize((SIDE, SIDE), Image.Resampling.BILINEAR)).astype(float)
    assert np.corrcoef(picture.ravel(), expected.ravel())[0, 1] > 0.98
    assert reader.get(f"/api/report/{letter['id']}/thumbnail").status_code == 415
    assert reader.get(f"/api/report/{elsewhere['id']}/thumbnail").status_code == 404
    assert reader.get("/api/films").json() == []  # nothing was opened
    assert httpx.get(reader.base_url.join(f"/api/report/{here['id']}/thumbnail")).status_code == 401
    # Another file of that name is another film.
    Image.new("L", (60, 30), 200).save(films / "here.png")
    changed = reader.get(f"/api/report/{here['id']}/thumbnail").content
    assert Image.open(io.BytesIO(changed)).size == (60, 30)
    (films / "here.png").unlink()
    assert reader.get(f"/api/report/{here['id']}/thumbnail").status_code == 404
