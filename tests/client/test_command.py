import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from grpc import StatusCode
from PIL import Image
from typer.testing import CliRunner

from medxgan.client.command import app
from medxgan.client.commands.folders import output_folders
from medxgan.client.commands.lent import LENT_COMMANDS

FILES = {
    "original.png",
    "reconstruction.png",
    "negative.png",
    "difference.png",
    "colorized.png",
    "panel.png",
    "explanation.json",
}


pytestmark = pytest.mark.usefixtures("plain_terminal")


@pytest.fixture
def film(tmp_path: Path) -> Path:
    path = tmp_path / "film.png"
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(path)
    return path


def run(*arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_explain_writes_all_files_and_ends_with_the_panels_path(service, film, tmp_path) -> None:
    result = run("explain", film, "--server", service.address, "--out", tmp_path / "results", "--seed", 3, "--steps", 9)
    assert result.exit_code == 0, result.stderr
    assert {path.name for path in (tmp_path / "results").iterdir()} == FILES
    assert result.stdout.splitlines()[-1] == str(tmp_path / "results" / "panel.png")
    for text in ("0.900", "0.800", "0.100", "RELIABLE", "30 ms", "CPUExecutionProvider", "converted to grey"):
        assert text in result.stdout
    sent = service.requests[-1]
    assert (sent.seed, sent.inversion.steps) == (3, 9)
    assert json.loads((tmp_path / "results" / "explanation.json").read_text())["seed"] == 3


def test_every_image_is_explained_by_the_version_that_was_found_first(service, film) -> None:
    run("explain", film, film, "--server", service.address, "--model", "chest")
    asked, *explained = [(request.model.name, request.model.version) for request in service.requests]
    assert asked == ("chest", "")
    assert explained == [("chest", "2"), ("chest", "2")]


def test_one_image_fails_and_the_others_are_done(service, film, tmp_path) -> None:
    other = tmp_path / "other.png"
    other.write_bytes(b"text")
    service.unreadable = b"text"
    result = run("explain", "none.png", other, film, "--server", service.address)
    assert result.exit_code == 1
    assert "error: none.png: No such file or directory" in result.stderr
    assert f"error: {other}: image.encoded: not an image" in result.stderr
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"film"}
    assert {path.name for path in (tmp_path / "out" / "film").iterdir()} == FILES


@pytest.mark.parametrize("method", ["grad-cam", "gradient", "guided-backpropagation"])
def test_the_other_methods_write_an_attribution(service, film, tmp_path, method) -> None:
    result = run("explain", film, "--server", service.address, "--method", method)
    assert result.exit_code == 0, result.stderr
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "original.png",
        "attribution.png",
        "panel.png",
        "explanation.json",
    }
    assert "+2.500" in result.stdout


def test_models_are_listed(service) -> None:
    result = run("models", "--server", service.address)
    assert result.exit_code == 0
    for text in ("chest 2", "frontal chest radiograph", "no finding", "Apache-2.0", "CPUExecutionProvider"):
        assert text in result.stdout


def test_the_environment_may_name_the_server(service, monkeypatch) -> None:
    monkeypatch.setenv("MEDXGAN_SERVER", service.address)
    monkeypatch.setenv("MEDXGAN_MODELS", "elsewhere")
    assert run("models").exit_code == 0


def test_an_unknown_model_is_heard_of_before_any_work(service, film) -> None:
    service.fail(StatusCode.NOT_FOUND, "no model 'brain' is served; there is: chest")
    result = run("explain", film, "--server", service.address, "--model", "brain")
    assert result.exit_code == 1
    assert result.stderr == "error: no model 'brain' is served; there is: chest\n"
    assert len(service.requests) == 1


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["explain"], "Missing argument"),
        (["explain", "x.png", "--server", "127.0.0.1:9", "--models", "m"], "--server names another"),
        (["models", "--server", "127.0.0.1:9", "--provider", "cpu"], "--server names another"),
        (["explain", "x.png", "--method", "gradient", "--learning-rate", "0.1"], "is for --method medxgan"),
        (["explain", "x.png", "--seed", "-1"], "--seed"),
        (["explain", "x.png", "--models", "nowhere"], "there is no folder nowhere"),
        (["models"], "there is no folder models"),
        (["dream"], "No such command"),
    ],
)
def test_wrong_usage_ends_with_2(arguments: list[str], complaint: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert complaint in result.stderr


def test_folders_are_told_apart_when_stems_are_not() -> None:
    images = [Path(name) for name in ("a/IM1.dcm", "b/im1.png", "c/IM1-2.dcm", "d/IM2")]
    names = [folder.name for folder in output_folders(images, Path("out"))]
    assert names == ["IM1", "im1-2", "IM1-2-2", "IM2"]
    assert output_folders(images[:1], Path("out")) == [Path("out")]


def test_help_lists_every_subcommand_and_imports_neither_rooms_nor_heavy_libraries() -> None:
    code = (
        "import sys; from medxgan.client.command import app\n"
        "try: app(['--help'])\n"
        "finally: print([name for name in sys.modules if name.split('.')[0] in {heavy}"
        " or name.startswith({rooms})])"
    ).format(
        heavy={"grpc", "matplotlib", "numpy", "torch"},
        rooms=("medxgan.server", "medxgan.training", "medxgan.export"),
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for name in ["explain", "models", *(lent.name for lent in LENT_COMMANDS)]:
        assert name in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_version_is_the_distributions() -> None:
    assert run("--version").stdout == f"medxgan {version('medxgan')}\n"


@pytest.fixture
def rooms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand-ins for the other rooms, lent by a distribution that goes before the installed one."""
    metadata = tmp_path / "site" / "medxgan-0.0.1.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: medxgan\nVersion: 0.0.1\n")
    (metadata / "entry_points.txt").write_text(
        "[medxgan.commands]\n"
        "serve = stand_in_rooms:serve\n"
        "train = stand_in_rooms:train\n"
        "export = stand_in_rooms_without_their_extra:export\n"
        "[medxgan.embedded_server]\n"
        "server = stand_in_rooms:EmbeddedServer\n"
    )
    (tmp_path / "site" / "stand_in_rooms_without_their_extra.py").write_text("import a_library_that_is_not_there\n")
    (tmp_path / "site" / "stand_in_rooms.py").write_text(
        "import os\n"
        "from pathlib import Path\n"
        "import typer\n"
        "def serve(models: Path = Path('models'), workers: int = 1) -> None:\n"
        "    '''Serve for real.'''\n"
        "    print('serving', models, workers)\n"
        "train = typer.Typer()\n"
        "@train.command()\n"
        "def classifier(config: Path) -> None:\n"
        "    print('classifier from', config)\n"
        "@train.command()\n"
        "def generator() -> None:\n"
        "    raise typer.Exit(7)\n"
        "class EmbeddedServer:\n"
        "    StartError = KeyError\n"
        "    def __init__(self, models, provider):\n"
        "        self.models, self.provider = models, provider\n"
        "    def __enter__(self):\n"
        "        if self.provider == 'cuda':\n"
        "            raise KeyError('no GPU here')\n"
        "        self.address = os.environ['STAND_IN_ADDRESS']\n"
        "        return self\n"
        "    def __exit__(self, *error):\n"
        "        (self.models / 'closed').touch()\n"
    )
    monkeypatch.syspath_prepend(tmp_path / "site")
    models = tmp_path / "models"
    models.mkdir()
    return models


def test_a_lent_function_reads_its_own_options(rooms) -> None:
    assert run("serve", "--workers", 3, "--models", "m").stdout == "serving m 3\n"
    assert "Serve for real." in run("serve", "--help").stdout
    wrong = run("serve", "--wrong")
    assert wrong.exit_code == 2
    assert "No such option" in wrong.stderr


def test_a_lent_app_has_its_own_subcommands(rooms) -> None:
    assert run("train", "classifier", "x.toml").stdout == "classifier from x.toml\n"
    assert run("train", "generator").exit_code == 7
    assert "medxgan train" in run("train", "--help").stdout


@pytest.mark.parametrize(("name", "extra"), [("export", "export"), ("evaluate", "training")])
def test_a_missing_extra_is_named(rooms, name: str, extra: str) -> None:
    result = run(name, "RUN")
    assert result.exit_code == 2
    assert f"error: `medxgan {name}` needs the {extra} extra: pip install 'medxgan[{extra}]'" in result.stderr


def test_without_a_server_one_is_embedded_for_the_commands_life(rooms, service, film, monkeypatch) -> None:
    monkeypatch.setenv("STAND_IN_ADDRESS", service.address)
    result = run("explain", film, "--provider", "cpu")
    assert result.exit_code == 0, result.stderr
    assert (rooms / "closed").exists()


def test_an_embedded_server_that_cannot_start_says_why(rooms, film) -> None:
    result = run("explain", film, "--provider", "cuda")
    assert result.exit_code == 1
    assert result.stderr == "error: the embedded server can't start: 'no GPU here'\n"
