"""What is held for whom: sessions, their films, and the explanations of each film. In memory, and bounded."""

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from medxgan.client.async_client import AsyncClient
from medxgan.client.results import Explanation
from medxgan.web.decoding import Film
from medxgan.web.errors import FullError, MissingError
from medxgan.web.grey_scale import GreyScale
from medxgan.web.settings import Limits


def new_id() -> str:
    """A name that nobody guesses."""
    return secrets.token_urlsafe(24)


@dataclass(frozen=True, eq=False)
class HeldExplanation:
    """An explanation of a film, what its model calls a positive image, and how grey levels became x."""

    explanation: Explanation
    positive_class: str
    grey: GreyScale | None = None
    id: str = field(default_factory=new_id)

    @property
    def bytes(self) -> int:
        """Roughly what it takes in memory."""
        maps = sum(entry.values.nbytes for entry in self.explanation.maps.values() if entry.values is not None)
        return maps + sum(frame.values.nbytes for frame in self.explanation.trajectory if frame.values is not None)


@dataclass(eq=False)
class HeldFilm:
    """A film that was brought in.

    Attributes:
        content: the file.
        film: the frame of it that is shown.
        model: the model that it is a sample for; empty where it is not known.
        explanations: by id, the oldest first.
    """

    content: bytes
    film: Film
    model: str = ""
    id: str = field(default_factory=new_id)
    explanations: OrderedDict[str, HeldExplanation] = field(default_factory=OrderedDict)

    @property
    def bytes(self) -> int:
        """Roughly what it takes in memory."""
        return len(self.content) + self.film.levels.nbytes + sum(each.bytes for each in self.explanations.values())

    def explanation(self, name: str) -> HeldExplanation:
        """The explanation of that id; raises MissingError."""
        if name not in self.explanations:
            raise MissingError("this explanation is no longer held: run it again")
        return self.explanations[name]


@dataclass(eq=False)
class Session:
    """One browser's films.

    Attributes:
        last_used: on the clock of its `Sessions`.
        client: the connection by which its reader asks; None for the one of the room.
    """

    last_used: float
    client: AsyncClient | None = None
    id: str = field(default_factory=new_id)
    films: OrderedDict[str, HeldFilm] = field(default_factory=OrderedDict)

    def film(self, name: str) -> HeldFilm:
        """The film of that id; raises MissingError, as much for a film of another session."""
        if name not in self.films:
            raise MissingError("this film is no longer held: open it again")
        return self.films[name]


class Sessions:
    """The sessions that there are; one event loop's.

    Args:
        limits: what they may hold.
        clock: seconds.
        on_end: is told of every session that ends.
    """

    def __init__(
        self,
        limits: Limits,
        clock: Callable[[], float] = time.monotonic,
        on_end: Callable[[Session], None] = lambda _session: None,
    ) -> None:
        self._limits, self._clock, self._on_end = limits, clock, on_end
        self._sessions: dict[str, Session] = {}
        self._arriving = 0

    def __len__(self) -> int:
        return len(self._sessions)

    def open(self, client: AsyncClient | None = None) -> Session:
        """A new session; raises FullError where there are as many as may be."""
        self.end_idle()
        if len(self._sessions) >= self._limits.sessions:
            raise FullError("the reading room is full: try again when another reader has left")
        session = Session(self._clock(), client)
        self._sessions[session.id] = session
        return session

    def find(self, name: str) -> Session | None:
        """The session of that id, which is used by this; None where it has ended."""
        self.end_idle()
        session = self._sessions.get(name)
        if session is not None:
            session.last_used = self._clock()
        return session

    def end(self, name: str) -> None:
        """End a session: its films are gone."""
        session = self._sessions.pop(name, None)
        if session is not None:
            self._on_end(session)

    def end_idle(self) -> None:
        """End the sessions that nobody used for too long."""
        earliest = self._clock() - self._limits.session_seconds
        for session in [each for each in self._sessions.values() if each.last_used < earliest]:
            self.end(session.id)

    def end_all(self) -> None:
        """End every session."""
        for name in list(self._sessions):
            self.end(name)

    def check_room(self, session: Session) -> None:
        """Refuse another film where the session has as many as it may."""
        if len(session.films) >= self._limits.films:
            raise FullError(f"there are {len(session.films)} films open: close one first")

    def add_film(self, session: Session, film: HeldFilm) -> None:
        """Hold a film; raises FullError where that is more than may be held."""
        self.check_room(session)
        self._check_bytes(film.bytes)
        session.films[film.id] = film

    def add_explanation(self, film: HeldFilm, explanation: HeldExplanation) -> None:
        """Hold an explanation; the oldest of the film goes where there are too many; raises FullError as `add_film`."""
        leaving = list(film.explanations.values())[: max(0, len(film.explanations) + 1 - self._limits.explanations)]
        self._check_bytes(explanation.bytes - sum(each.bytes for each in leaving))
        for each in leaving:
            del film.explanations[each.id]
        film.explanations[explanation.id] = explanation

    @contextmanager
    def arriving(self, size: int) -> Iterator[None]:
        """Count `size` bytes of a film that is on its way, until it is held; raises FullError as `add_film`."""
        self._check_bytes(size)
        self._arriving += size
        try:
            yield
        finally:
            self._arriving -= size

    def _check_bytes(self, more: int) -> None:
        held = sum(each.bytes for session in self._sessions.values() for each in session.films.values())
        if held + self._arriving + more > self._limits.held_bytes:
            raise FullError("the reading room holds as many films as its memory allows: close some, or try again later")
