"""Copies of a bundle, put into a folder of models."""

import json
import shutil
from pathlib import Path


def put_copy(bundle: Path, models: Path, identity: str, limitation: str = "") -> None:
    """Put a copy into the folder as it is meant to be: whole, beside it, and then in one step.

    Args:
        bundle: that is copied.
        models: the folder.
        identity: NAME/VERSION of the copy.
        limitation: that its description states. Copies differ by it alone, which makes another hash.
    """
    name, version = identity.split("/")
    staged = shutil.copytree(bundle, models.parent / "staged" / name / version)
    file = staged / "bundle.json"
    description = json.loads(file.read_text()) | {"name": name, "version": version}
    description["provenance"]["limitations"] = [limitation]
    file.write_text(json.dumps(description))
    target = models / name / version
    shutil.rmtree(target, ignore_errors=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    staged.replace(target)
