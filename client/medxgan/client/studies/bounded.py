"""Answers of an archive, read up to a bound: requests reads one of any size whole."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import requests


class TooLongAnswer(requests.RequestException):
    """An answer has more bytes than are taken."""


def bound(session: requests.Session, most_bytes: int) -> None:
    """Have a session raise TooLongAnswer for an answer of more than that many bytes, unfolded."""
    session.hooks["response"].append(partial(_bound, most_bytes))


def _bound(most_bytes: int, answer: requests.Response, **_options: object) -> None:
    answer.raw = _Body(answer.raw, most_bytes)


class _Body:
    """The body of an answer, as urllib3 has it."""

    def __init__(self, raw: Any, most_bytes: int) -> None:
        self._raw, self._left = raw, most_bytes

    def stream(self, *arguments: Any, **options: Any) -> Iterator[bytes]:
        """Its parts."""
        for part in self._raw.stream(*arguments, **options):
            self._left -= len(part)
            if self._left < 0:
                self._raw.close()
                raise TooLongAnswer
            yield part

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)
