"""HTTP to archives: nobody but the archive is asked, for no longer, and no more is read, than was said."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter

from medxgan.client.loopback import keeps_films_private


class TooLongAnswer(requests.RequestException):
    """An answer is longer than what is taken."""


class RedirectedError(requests.RequestException):
    """The archive sends us on to where films may not be fetched from."""


def archive_session(
    user: str | None, password_file: Path | None, timeout_s: float, most_bytes: int | None = None
) -> requests.Session:
    """A session for one archive and one thread. REQUESTS_CA_BUNDLE may name the certificates of authorities to trust.

    Args:
        user: for HTTP's basic authentication; None asks without.
        password_file: file with the password; read now.
        timeout_s: seconds for each answer.
        most_bytes: of each answer; None for any number. Asking raises TooLongAnswer where there are more.

    Raises:
        OSError: the file can't be read.
        UnicodeDecodeError: it holds no text.
    """
    session = _Session()
    # Whoever asks says who asks, and where: no proxy of the environment, and no netrc. Whom to trust may be said there.
    session.trust_env = False
    session.verify = os.environ.get("REQUESTS_CA_BUNDLE") or True
    for scheme in ("http://", "https://"):
        session.mount(scheme, _Bounded(timeout_s, most_bytes))
    if user is not None:
        password = "" if password_file is None else password_file.read_text(encoding="utf-8").strip()
        session.auth = (user, password)
    return session


class _Session(requests.Session):
    """A session that follows an archive only within its own address, or to where films may be fetched from."""

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Where an answer sends us on to; requests asks before it goes there."""
        target = super().get_redirect_target(resp)
        if target is not None:
            address = urljoin(resp.url, target)
            if urlsplit(address)[:2] != urlsplit(resp.url)[:2] and not keeps_films_private(address):
                raise RedirectedError
        return target


class _Bounded(HTTPAdapter):
    """An adapter that waits no longer and reads no more than it is told: requests does both for ever."""

    def __init__(self, timeout_s: float, most_bytes: int | None) -> None:
        self._timeout_s, self._most_bytes = timeout_s, most_bytes
        super().__init__()

    def send(self, *arguments: Any, **options: Any) -> requests.Response:
        """Send a request."""
        answer = super().send(*arguments, **options | {"timeout": self._timeout_s})
        if self._most_bytes is not None:
            answer.raw = _BoundedBody(answer.raw, self._most_bytes)
        return answer


class _BoundedBody:
    """The body of an answer, as urllib3 has it."""

    def __init__(self, raw: Any, most_bytes: int) -> None:
        self._raw, self._left = raw, most_bytes

    def stream(self, *arguments: Any, **options: Any) -> Iterator[bytes]:
        for part in self._raw.stream(*arguments, **options):
            self._left -= len(part)
            if self._left < 0:
                self._raw.close()
                raise TooLongAnswer
            yield part

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)
