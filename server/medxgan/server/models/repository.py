"""The models that a server serves."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from medxgan.bundle import BundleError, load_bundle
from medxgan.bundle.schema import NAME_PATTERN, VERSION_PATTERN
from medxgan.server.engine.replication import Replication, open_engines
from medxgan.server.errors import InvalidRequestError, UnknownModelError
from medxgan.server.explanation.opening import reduction_of
from medxgan.server.log import get_logger
from medxgan.server.models.admission import ModelCapacity
from medxgan.server.models.served_model import ServedModel
from medxgan.v1 import explanation_pb2

_log = get_logger(__name__)

DEFAULT_MODEL_FILE = "default-model"
"""File beside the bundles that holds the name of the model which answers a request that names none."""


class ModelRepository:
    """The served models by name and version.

    Args:
        models: at least one.
        default: name of the model that answers a request which names none. Empty: the only one, where all models have
            one name, else none.

    Raises:
        BundleError: no model has the default's name.
    """

    def __init__(self, models: Iterable[ServedModel], default: str = "") -> None:
        self._models: dict[str, dict[int, ServedModel]] = {}
        for model in models:
            description = model.bundle.description
            self._models.setdefault(description.name, {})[int(description.version)] = model
        if default and default not in self._models:
            raise BundleError(f"default_model: expected one of {', '.join(sorted(self._models))}, got {default}")
        self._default = default or (next(iter(self._models)) if len(self._models) == 1 else "")

    @classmethod
    def load(
        cls,
        folder: Path,
        replication: Replication,
        capacity: ModelCapacity,
        default: str = "",
        *,
        strict: bool = True,
    ) -> "ModelRepository":
        """Load every bundle NAME/VERSION/ of a folder. What is no such folder is left alone, with a log line.

        Args:
            folder: holds the bundles.
            replication: what runs each model.
            capacity: how much each model takes on.
            default: name of the model that answers a request which names none; empty: as the folder's file
                `default-model` says, if there is one.
            strict: whether one bundle that can't be served is an error; else it is logged, and the others are served.

        Raises:
            BundleError: the folder holds no bundle, one that can't be served, or none that can; or no model has the
                default's name.
            UnsupportedError: this installation has not what the provider needs.
        """
        versions = bundle_folders(folder)
        models, refused = [], []
        for version in versions:
            try:
                bundle = load_bundle(version)
                engines = open_engines(bundle, replication)
                models.append(ServedModel(bundle, engines, capacity, reduction_of(bundle.description, engines[0])))
            except BundleError as error:
                if strict:
                    raise
                _log.error("bundle_refused", bundle=f"{version.parent.name}/{version.name}", reason=str(error))
                refused.append(str(error))
        if not models:
            raise BundleError("; ".join(refused))
        return cls(models, default or _stated_default(folder))

    def __iter__(self) -> Iterator[ServedModel]:
        """The models by name and version."""
        for name in sorted(self._models):
            for version in sorted(self._models[name]):
                yield self._models[name][version]

    @property
    def default(self) -> ServedModel | None:
        """What answers a request that names no model; None where a model has to be named."""
        versions = self._models.get(self._default)
        return None if versions is None else versions[max(versions)]

    def select(self, selector: explanation_pb2.ModelSelector) -> ServedModel:
        """Find a model. No name means the default, no version the highest.

        Raises:
            InvalidRequestError: no name was given and there is no default.
            UnknownModelError: no such model or version is served.
        """
        name = selector.name or self._default
        if not name:
            raise InvalidRequestError("model.name", f"expected the name of a model; there is {self._listed()}")
        versions = self._models.get(name)
        if versions is None:
            raise UnknownModelError(f"no model {name} is served; there is {self._listed()}")
        model = versions.get(int(selector.version) if selector.version else max(versions))
        if model is None:
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
        return [model.bundle.name for model in self]

    def _listed(self) -> str:
        return ", ".join(self.names())


def _stated_default(folder: Path) -> str:
    """The name in the file that states a folder's default model; empty without one."""
    file = folder / DEFAULT_MODEL_FILE
    return file.read_text(encoding="utf-8").strip() if file.is_file() else ""


def bundle_folders(folder: Path) -> list[Path]:
    """The folders NAME/VERSION of a folder, in order. Others, such as `.git`, `lost+found` or `..data`, are logged.

    Raises:
        BundleError: there is none.
    """
    found = list(_version_folders(folder))
    if not found:
        raise BundleError(f"{folder}: expected bundles in folders NAME/VERSION, found none")
    return found


def _version_folders(folder: Path) -> Iterator[Path]:
    for name in sorted(folder.iterdir()) if folder.is_dir() else ():
        if not name.is_dir():
            continue
        if not re.fullmatch(NAME_PATTERN, name.name):
            _log.warning("folder_ignored", folder=name.name, reason="not the name of a model")
            continue
        for version in sorted(name.iterdir()):
            if version.is_dir() and re.fullmatch(VERSION_PATTERN, version.name):
                yield version
            elif version.is_dir():
                _log.warning(
                    "folder_ignored", folder=f"{name.name}/{version.name}", reason="not the version of a model"
                )
