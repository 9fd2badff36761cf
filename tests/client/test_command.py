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
from medxgan.client.commands.methods import OPTIONS, Method
from medxgan.v1 import explanation_pb2

FILES = {
    "original.png",
    "reconstruction.png",
    "negative.png",
    "difference.png",
    "colorized.png",
    "applied-negative.png",
    "residual.png",
    "panel.png",
    "explanation.json",
}


METHODS = [method.value for method in Method if method not in (Method.MEDXGAN, Method.ALL)]
GENERATOR_METHODS = {"latent-integrated-gradients", "difference-map", "residual-map", "evidence-map"}

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
    assert "0.600, still positive" in result.stdout
    assert "uncertainty" not in result.stdout
    sent = service.requests[-1]
    assert (sent.seed, sent.inversion.steps) == (3, 9)
    assert json.loads((tmp_path / "results" / "explanation.json").read_text())["seed"] == 3


def test_restarts_tell_the_uncertainty(service, film, tmp_path) -> None:
    result = run("explain", film, "--server", service.address, "--restarts", 4)
    assert result.exit_code == 0, result.stderr
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES | {"uncertainty.png"}
    assert "0.025 on average over 4 restarts" in result.stdout
    assert service.requests[-1].inversion.restarts == 4


@pytest.mark.parametrize(
    ("positive_score", "said"), [(0.7, "was found in 12 steps"), (0.3, "nearest attempt scores 0.3")]
)
def test_a_negative_image_gets_what_would_make_it_positive(service, film, tmp_path, positive_score, said) -> None:
    service.answer.scores.original = 0.2
    service.positive_score = positive_score
    result = run("explain", film, "--server", service.address)
    assert result.exit_code == 0, result.stderr
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES | {"positive.png", "positive-panel.png"}
    assert said in " ".join(result.stdout.split())


@pytest.mark.parametrize(
    ("original", "applied", "said"),
    [
        (0.9, 0.6, "still positive"),
        (0.9, 0.1, "negative: taking the difference away from the original is enough"),
        (0.2, 0.1, "negative, as the original is"),
        (0.2, 0.6, "positive, although the original is not"),
    ],
)
def test_the_applied_negative_is_told_in_words(service, film, original, applied, said) -> None:
    service.answer.scores.original, service.answer.scores.applied_negative = original, applied
    result = run("explain", film, "--server", service.address)
    assert f"{applied:.3f}, {said}" in " ".join(result.stdout.split())


def test_frames_become_an_animation_and_scores_in_the_report(service, film, tmp_path) -> None:
    result = run("explain", film, "--server", service.address, "--frames", 5)
    assert result.exit_code == 0, result.stderr
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES | {"trajectory.gif"}
    report = json.loads((tmp_path / "out" / "explanation.json").read_text())
    assert [frame["score"] for frame in report["trajectory"]] == [0, 0.25, 0.5, 0.75, 1]


def test_nothing_is_left_over_from_the_image_before(service, film, tmp_path) -> None:
    service.answer.scores.original = 0.2
    assert run("explain", film, "--server", service.address, "--restarts", 2, "--frames", 3).exit_code == 0
    (tmp_path / "out" / "notes.txt").write_text("the caller's own")
    service.answer.scores.original = 0.9
    assert run("explain", film, "--server", service.address).exit_code == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES | {"notes.txt"}


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


@pytest.mark.parametrize("method", METHODS)
def test_the_other_methods_write_an_attribution(service, film, tmp_path, method) -> None:
    result = run("explain", film, "--server", service.address, "--method", method)
    assert result.exit_code == 0, result.stderr
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "original.png",
        "attribution.png",
        "panel.png",
        "explanation.json",
    }
    assert "+2.500 of pneumonia" in result.stdout
    assert ("verdict" in result.stdout) == (method in GENERATOR_METHODS)
    assert ("error 0.1" in result.stdout) == (method.endswith("integrated-gradients"))
    report = json.loads((tmp_path / "out" / "explanation.json").read_text())
    assert report["methods"] == [method.replace("-", "_")]


@pytest.mark.parametrize("has_generator", [True, False])
def test_all_methods_are_compared_in_one_request(service, film, tmp_path, has_generator) -> None:
    service.has_generator = has_generator
    expected = [method for method in METHODS if has_generator or method not in GENERATOR_METHODS]
    result = run("explain", film, "--server", service.address, "--method", "all")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines()[-1] == str(Path("out") / "comparison.png")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "original.png",
        "comparison.png",
        "explanation.json",
        *(f"{method}.png" for method in expected),
    }
    _, request = service.requests
    assert len(request.methods) == len(expected)
    assert json.loads((tmp_path / "out" / "explanation.json").read_text())["files"] == {
        method.replace("-", "_"): f"{method}.png" for method in expected
    }


@pytest.mark.parametrize(("target", "count"), [(0, 10), (1, 6)])
def test_methods_of_the_positive_class_are_left_out_for_another(service, film, target: int, count: int) -> None:
    result = run("explain", film, "--server", service.address, "--method", "all", "--target", target)
    assert result.exit_code == 0, result.stderr
    assert len(service.requests[-1].methods) == count
    assert service.requests[-1].target == target


def test_the_options_of_the_methods_are_sent(service, film) -> None:
    options = {
        "--target": 0,
        "--path-steps": 20,
        "--baseline": 0.5,
        "--window": 4,
        "--stride": 2,
        "--occlusion-level": 0.25,
        "--steps": 9,
        "--learning-rate": 0.5,
        "--reconstruction-weight": 2,
        "--restarts": 2,
        "--seed": 3,
    }
    arguments = [argument for pair in options.items() for argument in pair]
    result = run("explain", film, "--server", service.address, "--method", "all", *arguments)
    assert result.exit_code == 0, result.stderr
    sent = service.requests[-1]
    assert sent.HasField("target")
    assert sent.integrated_gradients == explanation_pb2.IntegratedGradientsSettings(steps=20, baseline=0.5)
    assert sent.occlusion == explanation_pb2.OcclusionSettings(window=4, stride=2, level=0.25)
    assert sent.inversion == explanation_pb2.InversionSettings(
        steps=9, learning_rate=0.5, reconstruction_weight=2, restarts=2
    )
    assert sent.seed == 3


@pytest.mark.parametrize(
    ("method", "option"),
    [(method, option) for option, methods in OPTIONS.items() for method in Method if method not in methods],
)
def test_an_option_is_refused_where_it_means_nothing(method: Method, option: str) -> None:
    flag = f"--{option.replace('_', '-')}"
    result = run("explain", "x.png", "--server", "127.0.0.1:9", "--method", method, flag, 1)
    assert result.exit_code == 2
    assert flag in result.stderr
    assert f"not for {method}" in " ".join(result.stderr.replace("\N{BOX DRAWINGS LIGHT VERTICAL}", " ").split())


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


@pytest.mark.parametrize(("name", "extra"), [("export", "export"), ("evaluate", "evaluation")])
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
