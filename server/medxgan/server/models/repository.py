"""The models that a server serves."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from medxgan.server.bundle import load_bundle
from medxgan.server.engine.providers import ProviderChoice
from medxgan.server.engine.selection import open_engine
from medxgan.server.errors import BundleError, InvalidRequestError, UnknownModelError
from medxgan.server.model import ServedModel
from medxgan.v1 import explanation_pb2


class ModelRepository:
    """The served models by name and version."""

    def __init__(self, models: Iterable[ServedModel]) -> None:
        self._models: dict[str, dict[int, ServedModel]] = {}
        for model in models:
            description = model.bundle.description
            self._models.setdefault(description.name, {})[int(description.version)] = model

    @classmethod
    def load(cls, folder: Path, provider: ProviderChoice, threads: int, maximum_batch: int) -> "ModelRepository":
        """Load every bundle NAME/VERSION/ of a folder. Files beside them are left alone.

        Raises:
            BundleError: the folder holds no bundle, or one that can't be served.
            UnsupportedError: this installation has not what the provider needs.
        """
        versions = [version for version in sorted(folder.glob("*/*")) if version.is_dir()]
        if not versions:
            raise BundleError(f"{folder}: expected bundles in folders NAME/VERSION, found none")
        bundles = [load_bundle(version) for version in versions]
        return cls(ServedModel(bundle, open_engine(bundle, provider, threads), maximum_batch) for bundle in bundles)

    def __iter__(self) -> Iterator[ServedModel]:
        """The models by name and version."""
        for name in sorted(self._models):
            for version in sorted(self._models[name]):
                yield self._models[name][version]

    def select(self, selector: explanation_pb2.ModelSelector) -> ServedModel:
        """Find a model. No name means the only one, no version the highest.

        Raises:
            InvalidRequestError: no name was given and there are several.
            UnknownModelError: no such model or version is served.
        """
        if selector.name:
            versions = self._models.get(selector.name)
        elif len(self._models) == 1:
            (versions,) = self._models.values()
        else:
            raise InvalidRequestError(
                "model.name", f"expected a name, since several models are served: {self._listed()}"
            )
        if versions is None:
            raise UnknownModelError(f"no model {selector.name} is served; there is {self._listed()}")
        model = versions.get(int(selector.version) if selector.version else max(versions))
        if model is None:
            name = next(iter(versions.values())).identity.name
            raise UnknownModelError(f"no model {name}/{selector.version} is served; there is {self._listed()}")
        return model

    async def start(self) -> None:
        """Warm every model up."""
        for model in self:
            await model.start()

    async def stop(self) -> None:
        """End all compute after the blocks that run."""
        for model in self:
            await model.stop()

    def names(self) -> list[str]:
        """NAME/VERSION of every model."""
        return [f"{name}/{version}" for name in sorted(self._models) for version in sorted(self._models[name])]

    def _listed(self) -> str:
        return ", ".join(self.names())
