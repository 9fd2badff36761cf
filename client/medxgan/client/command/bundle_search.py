"""Where bundles are looked for on this machine."""

import os
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

MODELS_PACKAGE = "medxgan_models"
"""Package of the distribution medxgan-models: NAME/VERSION/ folders as package data."""


class NoModelsError(Exception):
    """No bundle was found; the message says where they were looked for and what to do."""


def user_models() -> Path:
    """The folder that `medxgan models install` puts bundles into: in the user's data folder of the platform."""
    if sys.platform == "win32":
        data = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        data = Path.home() / "Library" / "Application Support"
    else:
        data = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return data / "medxgan" / "models"


def model_folders() -> Iterator[Path]:
    """The folders where bundles may be, the first first: ./models, the user's, the package medxgan-models."""
    yield Path("models")
    yield user_models()
    package = find_spec(MODELS_PACKAGE)
    for folder in package.submodule_search_locations or () if package is not None else ():
        yield Path(folder)


def bundles_in(folder: Path) -> list[Path]:
    """The folders NAME/VERSION/ of the bundles below a folder."""
    return sorted(description.parent for description in folder.glob("*/*/bundle.json"))


def find_models(chosen: Path | None, model: str = "") -> Path:
    """The folder of bundles to serve: `chosen`, else the first of `model_folders` that holds the model that is wanted.

    Args:
        chosen: what the user named; None where nothing was named.
        model: name of the model; empty for any.

    Raises:
        NoModelsError: there is no such folder.
    """
    if chosen is not None:
        if not chosen.is_dir():
            raise NoModelsError(
                f"there is no folder {chosen}; name the folder of bundles with --models, or a running server with "
                "--server"
            )
        return chosen
    holding = [(folder, bundles) for folder in model_folders() if (bundles := bundles_in(folder))]
    if not holding:
        looked = ", ".join(str(folder) for folder in model_folders())
        raise NoModelsError(
            f"no bundle was found in {looked}; name a folder of bundles with --models or a running server with "
            "--server, or install bundles: pip install medxgan-models, or medxgan models install"
        )
    named = (folder for folder, bundles in holding if any(bundle.parent.name == model for bundle in bundles))
    # A model that is nowhere: the server says which there are.
    return next(named, holding[0][0])
