"""`make gateway-demo` does what it says."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("Orthanc") is None, reason="Orthanc is not installed: apt-get install orthanc")
def test_the_demonstration_shows_an_explanation_in_an_archive() -> None:
    outcome = subprocess.run(
        [sys.executable, "gateway/demo.py", "--once"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    modalities = [line.split()[0] for line in outcome.stdout.splitlines()]
    assert {"CR", "OT", "SR"} <= set(modalities)
    assert "/app/explorer.html#study?uuid=" in outcome.stdout
