from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from medxgan.export.command import export


@pytest.fixture
def command() -> typer.Typer:
    app = typer.Typer()
    app.command()(export)
    return app


def test_a_folder_that_is_no_run_is_said(command: typer.Typer, tmp_path: Path) -> None:
    result = CliRunner().invoke(command, [str(tmp_path), "--out", str(tmp_path / "chest" / "1")])
    assert result.exit_code == 1
    assert f"Error: {tmp_path}: expected a run folder with options.json" in result.output
    assert not list(tmp_path.iterdir())
