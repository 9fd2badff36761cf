"""What the reading room holds at most, and for how long."""

from dataclasses import dataclass, field
from pathlib import Path

MEGABYTE = 1024 * 1024


@dataclass(frozen=True)
class Limits:
    """Bounds of what is held in memory.

    Attributes:
        film_bytes: of one file that comes in.
        film_pixels: of one frame, known from its header before it is decoded.
        films: of one session.
        explanations: of one film; the oldest goes first.
        sessions: at a time.
        held_bytes: of all films and explanations of all sessions together.
        session_seconds: without a request, after which a session ends.
    """

    film_bytes: int = 128 * MEGABYTE
    film_pixels: int = 100_000_000
    films: int = 8
    explanations: int = 12
    sessions: int = 32
    held_bytes: int = 2048 * MEGABYTE
    session_seconds: float = 1800.0

    @property
    def thumbnail_bytes(self) -> int:
        """Of the small pictures of a report's films, beside `held_bytes`: a 64th of it."""
        return self.held_bytes // 64


@dataclass(frozen=True)
class RoomSettings:
    """How the reading room is run.

    Attributes:
        hosts: names under which browsers reach it; a request for another is refused. Empty for any.
        secure: whether browsers speak TLS, with this process or with a proxy before it.
        access_token: what a person shows to come in; empty where nobody is asked for it.
        own_tokens: whether everyone signs in with their own token of the medxgan server, which then hears who asks.
        samples: films that anyone who comes in may open, beside the one that ships.
        folder: of explanations, for the gallery; None for none.
        report: folder of an evaluation's report or a cohort's run; None for none.
        report_films: folder of that report's films; None where they are not at hand.
        gateway: address of the gateway whose films everyone who comes in may open; None for none.
        gateway_token: that it asks for.
        archive: address of the DICOMweb archive whose studies everyone who comes in may open; None for none.
        archive_user: for HTTP's basic authentication there; None asks without.
        archive_password_file: file with that user's password.
    """

    hosts: frozenset[str] = frozenset()
    secure: bool = False
    access_token: str = ""
    own_tokens: bool = False
    samples: tuple[Path, ...] = ()
    folder: Path | None = None
    report: Path | None = None
    report_films: Path | None = None
    gateway: str | None = None
    gateway_token: str = ""
    archive: str | None = None
    archive_user: str | None = None
    archive_password_file: Path | None = None
    limits: Limits = field(default_factory=Limits)

    @property
    def asks_for_token(self) -> bool:
        """Whether nobody comes in without a token."""
        return bool(self.access_token) or self.own_tokens
