"""Copies bundles from a folder, a zip file or a wheel to where the command finds them."""

import json
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from medxgan.client.command.rooms import load

DESCRIPTION = "bundle.json"
SIGNATURES = "signatures.json"
LARGEST_ARCHIVE = 4 * 2**30
"""Bytes that an archive may unfold to."""


class InstallError(Exception):
    """Bundles can't be installed; the message says why."""


def install(source: Path, into: Path) -> list[tuple[str, bool]]:
    """Install every bundle of `source` as NAME/VERSION/ below `into`, after a check of its schema and hashes.

    Args:
        source: a bundle's folder, a folder of bundles, a zip file or a wheel that holds some.
        into: made where it does not exist.

    Returns:
        NAME/VERSION of each, and whether it is new: false where the very same bundle was there already, which gets the
        signatures of this one if it has none.

    Raises:
        InstallError: there is no bundle, one is damaged, or another of the same name and version is installed.
        MissingExtraError: the check is not installed.
    """
    load_bundle = load("medxgan.bundle:load_bundle", purpose="checking a bundle", extra="server")
    bundle_error: type[Exception] = load("medxgan.bundle:BundleError", purpose="checking a bundle", extra="server")
    into.mkdir(parents=True, exist_ok=True)
    # Beside the target, so that the checked bundle is moved there in one step.
    with _folders(source) as folders, tempfile.TemporaryDirectory(dir=into.parent, prefix=".installing-") as work:
        staged = [_stage(folder, Path(work)) for folder in folders]
        if not staged:
            raise InstallError(f"{source}: there is no bundle ({DESCRIPTION}) in it")
        for bundle in staged:
            try:
                load_bundle(bundle)
            except bundle_error as error:
                raise InstallError(str(error)) from error
        return [_move(bundle, into) for bundle in staged]


@contextmanager
def _folders(source: Path) -> Iterator[list[Path]]:
    """The folders of the bundles of a source."""
    if source.is_dir():
        yield sorted(found.parent for depth in ("", "*/", "*/*/") for found in source.glob(depth + DESCRIPTION))
        return
    if not zipfile.is_zipfile(source):
        raise InstallError(f"{source}: expected a folder, a zip file or a wheel")
    with tempfile.TemporaryDirectory() as unpacked, zipfile.ZipFile(source) as archive:
        if sum(member.file_size for member in archive.infolist()) > LARGEST_ARCHIVE:
            raise InstallError(f"{source}: unfolds to more than {LARGEST_ARCHIVE} bytes")
        yield list(_unpack(archive, Path(unpacked)))


def _unpack(archive: zipfile.ZipFile, into: Path) -> Iterator[Path]:
    """Unpack the folders of an archive that hold a bundle, each flat, so that no member's path leads elsewhere."""
    members = [member for member in archive.infolist() if not member.is_dir()]
    parents = [PurePosixPath(member.filename).parent for member in members]
    described = [
        parent for member, parent in zip(members, parents, strict=True) if _base(member.filename) == DESCRIPTION
    ]
    for number, wanted in enumerate(described):
        folder = into / str(number)
        folder.mkdir()
        for member, parent in zip(members, parents, strict=True):
            if parent == wanted:
                with archive.open(member) as packed, (folder / _base(member.filename)).open("wb") as file:
                    shutil.copyfileobj(packed, file)
        yield folder


def _base(name: str) -> str:
    # A zip file of Windows may have backslashes, and a colon would name a drive.
    return re.split(r"[/\\:]", name)[-1]


def _stage(folder: Path, work: Path) -> Path:
    """Copy a bundle to work/NAME/VERSION/, as its description names it."""
    try:
        description = json.loads((folder / DESCRIPTION).read_bytes())
        name, version = str(description["name"]), str(description["version"])
    except (ValueError, TypeError, KeyError) as error:
        raise InstallError(f"{folder.name}/{DESCRIPTION}: no name and version can be read from it") from error
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", name) or not re.fullmatch(r"[1-9][0-9]*", version):
        raise InstallError(f"{folder.name}/{DESCRIPTION}: {name!r} {version!r} is no name and version of a bundle")
    target = work / name / version
    if target.exists():
        raise InstallError(f"{name}/{version} is there twice")
    target.mkdir(parents=True)
    for file in folder.iterdir():
        if file.is_file():
            shutil.copyfile(file, target / file.name)
    return target


def _move(bundle: Path, into: Path) -> tuple[str, bool]:
    name = f"{bundle.parent.name}/{bundle.name}"
    target = into / name
    if target.exists():
        # The description holds the hash of every other file.
        if (target / DESCRIPTION).is_file() and (target / DESCRIPTION).read_bytes() == (
            bundle / DESCRIPTION
        ).read_bytes():
            if (bundle / SIGNATURES).is_file() and not (target / SIGNATURES).exists():
                (bundle / SIGNATURES).replace(target / SIGNATURES)
            return name, False
        raise InstallError(f"another {name} is installed: remove the folder {target} first")
    target.parent.mkdir(parents=True, exist_ok=True)
    bundle.replace(target)
    return name, True
