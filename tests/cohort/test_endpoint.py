"""How a process that explains comes to its server, wherever it runs."""

import pickle
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from tests.cohort.runs import cohort

from medxgan.client.command.connection import Access
from medxgan.cohort import command
from medxgan.cohort.endpoint import Endpoint, Token
from medxgan.cohort.errors import CohortError
from medxgan.cohort.sources.choosing import Source

pytestmark = pytest.mark.usefixtures("plain_terminal")


def endpoint(token_file: Path | None = None) -> Endpoint:
    access = Access(token_file=token_file)
    return Endpoint("127.0.0.1:1", access, None, "", "cpu", 1, Token("planted-secret"))


def test_a_token_goes_to_other_processes_and_into_no_text(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("MEDXGAN_TOKEN", raising=False)
    elsewhere = pickle.loads(pickle.dumps(endpoint()))
    with elsewhere.open(1) as (_, arguments):
        assert arguments["token"] == "planted-secret"
    # As Ray Data writes down what its actors are made with.
    assert "planted-secret" not in f"{elsewhere!r} {elsewhere} {asdict(elsewhere)}"
    with endpoint(tmp_path / "token").open(1) as (_, arguments):
        assert arguments["token"] == tmp_path / "token"


def test_files_are_named_for_processes_that_work_elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made: dict[str, Any] = {}

    def note(ray: str | None, endpoint: Endpoint, *_: object) -> None:
        made["endpoint"] = endpoint

    def stop(source: Source, *_: object) -> None:
        made["archive"] = source.holder
        raise CohortError("enough")

    monkeypatch.setattr(command, "_engine", note)
    monkeypatch.setattr(command, "_run", stop)
    monkeypatch.setenv("MEDXGAN_TOKEN", "planted-secret")
    monkeypatch.chdir(tmp_path)
    names = ("token-file", "tls-authority", "tls-certificate", "tls-key", "archive-password-file")
    files = [text for name in names for text in (f"--{name}", name)]
    result = cohort("https://archive.example/dicom-web", Path("run"), "--server", "server.example:1", *files)
    assert result.exit_code == 1
    assert "enough" in result.output
    access = made["endpoint"].access
    named = (access.token_file, access.authority, access.certificate, access.key, made["archive"].password_file)
    assert named == tuple(tmp_path / name for name in names)
    assert made["endpoint"].token.text == "planted-secret"
