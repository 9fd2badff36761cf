"""One film of a cohort, before it is read."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Film:
    """One film.

    Attributes:
        film: what the rows call it: its path as it was given, or its SOP Instance UID.
        place: where it is read from: a path, or study/series/instance of an archive; None where that is no text.
        label: what the source says of it; None where it says nothing.
        source: where it comes from, such as the hospital, as the source says; None where it says nothing.
    """

    film: str
    place: str | None
    label: str | None = None
    source: str | None = None

    @property
    def as_text(self) -> "Film":
        """The same as it can be written down: a name is bytes, and shows the numbers of those that are no UTF-8."""
        if _is_text(self.film) and (self.place is None or _is_text(self.place)):
            return self
        name = self.film.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        return Film(name, None, self.label, self.source)


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
