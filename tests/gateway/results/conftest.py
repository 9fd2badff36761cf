"""The programs of others that read the results."""

import shutil
import subprocess

import pytest
from tests.gateway.results.programs import Program


@pytest.fixture
def program() -> Program:
    """Runs a program of others; the test is skipped where it is not installed."""

    def run(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
        found = shutil.which(name)
        if found is None:
            package = "dicom3tools" if name in ("dciodvfy", "dcentvfy") else "dcmtk"
            pytest.skip(f"{name} is not installed (Debian's {package})")
        return subprocess.run([found, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=60)

    return run
