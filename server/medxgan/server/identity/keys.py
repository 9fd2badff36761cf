"""The public keys of an issuer of tokens, from a file or an address (RFC 7517)."""

import asyncio
import http.client
import json
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from medxgan.server.errors import IssuerAwayError
from medxgan.server.identity.reloading import Reloading, SecurityFileError
from medxgan.server.log import get_logger

_log = get_logger(__name__)

Keys = Mapping[str, Mapping[str, Any]]
"""JSON Web Keys by key id."""

DOWNLOAD_SECONDS = 5.0
"""Seconds in which an issuer has to answer."""
LIFETIME_SECONDS = 600.0
"""Seconds after which keys are downloaded again, those in force going on until then."""
_MAXIMUM_BYTES = 2**20


class KeySource(Protocol):
    """Where an issuer's keys come from."""

    async def key(self, key_id: str) -> Mapping[str, Any] | None:
        """The key of that id, None where the issuer has none.

        Raises:
            IssuerAwayError: the keys could not be had yet.
        """
        ...


class KeyFile:
    """Keys from a file, which is read again when it changes.

    Raises:
        SecurityFileError: the file can't be used.
    """

    def __init__(self, file: Path) -> None:
        self._keys = Reloading([file], lambda: key_set(file.read_bytes(), str(file)))

    async def key(self, key_id: str) -> Mapping[str, Any] | None:
        """The key of that id, None where the file has none."""
        return self._keys.current().get(key_id)


class KeyAddress:
    """Keys from an address. They are downloaded when the first is wanted, when they are old, and for an unknown id.

    Whoever asks for a key that is there does not wait for a download. One that fails leaves in force what was there.

    Args:
        address: of the key set.
        refresh_seconds: that pass at least between two downloads.
    """

    def __init__(self, address: str, refresh_seconds: float) -> None:
        self._address = address
        self._refresh_seconds = refresh_seconds
        self._keys: Keys | None = None
        self._tried = float("-inf")
        self._reached = True
        self._downloading: asyncio.Task[None] | None = None

    async def key(self, key_id: str) -> Mapping[str, Any] | None:
        """The key of that id, None where the address has none.

        Raises:
            IssuerAwayError: no download has succeeded yet.
        """
        found = self._found(key_id)
        if self._downloading is None and self._is_due(known=found is not None):
            self._downloading = asyncio.create_task(self._download())
        if found is None and self._downloading is not None:
            # Shielded: others wait for it too, and a caller who leaves cancels its own wait.
            await asyncio.shield(self._downloading)
            found = self._found(key_id)
        if self._keys is None:
            raise IssuerAwayError("the keys that tokens are checked with can't be had at the moment")
        return found

    def _found(self, key_id: str) -> Mapping[str, Any] | None:
        return None if self._keys is None else self._keys.get(key_id)

    def _is_due(self, *, known: bool) -> bool:
        # Anybody can name a key that there is not: the issuer must not feel it.
        return time.monotonic() - self._tried >= (LIFETIME_SECONDS if known else self._refresh_seconds)

    async def _download(self) -> None:
        self._tried = time.monotonic()
        try:
            self._keys = key_set(await asyncio.to_thread(_downloaded, self._address), self._address)
            self._reached = True
        except (OSError, http.client.HTTPException, SecurityFileError) as error:
            if self._reached:
                _log.error("keys_not_reloaded", address=self._address, error=type(error).__name__)
            self._reached = False
        finally:
            self._downloading = None


def key_set(content: bytes, source: str) -> Keys:
    """The keys of a JSON Web Key Set that signatures can be checked with, by id; "" for one that has none.

    Raises:
        SecurityFileError: it is no key set.
    """
    try:
        listed = json.loads(content)["keys"]
        # A symmetric key ("oct") would make everybody who can read it an issuer.
        public = [each for each in listed if each["kty"] in ("RSA", "EC", "OKP") and each.get("use", "sig") == "sig"]
        return {str(each.get("kid", "")): each for each in public}
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise SecurityFileError(f"{source}: expected a JSON Web Key Set") from error


def _downloaded(address: str) -> bytes:
    # Without a handler of redirects: these may lead to what the operator did not name, and to what is not encrypted.
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.HTTPDefaultErrorHandler(),
    ):
        opener.add_handler(handler)
    with opener.open(address, timeout=DOWNLOAD_SECONDS) as response:
        content: bytes = response.read(_MAXIMUM_BYTES)
    return content
