"""The commands of Debian's dcmtk; pynetdicom installs others of the same names into an environment."""

import os
import shutil
import sys
from pathlib import Path

import pytest

_ENVIRONMENT = str(Path(sys.executable).parent)
_PATH = os.pathsep.join(folder for folder in os.environ["PATH"].split(os.pathsep) if folder != _ENVIRONMENT)


def command(name: str) -> str:
    """Where a command is."""
    return shutil.which(name, path=_PATH) or name


needs_dcmtk = pytest.mark.skipif(
    shutil.which("dcmdump", path=_PATH) is None, reason="dcmtk is not installed: apt-get install dcmtk"
)
