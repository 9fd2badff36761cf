"""The unit of systemd."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.server.deployment.files import DEPLOYMENT

from medxgan.server.settings import ServerSettings

UNIT = DEPLOYMENT / "systemd" / "medxgan.service"
DROP_IN = DEPLOYMENT / "systemd" / "tls.conf"
COMMAND = "/opt/medxgan/bin/medxgan"

MOST_EXPOSURE = 2.0
"""On systemd's scale from 0 to 10; a service that is not confined has 9.6."""


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit with its drop-in, and with a command that is there: systemd looks for it."""
    text = UNIT.read_text(encoding="utf-8")
    assert f"ExecStart={COMMAND} serve\n" in text
    copy = tmp_path / UNIT.name
    copy.write_text(text.replace(COMMAND, str(shutil.which("true"))), encoding="utf-8")
    (tmp_path / f"{UNIT.name}.d").mkdir()
    shutil.copy(DROP_IN, tmp_path / f"{UNIT.name}.d")
    return copy


def analyze(*arguments: str | Path) -> str:
    found = shutil.which("systemd-analyze")
    if found is None:
        pytest.skip("systemd-analyze is not installed")
    outcome = subprocess.run([found, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    return outcome.stdout + outcome.stderr


def test_systemd_takes_the_unit(unit: Path) -> None:
    assert analyze("verify", "--man=no", unit).strip() == ""


def test_the_service_is_confined(unit: Path) -> None:
    found = re.search(r"exposure level.*: ([\d.]+)", analyze("security", "--offline=true", "--no-pager", unit))
    assert found is not None
    assert float(found[1]) <= MOST_EXPOSURE


def given(*files: Path) -> dict[str, str]:
    text = "\n".join(file.read_text(encoding="utf-8") for file in files)
    return dict(re.findall(r"^Environment=(MEDXGAN_\w+)=(\S+)$", text, re.MULTILINE))


def test_a_server_takes_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in given(UNIT).items():
        monkeypatch.setenv(name, value.replace("%S", "/var/lib"))
    assert ServerSettings().address.startswith("127.0.0.1:"), "without a certificate it is for this machine"
    credentials = re.findall(
        r"^LoadCredential=([\w.]+):/etc/medxgan/", DROP_IN.read_text(encoding="utf-8"), re.MULTILINE
    )
    for name, value in given(DROP_IN).items():
        if value.startswith("%d/"):
            assert value.removeprefix("%d/") in credentials
            (tmp_path / value.removeprefix("%d/")).touch()
        monkeypatch.setenv(name, value.replace("%d", str(tmp_path)))
    taken = ServerSettings()
    assert taken.address.startswith("0.0.0.0:")
    assert not taken.insecure
    assert taken.identities is not None
    names = given(UNIT, DROP_IN)
    assert {name.removeprefix("MEDXGAN_").lower() for name in names} <= ServerSettings.model_fields.keys()


def test_it_is_not_killed_before_its_requests_are_answered() -> None:
    text = UNIT.read_text(encoding="utf-8")
    seconds = re.search(r"^TimeoutStopSec=(\d+)$", text, re.MULTILINE)
    assert seconds is not None
    assert float(seconds[1]) >= ServerSettings.model_fields["shutdown_grace_seconds"].default + 5
    assert "KillMode=mixed" in text
