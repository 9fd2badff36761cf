"""Models are loaded, loaded anew and unloaded while the server runs, one at a time."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from medxgan.bundle import BundleError, LoadedBundle
from medxgan.bundle.schema import NAME_PATTERN
from medxgan.server.errors import AuditError, InvalidRequestError, StoppingError, UnknownModelError, UnsupportedError
from medxgan.server.log import get_logger
from medxgan.server.memory import give_back_free_memory
from medxgan.server.models.folder import Fingerprint, ModelFolder
from medxgan.server.models.loading import ModelLoader
from medxgan.server.models.repository import ModelRepository, ModelState
from medxgan.server.models.served_model import ServedModel

_log = get_logger(__name__)

UNLOADED = "unloaded"
"""The reason that Triton gives for a model that was unloaded."""

LONGEST_REASON = 2000
"""Characters that a caller is told of why bundles were refused: a status has to fit into the headers of an answer."""


@dataclass(frozen=True)
class Cause:
    """Why models change.

    Attributes:
        kind: "call", "signal" or "poll".
        caller: who called; empty where nobody did.
    """

    kind: str
    caller: str = ""


Note = Callable[[Cause, str, ServedModel], Awaitable[None]]
"""Called before a change takes effect, with "Load" or "Unload" and the model: what it raises stops the change."""


async def _not_noted(cause: Cause, method: str, model: ServedModel) -> None:
    """Without an audit trail."""


class ModelControl:
    """Changes which models are served. Used from one event loop.

    A model is warm before it takes a request, and takes the place of the one before in one step. That one answers the
    requests that it has, and then its memory is given back. What can't be loaded leaves what is served as it was.

    Args:
        repository: the models.
        folder: of their bundles.
        loader: makes models of bundles.
        states_default: whether the folder's file decides on the default model, and not a setting.
        note: told of every change while the server runs.
    """

    def __init__(
        self,
        repository: ModelRepository,
        folder: ModelFolder,
        loader: ModelLoader,
        *,
        states_default: bool = True,
        note: Note = _not_noted,
    ) -> None:
        self._repository = repository
        self._folder = folder
        self._loader = loader
        self._states_default = states_default
        self._note = note
        self._one_at_a_time = asyncio.Lock()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._seen: dict[str, Fingerprint] = {}
        self._stopping = False

    async def start(self) -> None:
        """Warm up what is served from the start."""
        async with self._one_at_a_time:
            await self._repository.start()

    async def load(self, name: str, caller: str = "") -> None:
        """Serve the wanted versions of a bundle as they lie in the folder, and no others of its name.

        What can be loaded is, also where another version can't. It goes on when its caller does not wait.

        Args:
            name: of the bundle.
            caller: who asks.

        Raises:
            AuditError: it can't be noted.
            InvalidRequestError: naming what can't be loaded, and why.
            UnknownModelError: the folder has no such bundle.
        """
        _check_name(name)
        await self._alone(partial(self._load, name, Cause("call", caller)))

    async def unload(self, name: str, caller: str = "") -> None:
        """Serve no version of a bundle from now on; those requests that have begun are answered.

        Args:
            name: of the bundle.
            caller: who asks.

        Raises:
            AuditError: it can't be noted.
            InvalidRequestError: it can't be the name of a bundle.
            UnknownModelError: neither the server nor the folder knows it.
        """
        _check_name(name)
        await self._alone(partial(self._unload, name, Cause("call", caller)))

    async def names(self) -> list[str]:
        """The names in the folder of which nothing was loaded so far."""
        try:
            found = await asyncio.to_thread(self._folder.names)
        except OSError:
            return []
        return [name for name in found if name not in self._repository.known_names()]

    async def read_again(self, *, changed: bool, loaded: bool, kind: str = "signal") -> None:
        """Serve what lies in the folder now. Raises nothing: what can't be loaded is logged.

        A folder without any bundle changes nothing: it is rather one that is not mounted.

        Args:
            changed: whether to look only at bundles whose files changed since they were last looked at.
            loaded: whether to look only at bundles of names that are served.
            kind: why, as in `Cause`.
        """
        try:
            await self._alone(partial(self._read_again, Cause(kind), changed=changed, loaded=loaded))
        except StoppingError:
            pass
        except Exception as error:  # noqa: BLE001 - whatever it was, the next look may go better
            _log.error("models_not_read", reason=type(error).__qualname__)

    def read_again_soon(self, *, loaded: bool) -> None:
        """As `read_again`, for a caller that does not wait; all bundles are looked at."""
        self._task(self.read_again(changed=False, loaded=loaded))

    async def poll(self, seconds: float) -> None:
        """Look at the folder again and again, until the task is cancelled."""
        while True:
            await asyncio.sleep(seconds)
            await self.read_again(changed=True, loaded=False, kind="poll")

    async def stop(self) -> None:
        """Change nothing any more, and end all compute after the blocks that run."""
        self._stopping = True
        async with self._one_at_a_time:
            for task in (draining := list(self._tasks)):
                task.cancel()
            await asyncio.gather(*draining, return_exceptions=True)
            await self._repository.stop()

    async def _alone(self, change: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Make one change after the other. One that has begun goes on when nobody waits for it."""

        async def make() -> None:
            async with self._one_at_a_time:
                if self._stopping:
                    raise StoppingError("the server is stopping")
                await change()

        await asyncio.shield(self._task(make()))

    async def _load(self, name: str, cause: Cause) -> None:
        wanted = await asyncio.to_thread(self._folder.versions, name)
        if not wanted:
            raise UnknownModelError(f"no bundle {name} is in the folder of models")
        if reasons := await self._take_over(name, wanted, cause):
            raise InvalidRequestError("model_name", "; ".join(reasons)[:LONGEST_REASON])

    async def _unload(self, name: str, cause: Cause) -> None:
        served = self._repository.versions(name)
        known = served or name in self._repository.known_names()
        if not known and not await asyncio.to_thread(self._folder.versions, name):
            raise UnknownModelError(f"no model {name} is served, nor is there a bundle of that name")
        for version, model in served.items():
            await self._withdraw(model, name, version, cause)

    async def _read_again(self, cause: Cause, *, changed: bool, loaded: bool) -> None:
        try:
            found = await asyncio.to_thread(self._folder.fingerprints)
        except OSError as error:
            _log.error("models_not_read", reason=error.strerror)
            return
        if not found:
            _log.error("models_not_read", reason="the folder holds no bundle")
            return
        served = {model.bundle.description.name for model in self._repository}
        names = served if loaded else found.keys() | self._repository.known_names()
        for name in sorted(names):
            if changed and self._seen.get(name) == found.get(name, ()):
                continue
            try:
                await self._take_over(name, await asyncio.to_thread(self._folder.versions, name), cause)
            except AuditError as error:
                _log.error("model_not_loaded", model=name, error=type(error).__qualname__)
                continue  # that it may be noted at the next look is no change of the folder
            except Exception as error:  # noqa: BLE001 - the others are still to be looked at
                _log.error("model_not_loaded", model=name, error=type(error).__qualname__)
            self._seen[name] = found.get(name, ())
        if self._states_default:
            await self._read_default()

    async def _read_default(self) -> None:
        stated = await asyncio.to_thread(self._folder.stated_default)
        if stated and not self._repository.versions(stated):
            _log.error("default_model_not_changed", reason="the file default-model names a model that is not served")
        elif stated != self._repository.default_name:
            self._repository.default_name = stated
            _log.info("default_model_changed", model=stated)

    async def _take_over(self, name: str, wanted: list[Path], cause: Cause) -> list[str]:
        """Serve these versions of a name and no others. Gives the reasons why some are not served as they lie there."""
        reasons = []
        for folder in wanted:
            try:
                await self._take_in(folder, name, int(folder.name), cause)
            except (BundleError, UnsupportedError, OSError) as error:
                reason = str(error) if not isinstance(error, OSError) else f"{name}/{folder.name}: can't be read"
                _log.error("bundle_refused", bundle=f"{name}/{folder.name}", reason=reason)
                self._repository.note(name, int(folder.name), ModelState.UNAVAILABLE, reason)
                reasons.append(reason)
        for version in self._repository.known_versions(name) - {int(folder.name) for folder in wanted}:
            model = self._repository.versions(name).get(version)
            if model is None:
                self._repository.forget(name, version)
            else:
                await self._withdraw(model, name, version, cause)
        return reasons

    async def _take_in(self, folder: Path, name: str, version: int, cause: Cause) -> None:
        served = self._repository.versions(name).get(version)
        if served is None:
            self._repository.note(name, version, ModelState.LOADING)
        else:
            self._repository.forget(name, version)
        try:
            bundle = await asyncio.to_thread(self._loader.read, folder)
            if served is not None and _same(served.bundle, bundle):
                return
            model = await asyncio.to_thread(self._loader.open, bundle)
            await self._warm_up(model, cause)
        except Exception:
            self._repository.note(name, version, ModelState.UNAVAILABLE, "it could not be loaded; the log says more")
            raise
        self._repository.serve(model)
        _log.info("model_loaded", model=bundle.name, bundle_sha256=bundle.sha256)
        if served is not None:
            self._task(self._drain(served))

    async def _warm_up(self, model: ServedModel, cause: Cause) -> None:
        try:
            await model.start()
            await self._note(cause, "Load", model)
        except BaseException:
            await model.stop()
            raise

    async def _withdraw(self, model: ServedModel, name: str, version: int, cause: Cause) -> None:
        await self._note(cause, "Unload", model)
        self._repository.withdraw(model)
        self._repository.note(name, version, ModelState.UNLOADING)
        self._task(self._drain(model)).add_done_callback(lambda _: self._unloaded(name, version))

    def _unloaded(self, name: str, version: int) -> None:
        if version not in self._repository.versions(name):
            self._repository.note(name, version, ModelState.UNAVAILABLE, UNLOADED)

    async def _drain(self, model: ServedModel) -> None:
        """End a model that is out of service, once it has answered its requests."""
        name = model.bundle.name
        try:
            await model.idle()
        finally:
            await model.stop()
        del model
        await asyncio.to_thread(give_back_free_memory)
        _log.info("model_unloaded", model=name)

    def _task(self, change: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(change)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # who waits for it hears of it; nobody has to


def _same(one: LoadedBundle, other: LoadedBundle) -> bool:
    return (one.sha256, one.signed_by) == (other.sha256, other.signed_by)


def _check_name(name: str) -> None:
    if not name:
        raise InvalidRequestError("model_name", "expected the name of a bundle, got none")
    if re.fullmatch(rf"{NAME_PATTERN}\.[a-z_]{{1,63}}", name):
        bundle = name.partition(".")[0]
        raise InvalidRequestError("model_name", f"{name} comes and goes with its bundle, {bundle}")
    if not re.fullmatch(NAME_PATTERN, name):
        raise InvalidRequestError("model_name", "expected the name of a bundle: a to z, 0 to 9 and hyphens, at most 63")
