"""The folder that bundles are served from: which there are, and which of their versions are wanted."""

import re
from collections.abc import Iterator
from pathlib import Path

from medxgan.bundle import BundleError
from medxgan.bundle.schema import NAME_PATTERN, VERSION_PATTERN
from medxgan.server.log import get_logger
from medxgan.server.models.version_policy import VersionPolicies

_log = get_logger(__name__)

DEFAULT_MODEL_FILE = "default-model"
"""File beside the bundles that holds the name of the model which answers a request that names none."""

Fingerprint = tuple[tuple[str, str, int, int, int], ...]
"""What tells one state of a bundle's files from the next, without reading them."""


class ModelFolder:
    """Bundles in folders NAME/VERSION/. Others, such as `.git`, `lost+found` or `..data`, are logged once.

    Args:
        path: of the folder.
        policies: which versions are wanted.
    """

    def __init__(self, path: Path, policies: VersionPolicies | None = None) -> None:
        self._path = path
        self.policies = policies or VersionPolicies()
        self._ignored: set[str] = set()

    def names(self) -> list[str]:
        """Names with a version that is wanted, in order.

        Raises:
            OSError: the folder can't be read.
        """
        return [name.name for name in self._name_folders() if self.versions(name.name)]

    def versions(self, name: str) -> list[Path]:
        """The folders of the versions of a bundle that are wanted, the highest last; none of a name that is no name.

        Raises:
            OSError: a folder can't be read.
        """
        folder = self._path / name
        # A name may be a caller's: one with a slash or dots would lead elsewhere.
        if not re.fullmatch(NAME_PATTERN, name) or not folder.is_dir():
            return []
        versions = {int(version.name): version for version in self._version_folders(folder)}
        return [versions[number] for number in self.policies.of(name).chosen(versions)]

    def bundles(self) -> list[Path]:
        """The folders of all that is wanted, by name and version.

        Raises:
            BundleError: there is none.
            OSError: a folder can't be read.
        """
        found = [version for name in self._name_folders() for version in self.versions(name.name)]
        if not found:
            raise BundleError(f"{self._path}: expected bundles in folders NAME/VERSION, found none")
        return found

    def stated_default(self) -> str:
        """The name in the file that states a folder's default model; empty without one."""
        file = self._path / DEFAULT_MODEL_FILE
        return file.read_text(encoding="utf-8").strip() if file.is_file() else ""

    def fingerprints(self) -> dict[str, Fingerprint]:
        """By name, what tells the present state of the wanted versions from a later one.

        Raises:
            OSError: a folder can't be read.
        """
        return {name: tuple(map(_fingerprint, self._files(name))) for name in self.names()}

    def _files(self, name: str) -> Iterator[Path]:
        for version in self.versions(name):
            yield from sorted(version.iterdir())

    def _name_folders(self) -> Iterator[Path]:
        for name in sorted(self._path.iterdir()) if self._path.is_dir() else ():
            if re.fullmatch(NAME_PATTERN, name.name) and name.is_dir():
                yield name
            elif name.is_dir():
                self._ignore(name.name, "not the name of a model")

    def _version_folders(self, name: Path) -> Iterator[Path]:
        for version in sorted(name.iterdir()):
            if re.fullmatch(VERSION_PATTERN, version.name) and version.is_dir():
                yield version
            elif version.is_dir():
                self._ignore(f"{name.name}/{version.name}", "not the version of a model")

    def _ignore(self, folder: str, reason: str) -> None:
        if folder not in self._ignored:
            self._ignored.add(folder)
            _log.warning("folder_ignored", folder=folder, reason=reason)


def _fingerprint(file: Path) -> tuple[str, str, int, int, int]:
    found = file.stat()
    return file.parent.name, file.name, found.st_size, found.st_mtime_ns, found.st_ino
