"""HTTP to archives: with a time limit, and who asks."""

from pathlib import Path
from typing import Any

import requests
from requests.adapters import HTTPAdapter


class _Timed(HTTPAdapter):
    """An adapter that waits no longer than it is told: requests waits for ever."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        super().__init__()

    def send(self, *arguments: Any, **options: Any) -> requests.Response:
        """Send a request."""
        return super().send(*arguments, **options | {"timeout": self._timeout_s})


def session(user: str | None, password_file: Path | None, timeout_s: float) -> requests.Session:
    """A session for one archive.

    Args:
        user: for basic authentication; None asks without.
        password_file: file with the password; read now.
        timeout_s: seconds for each answer.

    Raises:
        OSError: the file can't be read.
    """
    made = requests.Session()
    # The settings say who asks and where: no proxy, no netrc.
    made.trust_env = False
    for scheme in ("http://", "https://"):
        made.mount(scheme, _Timed(timeout_s))
    if user is not None:
        password = "" if password_file is None else password_file.read_text(encoding="utf-8").strip()
        made.auth = (user, password)
    return made
