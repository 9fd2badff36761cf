"""What a reading room may have of a gateway: which films there are, a film's file, and what the server said of it."""

import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from medxgan.gateway.journal.files import FileStore
from medxgan.gateway.journal.journal import Journal
from medxgan.gateway.journal.records import FilmRecord, State

MOST_FILMS = 500
"""That are listed, the last that changed first."""

_JSON, _BYTES = "application/json", "application/octet-stream"
_NOT_FOUND = (HTTPStatus.NOT_FOUND, "text/plain; charset=utf-8", b"expected /films, /films/N or /films/N/explanation\n")

Answer = tuple[HTTPStatus, str, bytes]


@dataclass(frozen=True)
class Reading:
    """Answers who shows the token.

    Attributes:
        token: that a reading room shows.
        journal: that knows of the films.
        films: their files.
        answers: what the server said of each, under the name of its file.
    """

    token: str
    journal: Journal
    films: FileStore
    answers: FileStore

    def answer(self, path: str, shown: str) -> Answer:
        """Answer a path below /films.

        Args:
            path: "/films", "/films/N" or "/films/N/explanation".
            shown: the header Authorization.
        """
        if not hmac.compare_digest(shown.encode(), f"Bearer {self.token}".encode()):
            return HTTPStatus.UNAUTHORIZED, "text/plain; charset=utf-8", b"expected the token of the gateway\n"
        match path.split("/")[2:]:
            case []:
                known = self.journal.films((State.RECEIVED, State.EXPLAINED, State.DELIVERED, State.FAILED), MOST_FILMS)
                lines = [self._line(film) for film in known if film.file is not None]
                return HTTPStatus.OK, _JSON, json.dumps(lines).encode()
            case [number] if number.isdigit():
                return self._file(self.films, number)
            case [number, "explanation"] if number.isdigit():
                return self._file(self.answers, number)
            case _:
                return _NOT_FOUND

    def _line(self, film: FilmRecord) -> Mapping[str, object]:
        """Nothing that says who the patient is: a film is called by its number."""
        return {
            "number": film.id,
            "state": film.state.value,
            "model": film.model,
            "version": film.version,
            "verdict": film.verdict,
            "received": film.received,
            "explained": self.answers.path(film.file or "").is_file(),
        }

    def _file(self, store: FileStore, number: str) -> Answer:
        try:
            film = self.journal.film(int(number))
            return HTTPStatus.OK, _BYTES, store.path(film.file or "").read_bytes()
        except (LookupError, OSError, OverflowError):
            return HTTPStatus.NOT_FOUND, "text/plain; charset=utf-8", b"the gateway no longer holds it\n"


def read_token(file: Path) -> str:
    """The token in a file.

    Raises:
        ValueError: there is none.
    """
    token = file.read_text(encoding="ascii").strip()
    if not token:
        raise ValueError(f"{file}: expected a token")
    return token
