"""The command's subcommands of other rooms, and the server that it embeds; stand-ins take the place of those rooms."""

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from tests.client.commands import run
from typer.testing import CliRunner

from medxgan.client.command import embedded, rooms
from medxgan.client.command.rooms import SUBCOMMANDS, Subcommand

pytestmark = pytest.mark.usefixtures("plain_terminal", "undrawn")


def test_help_lists_every_subcommand_and_imports_neither_rooms_nor_heavy_libraries() -> None:
    code = (
        "import sys; from medxgan.client.command.app import app\n"
        "try: app(['--help'])\n"
        "finally: print([name for name in sys.modules if name.split('.')[0] in {heavy}"
        " or name.startswith({rooms})])"
    ).format(
        heavy={"grpc", "matplotlib", "numpy", "torch"},
        rooms=("medxgan.server", "medxgan.training", "medxgan.export", "medxgan.bundle"),
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for name in ["explain", "models", *(subcommand.name for subcommand in SUBCOMMANDS)]:
        assert name in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_version_is_the_distributions() -> None:
    assert run("--version").stdout == f"medxgan {version('medxgan')}\n"


@pytest.fixture
def stand_ins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand-ins for what the command uses of other rooms."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "stand_in_rooms_without_their_extra.py").write_text("import a_library_that_is_not_there\n")
    (site / "stand_in_rooms.py").write_text(
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
    monkeypatch.syspath_prepend(site)
    monkeypatch.setattr(embedded, "TARGET", "stand_in_rooms:EmbeddedServer")
    models = tmp_path / "models"
    (models / "chest" / "2").mkdir(parents=True)
    (models / "chest" / "2" / "bundle.json").touch()
    return models


def mounted(*targets: str):
    """The command with stand-ins for the subcommands of other rooms."""
    import typer

    stand_in = typer.Typer()
    stand_in.callback()(lambda: None)
    for target in targets:
        rooms.mount(stand_in, Subcommand(target.partition(":")[2], "Stands in.", target, "server"))
    return lambda *arguments: CliRunner().invoke(stand_in, [str(argument) for argument in arguments])


def test_a_function_of_another_room_reads_its_own_options(stand_ins) -> None:
    run = mounted("stand_in_rooms:serve")
    assert run("serve", "--workers", 3, "--models", "m").stdout == "serving m 3\n"
    assert "Serve for real." in run("serve", "--help").stdout
    wrong = run("serve", "--wrong")
    assert wrong.exit_code == 2
    assert "No such option" in wrong.stderr


def test_an_app_of_another_room_has_its_own_subcommands(stand_ins) -> None:
    run = mounted("stand_in_rooms:train")
    assert run("train", "classifier", "x.toml").stdout == "classifier from x.toml\n"
    assert run("train", "generator").exit_code == 7
    assert "medxgan train" in run("train", "--help").stdout


def test_a_missing_extra_is_named(stand_ins) -> None:
    result = mounted("stand_in_rooms_without_their_extra:export")("export", "RUN")
    assert result.exit_code == 2
    assert "error: `medxgan export` needs the server extra: pip install 'medxgan[server]'" in result.stderr
    assert "a_library_that_is_not_there" in result.stderr


def test_a_missing_part_of_medxgan_itself_is_no_missing_extra(stand_ins) -> None:
    result = mounted("medxgan.nowhere:export")("export")
    assert isinstance(result.exception, ModuleNotFoundError)


@pytest.mark.slow
def test_without_a_server_one_is_embedded_for_the_commands_life(stand_ins, service, film, monkeypatch) -> None:
    monkeypatch.setenv("STAND_IN_ADDRESS", service.address)
    result = run("explain", film, "--provider", "cpu")
    assert result.exit_code == 0, result.stderr
    assert (stand_ins / "closed").exists()


def test_an_embedded_server_that_cannot_start_says_why(stand_ins, film) -> None:
    result = run("explain", film, "--provider", "cuda")
    assert result.exit_code == 1
    assert result.stderr == "error: the embedded server can't start: 'no GPU here'\n"
