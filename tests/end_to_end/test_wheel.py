"""`pip install` alone: the wheels in an empty environment, with what the registry has."""

import json
import os
import subprocess
import sys
import venv
from importlib.resources import files
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

FILM = Path(str(files("data_store") / "data" / "RG1_UNCR.dcm"))
COMMAND_LINE = {"matplotlib", "typer", "rich", "PIL"}
TRAINING = {"torch", "onnx", "onnxscript", "lightning_fabric", "torchmetrics", "skimage"}


def run(*command: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    # What the checkout offers by its environment, an installation has not.
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("MEDXGAN_", "PYTHON"))}
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=clean | {"XDG_DATA_HOME": str(cwd / "data-home"), "COLUMNS": "160"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The wheels of the distributions `medxgan` and `medxgan-models`, by name."""
    folder = tmp_path_factory.mktemp("wheels")
    for source in (ROOT, ROOT / "models"):
        pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, source]
        built = run(*pip, cwd=folder)
        if "No matching distribution" in built.stderr or "ConnectionError" in built.stderr:
            pytest.skip("no registry answers, from which to take what builds a wheel")
        assert built.returncode == 0, built.stderr
    return {"-".join(wheel.name.split("-")[:1]): wheel for wheel in folder.glob("*.whl")}


def installed(folder: Path, *requirements: str) -> Path:
    """The Python of a new environment with these requirements."""
    venv.create(folder)
    python = folder / "bin" / "python"
    # Neither pip itself nor compiled forms of modules that nothing imports are needed there.
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--no-compile", "--quiet", *requirements]
    outcome = run(*pip, "--disable-pip-version-check", cwd=folder)
    if "No matching distribution" in outcome.stderr or "ConnectionError" in outcome.stderr:
        pytest.skip("no registry answers, from which to take the dependencies")
    assert outcome.returncode == 0, outcome.stderr
    return python


def importable(python: Path, modules: set[str]) -> set[str]:
    """Which of the modules an environment has."""
    code = f"import importlib.util as u; print(*(name for name in {sorted(modules)} if u.find_spec(name)))"
    return set(run(python, "-c", code, cwd=python.parent).stdout.split())


def test_the_base_install_is_the_python_client(wheels: dict[str, Path], tmp_path: Path) -> None:
    python = installed(tmp_path / "base", str(wheels["medxgan"]))
    outcome = run(python, "-c", "import medxgan.client as c; [getattr(c, name) for name in c.__all__]", cwd=tmp_path)
    assert outcome.returncode == 0, outcome.stderr
    assert importable(python, COMMAND_LINE | TRAINING | {"onnxruntime", "pydantic", "medxgan_models"}) == set()
    command = run(python.with_name("medxgan"), "--help", cwd=tmp_path)
    assert command.returncode == 1
    assert "pip install 'medxgan[cli]'" in command.stderr


def test_wheels_alone_explain_a_film(wheels: dict[str, Path], tmp_path: Path) -> None:
    python = installed(tmp_path / "serving", f"{wheels['medxgan']}[cli,server,dicom]", str(wheels["medxgan_models"]))
    work = tmp_path / "work"
    work.mkdir()
    explained = run(python.with_name("medxgan"), "explain", FILM, "--out", "out", cwd=work)
    assert explained.returncode == 0, explained.stderr
    assert {"panel.png", "negative.png", "difference.png", "explanation.json"} <= {
        path.name for path in (work / "out").iterdir()
    }
    assert json.loads((work / "out" / "explanation.json").read_text())["model"]["name"] == "chest"
    listed = run(python.with_name("medxgan"), "models", "list", cwd=work)
    assert all(name in listed.stdout for name in ("brain-lgg", "chest", "phantom", "pneumonia"))
    served = run(python, "-c", "import medxgan.server.serving, medxgan.server.command", cwd=work)
    assert served.returncode == 0, served.stderr
    assert importable(python, TRAINING - {"skimage"}) == set()
