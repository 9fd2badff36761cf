"""The server inside another program: the same path as over a network, without the set-up."""

import asyncio
import threading
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pydantic import ValidationError

from medxgan.bundle import BundleError
from medxgan.server.engine.providers import ProviderChoice
from medxgan.server.errors import MedxganError, UnsupportedError
from medxgan.server.models.repository import ModelRepository
from medxgan.server.services import loaded_models
from medxgan.server.serving import Server
from medxgan.server.settings import ServerSettings, describe

_HOST = "127.0.0.1"


class EmbeddedServer:
    """A server on a free port of the loopback interface, for as long as its context lasts.

    It runs in a thread with an event loop of its own. The settings `MEDXGAN_*` of the environment hold for it, save for
    the arguments here, the address, and those of TLS, identities and Ray: it answers the program that it is part of.
    Leaving the context ends requests that still run.

    Args:
        models: folder that holds the bundles, NAME/VERSION/.
        provider: what runs the gradient steps.
        settings: further ones of `ServerSettings`, which come before those of the environment.

    Raises:
        UnsupportedError: if a setting is not one that the server has; on entering, if this installation has not what
            the provider needs.
        BundleError: on entering, if the folder holds no bundle, or one that can't be served.
    """

    StartError = (MedxganError, BundleError)
    """These errors, for a program that does not import the server by name."""

    def __init__(self, models: Path, provider: ProviderChoice = "auto", **settings: Any) -> None:
        try:
            self._settings = ServerSettings(
                **settings,
                models=models,
                provider=provider,
                address=f"{_HOST}:0",
                tls_certificate=None,
                tls_key=None,
                tls_client_authority=None,
                identities=None,
                ray="",
                shutdown_grace_seconds=0,
            )
        except ValidationError as error:
            raise UnsupportedError(describe(error)) from error
        self._running = ExitStack()
        self._port = 0

    @property
    def address(self) -> str:
        """HOST:PORT while the context lasts."""
        return f"{_HOST}:{self._port}"

    def __enter__(self) -> Self:
        repository = loaded_models(self._settings)
        with ExitStack() as started:
            loop = asyncio.new_event_loop()
            started.callback(loop.close)
            thread = threading.Thread(target=loop.run_forever, name="embedded server")
            thread.start()
            started.callback(thread.join)
            started.callback(loop.call_soon_threadsafe, loop.stop)
            server = asyncio.run_coroutine_threadsafe(_create(self._settings, repository), loop).result()
            started.callback(lambda: asyncio.run_coroutine_threadsafe(server.stop(), loop).result())
            self._port = asyncio.run_coroutine_threadsafe(server.listen(), loop).result()
            asyncio.run_coroutine_threadsafe(server.warm_up(), loop).result()
            self._running = started.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running.close()


async def _create(settings: ServerSettings, repository: ModelRepository) -> Server:
    return Server(settings, repository)
