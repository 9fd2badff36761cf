"""One film of a cohort, before it is read."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Film:
    """One film.

    Attributes:
        film: what the rows call it: its path as it was given, or its SOP Instance UID.
        place: where it is read from: a path, or study/series/instance of an archive.
        label: what the source says of it; None where it says nothing.
        source: where it comes from, such as the hospital, as the source says; None where it says nothing.
    """

    film: str
    place: str
    label: str | None = None
    source: str | None = None
