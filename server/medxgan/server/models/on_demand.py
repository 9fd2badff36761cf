"""Models that are loaded when they are asked for, and may be unloaded again."""

from collections.abc import Awaitable, Callable, Iterable

from medxgan.bundle import BundleError, LoadedBundle
from medxgan.server.errors import InvalidRequestError, UnknownModelError
from medxgan.server.log import get_logger
from medxgan.server.models.folder import ModelFolder
from medxgan.server.models.loading import ModelLoader
from medxgan.server.models.repository import ModelRepository
from medxgan.v1 import explanation_pb2

_log = get_logger(__name__)

Hold = Callable[[str], Awaitable[object]]
"""Has all versions of a name loaded, and unloads others for it where that is needed."""


class OnDemand:
    """Brings the model that a request names into the repository before it is looked for there.

    Args:
        bundles: that may be asked for; all were checked.
        repository: where models are while they are loaded.
        hold: has a name loaded.
    """

    def __init__(self, bundles: Iterable[LoadedBundle], repository: ModelRepository, hold: Hold) -> None:
        self._bundles = list(bundles)
        self._repository = repository
        self._hold = hold

    async def bring_in(self, selector: explanation_pb2.ModelSelector) -> None:
        """Have the model loaded. Nothing of the same event loop comes between its return and the caller's next step.

        Raises:
            InvalidRequestError: no name was given and there is no default; or it can't be loaded any more.
            UnknownModelError: there is no bundle of that name.
        """
        name = selector.name or self._repository.default_name
        names = {bundle.description.name for bundle in self._bundles}
        if not name:
            raise InvalidRequestError("model.name", f"expected the name of a model; there is {_list(names)}")
        # Before another is unloaded for it.
        if name not in names:
            raise UnknownModelError(f"no model {name} is served; there is {_list(names)}")
        await self._hold(name)

    def absent(self) -> list[LoadedBundle]:
        """The bundles that may be asked for and are not loaded."""
        loaded = set(self._repository.names())
        return [bundle for bundle in self._bundles if bundle.name not in loaded]

    def is_default(self, bundle: LoadedBundle) -> bool:
        """Whether a bundle answers requests that name none."""
        name = bundle.description.name
        versions = [int(each.description.version) for each in self._bundles if each.description.name == name]
        return name == self._repository.default_name and int(bundle.description.version) == max(versions)


def readable_bundles(folder: ModelFolder, loader: ModelLoader, *, strict: bool) -> list[LoadedBundle]:
    """Read and check the bundles of a folder, without loading any.

    Args:
        folder: holds the bundles.
        loader: reads them.
        strict: whether one bundle that can't be served is an error; else it is logged and left out.

    Raises:
        BundleError: the folder holds no bundle, one that can't be served, or none that can.
    """
    found, refused = [], []
    for version in folder.bundles():
        try:
            found.append(loader.read(version))
        except BundleError as error:
            if strict:
                raise
            _log.error("bundle_refused", bundle=f"{version.parent.name}/{version.name}", reason=str(error))
            refused.append(str(error))
    if not found:
        raise BundleError("; ".join(refused))
    return found


def _list(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
