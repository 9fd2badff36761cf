"""HTTP to archives: as the client's, and trusting whom the settings name."""

from pathlib import Path

import requests

from medxgan.client.studies.session import archive_session


def session(
    user: str | None, password_file: Path | None, timeout_s: float, most_bytes: int | None = None
) -> requests.Session:
    """A session for one archive; see `archive_session`.

    Raises:
        OSError: the file of the password can't be read.
    """
    made = archive_session(user, password_file, timeout_s, most_bytes)
    made.verify = True  # the environment has no say here
    return made
