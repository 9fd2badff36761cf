"""What an archive sends is read up to a bound."""

import pytest
from tests.client.endless import endless_archive

from medxgan.client.studies.archive import Archive
from medxgan.client.studies.errors import TooLongError
from medxgan.client.studies.films import Film


def test_a_film_without_end_is_given_up() -> None:
    with endless_archive() as address:
        [film] = Archive(address, most_bytes=2**20).films("1.2")
        assert isinstance(film, Film)
        with pytest.raises(TooLongError, match="larger film"):
            film.read()
