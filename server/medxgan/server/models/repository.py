"""The models that a server serves, and the state of every bundle that it knows of."""

import asyncio
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from medxgan.bundle import BundleError
from medxgan.server.errors import InvalidRequestError, UnknownModelError
from medxgan.server.log import get_logger
from medxgan.server.models.folder import ModelFolder
from medxgan.server.models.loading import ModelLoader
from medxgan.server.models.served_model import ServedModel
from medxgan.v1 import explanation_pb2

_log = get_logger(__name__)

WARMING_UP = "the model is warming up"


class ModelState(StrEnum):
    """What becomes of a bundle, by Triton's names."""

    READY = "READY"
    LOADING = "LOADING"
    UNLOADING = "UNLOADING"
    """It takes no more requests, and answers those that it has."""
    UNAVAILABLE = "UNAVAILABLE"


@dataclass(frozen=True)
class ModelStatus:
    """The state of one version of a bundle.

    Attributes:
        name: of the bundle.
        version: of the bundle.
        state: what becomes of it.
        reason: why it is not served, or not as it lies in the folder; else empty.
    """

    name: str
    version: str
    state: ModelState
    reason: str = ""


class ModelRepository:
    """The served models by name and version. Changed from one event loop, and may be read from any thread.

    Attributes:
        default_name: of the model that answers a request which names none. Empty: the only one, where all models have
            one name, else none.
        on_change: called when a model is served from now on, and when it no longer is.

    Args:
        models: that are served from the start.
        default: name of the default.
    """

    def __init__(self, models: Iterable[ServedModel], default: str = "") -> None:
        # Replaced as a whole by every change: who reads it sees one state.
        self._models: dict[str, dict[int, ServedModel]] = {}
        self._notes: dict[tuple[str, int], tuple[ModelState, str]] = {}
        self.default_name = default
        self.on_change: Callable[[ServedModel, bool], None] = lambda model, is_served: None  # noqa: ARG005
        for model in models:
            self.serve(model)

    @classmethod
    def load(
        cls,
        folder: ModelFolder,
        loader: ModelLoader,
        default: str = "",
        *,
        strict: bool = True,
        names: Collection[str] | None = None,
    ) -> "ModelRepository":
        """Load the bundles of a folder.

        Args:
            folder: holds the bundles.
            loader: makes models of them.
            default: name of the model that answers a request which names none; empty: as the folder states.
            strict: whether one bundle that can't be served is an error; else it is logged, and the others are served.
            names: of the bundles that are loaded now, others may be later; None: all.

        Raises:
            BundleError: the folder holds no bundle, one that can't be served, or none that can; or it has none of a
                name that is asked for.
            UnsupportedError: this installation has not what the provider needs.
        """
        bundles = folder.bundles()
        there = {version.parent.name for version in bundles}
        now = there if names is None else set(names)
        if missing := now - there:
            raise BundleError(f"load_models: expected names of {_list(there)}, got {_list(missing)}")
        repository, refused = cls([], default or folder.stated_default()), []
        wanted = [version for version in bundles if version.parent.name in now]
        with ThreadPoolExecutor(loader.replication.openings_at_a_time, "opening") as pool:
            for version, opening in [(version, _opening(pool, loader, version)) for version in wanted]:
                try:
                    repository.serve(opening.result())
                except BundleError as error:
                    if strict:
                        pool.shutdown(wait=False, cancel_futures=True)
                        raise
                    _log.error("bundle_refused", bundle=f"{version.parent.name}/{version.name}", reason=str(error))
                    repository.note(version.parent.name, int(version.name), ModelState.UNAVAILABLE, str(error))
                    refused.append(str(error))
        if refused and not repository.names():
            raise BundleError("; ".join(refused))
        may_be_default = (there - now) | {model.bundle.description.name for model in repository}
        if repository.default_name and repository.default_name not in may_be_default:
            raise BundleError(f"default_model: expected one of {_list(may_be_default)}, got {repository.default_name}")
        return repository

    def __iter__(self) -> Iterator[ServedModel]:
        """The models by name and version."""
        models = self._models
        for name in sorted(models):
            for version in sorted(models[name]):
                yield models[name][version]

    @property
    def default(self) -> ServedModel | None:
        """What answers a request that names no model; None where a model has to be named."""
        versions = self._models.get(self._name_of_default())
        return None if versions is None else versions[max(versions)]

    @property
    def only(self) -> ServedModel | None:
        """The one version of the one model that is served; None where there are several, or none."""
        versions = [version for name in self._models.values() for version in name.values()]
        return versions[0] if len(versions) == 1 else None

    def select(self, selector: explanation_pb2.ModelSelector) -> ServedModel:
        """Find a model. No name means the default, no version the numerically highest.

        Raises:
            InvalidRequestError: no name was given and there is no default.
            UnknownModelError: no such model or version is served.
        """
        name = selector.name or self._name_of_default()
        if not name:
            raise InvalidRequestError("model.name", f"expected the name of a model; there is {self._listed()}")
        versions = self._models.get(name)
        if versions is None:
            raise UnknownModelError(f"no model {name} is served; there is {self._listed()}")
        model = versions.get(int(selector.version) if selector.version else max(versions))
        if model is None:
            raise UnknownModelError(f"no model {name}/{selector.version} is served; there is {self._listed()}")
        return model

    def versions(self, name: str) -> dict[int, ServedModel]:
        """The served models of one name, by version."""
        return self._models.get(name, {})

    def known_versions(self, name: str) -> set[int]:
        """The versions of one name that are served, or whose state is noted."""
        return {*self.versions(name), *(version for noted, version in self._notes if noted == name)}

    def known_names(self) -> set[str]:
        """The names that are served, or of which something is noted."""
        return {*self._models, *(name for name, _ in self._notes)}

    def statuses(self) -> list[ModelStatus]:
        """The state of every version that is known of."""
        found = []
        for name in sorted(self.known_names()):
            for version in sorted(self.known_versions(name)):
                model = self.versions(name).get(version)
                state, reason = self._notes.get((name, version), (ModelState.READY, ""))
                if model is not None:
                    is_ready = model.is_running
                    state = ModelState.READY if is_ready else ModelState.UNAVAILABLE
                    reason = reason if is_ready else WARMING_UP
                found.append(ModelStatus(name, str(version), state, reason))
        return found

    def serve(self, model: ServedModel) -> ServedModel | None:
        """Serve a model from now on.

        Returns:
            The one of its name and version that it takes the place of.
        """
        name, version = _identity(model)
        replaced = self.versions(name).get(version)
        self._models = self._models | {name: self.versions(name) | {version: model}}
        self._notes.pop((name, version), None)
        self.on_change(model, True)
        return replaced

    def withdraw(self, model: ServedModel) -> None:
        """Give a model to no more requests."""
        name, version = _identity(model)
        others = {number: each for number, each in self.versions(name).items() if number != version}
        models = {each: versions for each, versions in self._models.items() if each != name}
        self._models = models | {name: others} if others else models
        self.on_change(model, False)

    def note(self, name: str, version: int, state: ModelState, reason: str = "") -> None:
        """Note the state of a version that is not served, or why it is not served as it lies in the folder."""
        self._notes[name, version] = (state, reason)

    def forget(self, name: str, version: int) -> None:
        """Know nothing of a version that is not served any more."""
        self._notes.pop((name, version), None)

    async def start(self) -> None:
        """Warm every model up that is not: together, so that none refuses requests while another is at it."""
        await asyncio.gather(*(model.start() for model in self if not model.is_running))

    async def stop(self) -> None:
        """End all compute after the blocks that run."""
        for model in self:
            await model.stop()

    def names(self) -> list[str]:
        """NAME/VERSION of every model."""
        return [model.bundle.name for model in self]

    def _name_of_default(self) -> str:
        models = self._models
        return self.default_name or (next(iter(models)) if len(models) == 1 else "")

    def _listed(self) -> str:
        return ", ".join(self.names()) or "none"


def _opening(pool: Executor, loader: ModelLoader, version: Path) -> Future[ServedModel]:
    """A bundle's model, which a thread of the pool opens. The bundle is read here, so that log lines have an order."""
    try:
        return pool.submit(loader.open, loader.read(version))
    except BundleError as error:
        refused: Future[ServedModel] = Future()
        refused.set_exception(error)
        return refused


def _list(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


def _identity(model: ServedModel) -> tuple[str, int]:
    description = model.bundle.description
    return description.name, int(description.version)
