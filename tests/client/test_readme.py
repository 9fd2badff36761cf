"""What the README says is run."""

import re
import shlex
import zipfile
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from medxgan.client.command import connection, install
from medxgan.client.command.app import app

README = Path(__file__).parents[2] / "client" / "README.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


def test_the_python_runs(service, tmp_path: Path, monkeypatch, capsys) -> None:
    assert len(blocks("python")) == 6
    code = "\n".join(blocks("python"))
    assert "localhost:50051" in code
    monkeypatch.chdir(tmp_path)
    (tmp_path / "film.dcm").write_bytes(bytes(128) + b"DICM")
    (tmp_path / "out").mkdir()
    exec(compile(code.replace("localhost:50051", service.address), str(README), "exec"), {})
    said, uncertain, scores, completeness, film, first, second, verdict = capsys.readouterr().out.splitlines()
    assert said == "Score(probability=0.9, positive=True) -> Score(probability=0.1, positive=False)"
    assert uncertain.startswith("Score(probability=0.6, positive=True) 0.02")
    assert len(scores.split(",")) == 8
    assert completeness == "Completeness(attributed=3.1, change=3.2, error=0.1)"
    # Columns 5 to 45 of 50, rows 0 to 40 of 40, S = 16: beyond the map's lower right corner, as 32 is of 16.
    assert film == "(40, 50) 80.0 85.0"
    assert (first, second, verdict) == ("80 of 200 steps", "160 of 200 steps", "reliable")
    assert (tmp_path / "out" / "panel.png").exists()
    assert (tmp_path / "out" / "difference-film.png").exists()
    assert service.metadata[-1]["authorization"] == "Bearer a-token-of-mine"


@pytest.mark.slow
@pytest.mark.usefixtures("plain_terminal")
def test_the_shell_commands_run(service, tmp_path: Path, monkeypatch) -> None:
    @contextmanager
    def embedded(*_):
        yield service.address

    monkeypatch.setattr(connection, "_embedded", embedded)
    checks = {"medxgan.bundle:load_bundle": lambda _: None, "medxgan.bundle:BundleError": ValueError}
    monkeypatch.setattr(install, "load", lambda target, **_: checks[target])
    (tmp_path / "film.dcm").write_bytes(bytes(128) + b"DICM")
    with zipfile.ZipFile(tmp_path / "more-models.zip", "w") as archive:
        archive.writestr("knee/1/bundle.json", '{"name": "knee", "version": "1"}')

    lines = [line for block in blocks("bash") for line in block.splitlines()]
    assert len(lines) == 8
    for line in lines:
        program, *arguments = shlex.split(line.replace("localhost:50051", service.address), comments=True)
        assert program == "medxgan"
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, f"{line}: {result.output}"
