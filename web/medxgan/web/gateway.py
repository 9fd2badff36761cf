"""A gateway as this room sees it, over HTTP: the films that it holds, and what the server said of each."""

from typing import Any

import httpx

from medxgan.client.answers import kept_explanation
from medxgan.client.errors import MedxganClientError
from medxgan.client.results import Explanation
from medxgan.web.errors import FilmError, GatewayError, MissingError

TIMEOUT_S = 30.0

FIELDS = ("number", "state", "model", "version", "verdict", "received", "explained")
"""Of a line of its list: nothing that says who the patient is."""


class Gateway:
    """A gateway that `[reading]` lets this room in, by a token.

    Args:
        url: of its `telemetry`.
        token: that it asks for.
        film_bytes: of a film at most.
    """

    def __init__(self, url: str, token: str, film_bytes: int) -> None:
        self._film_bytes = film_bytes
        # The settings say where: no proxy.
        self._client = httpx.AsyncClient(
            base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=TIMEOUT_S, trust_env=False
        )

    async def close(self) -> None:
        """Hang up."""
        await self._client.aclose()

    async def films(self) -> list[dict[str, Any]]:
        """The films that it holds, the last that changed first; raises GatewayError."""
        try:
            lines = (await self._got("/films")).json()
            return [{name: line[name] for name in FIELDS} for line in lines]
        except (ValueError, KeyError, TypeError) as error:
            raise GatewayError("the gateway does not answer as it should") from error

    async def film(self, number: int) -> tuple[bytes, str]:
        """A film's file, and the model that is for it; raises GatewayError, MissingError, FilmError."""
        models = {line["number"]: str(line["model"]) for line in await self.films()}
        if number not in models:
            raise MissingError("the gateway no longer holds this film")
        content = bytearray()
        try:
            async with self._client.stream("GET", f"/films/{number}") as answer:
                _check(answer)
                async for part in answer.aiter_bytes():
                    content += part
                    if len(content) > self._film_bytes:
                        raise FilmError(f"the film has more than {self._film_bytes:,} bytes")
        except httpx.HTTPError as error:
            raise GatewayError("the gateway does not answer") from error
        return bytes(content), models[number]

    async def explanation(self, number: int) -> Explanation | None:
        """What the server said of a film, as the gateway keeps it; None where it keeps nothing; raises GatewayError."""
        try:
            return kept_explanation((await self._got(f"/films/{number}/explanation")).content)
        except MissingError:
            return None
        except MedxganClientError as error:
            raise GatewayError("the gateway does not answer as it should") from error

    async def _got(self, path: str) -> httpx.Response:
        try:
            answer = await self._client.get(path)
        except httpx.HTTPError as error:
            raise GatewayError("the gateway does not answer") from error
        _check(answer)
        return answer


def _check(answer: httpx.Response) -> None:
    if answer.status_code == httpx.codes.UNAUTHORIZED:
        raise GatewayError("the gateway does not let this reading room in: it asks for another token")
    if answer.status_code == httpx.codes.NOT_FOUND:
        raise MissingError("the gateway no longer holds this film, or lets nobody read films")
    if not answer.is_success:
        raise GatewayError(f"the gateway answers {answer.status_code}")
