"""What an archive sends to a reading room is bounded."""

import asyncio

import pytest
from tests.client.endless import endless_archive

from medxgan.web.archive import StudyArchive
from medxgan.web.errors import FilmError


def test_a_film_without_end_is_none() -> None:
    with endless_archive() as address:
        archive = StudyArchive(address, None, None, film_bytes=1000)
        assert asyncio.run(archive.films("1.2")) == [{"instance": "1.2.3.4", "skipped": ""}]
        with pytest.raises(FilmError, match="more than 1,000 bytes"):
            asyncio.run(archive.film("1.2", "1.2.3.4"))
