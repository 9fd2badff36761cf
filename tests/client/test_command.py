import hashlib
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

from medxgan.client.command import embedded, rooms
from medxgan.client.command.app import app
from medxgan.client.command.folders import output_folders
from medxgan.client.command.rooms import SUBCOMMANDS, Subcommand
from medxgan.v1 import bundle_pb2, explanation_pb2

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

PLAIN = ("gradient", "guided-backpropagation", "grad-cam", "guided-grad-cam", "integrated-gradients", "occlusion")
INVERTING = ("difference", "residual", "evidence", "latent-integrated-gradients")
MAPS = (*PLAIN, *INVERTING)

pytestmark = pytest.mark.usefixtures("plain_terminal")


@pytest.fixture
def film(tmp_path: Path) -> Path:
    path = tmp_path / "film.png"
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(path)
    return path


def run(*arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def words(text: str) -> str:
    """A text without the terminal's line breaks and frames."""
    return " ".join(text.replace("\N{BOX DRAWINGS LIGHT VERTICAL}", " ").split())


def test_explain_writes_all_files_and_ends_with_the_panels_path(service, film, tmp_path) -> None:
    result = run("explain", film, "--server", service.address, "--out", tmp_path / "results", "--seed", 3, "--steps", 9)
    assert result.exit_code == 0, result.stderr
    assert names(tmp_path / "results") == FILES
    assert result.stdout.splitlines()[-1] == str(tmp_path / "results" / "panel.png")
    for text in ("0.900", "0.800", "0.100", "RELIABLE", "30 ms", "CPUExecutionProvider", "converted to grey"):
        assert text in result.stdout
    assert "0.600, still positive" in result.stdout
    assert "uncertainty" not in result.stdout
    sent = service.requests[-1]
    assert (sent.settings.seed, sent.settings.inversion.steps) == (3, 9)
    assert json.loads((tmp_path / "results" / "explanation.json").read_text())["settings"]["seed"] == 3


def test_restarts_tell_the_uncertainty(service, film, tmp_path) -> None:
    result = run("explain", film, "--server", service.address, "--restarts", 4)
    assert result.exit_code == 0, result.stderr
    assert names(tmp_path / "out") == FILES | {"uncertainty.png"}
    assert "0.025 on average over 4 restarts" in result.stdout
    assert service.requests[-1].settings.inversion.restarts == 4


@pytest.mark.slow
@pytest.mark.parametrize(
    ("positive_score", "said"), [(0.7, "was found in 12 steps"), (0.3, "nearest attempt scores 0.3")]
)
def test_a_negative_image_gets_what_would_make_it_positive(service, film, tmp_path, positive_score, said) -> None:
    service.answer.scores.original.positive = False
    service.positive_score = positive_score
    result = run("explain", film, "--server", service.address)
    assert result.exit_code == 0, result.stderr
    assert names(tmp_path / "out") == FILES | {"positive.png", "positive-panel.png"}
    assert said in words(result.stdout)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("original", "applied", "said"),
    [
        (True, True, "still positive"),
        (True, False, "negative: taking the difference away from the original is enough"),
        (False, False, "negative, as the original is"),
        (False, True, "positive, although the original is not"),
    ],
)
def test_the_applied_negative_is_told_in_words_by_the_servers_decision(service, film, original, applied, said) -> None:
    scores = service.answer.scores
    scores.original.probability, scores.original.positive = 0.5, original
    scores.applied_negative.probability, scores.applied_negative.positive = 0.5, applied
    result = run("explain", film, "--server", service.address)
    assert f"0.500, {said}" in words(result.stdout)


def test_a_trajectory_becomes_an_animation_and_scores_in_the_report(service, film, tmp_path) -> None:
    result = run("explain", film, "--server", service.address, "--trajectory", 5)
    assert result.exit_code == 0, result.stderr
    assert names(tmp_path / "out") == FILES | {"trajectory.gif"}
    report = json.loads((tmp_path / "out" / "explanation.json").read_text())
    assert [frame["score"]["probability"] for frame in report["trajectory"]] == [0, 0.25, 0.5, 0.75, 1]


@pytest.mark.slow
@pytest.mark.parametrize("method", ["medxgan", "grad-cam", "all"])
def test_nothing_is_left_over_from_the_image_before(service, film, tmp_path, method) -> None:
    service.answer.scores.original.positive = False
    everything = ("--restarts", 2, "--trajectory", 3, "--film-size", "--method", "all")
    assert run("explain", film, "--server", service.address, *everything).exit_code == 0
    before = names(tmp_path / "out")
    (tmp_path / "out" / "notes.txt").write_text("the caller's own")
    (tmp_path / "out" / "unrecognised-99.png").touch()
    service.answer.scores.original.positive = True
    assert run("explain", film, "--server", service.address, "--method", method).exit_code == 0
    after = names(tmp_path / "out")
    assert run("explain", film, "--server", service.address, "--method", method, "--out", "fresh").exit_code == 0
    assert after == names(tmp_path / "fresh") | {"notes.txt"}
    assert len(before) > len(after)


def test_an_image_that_fails_leaves_no_pictures_of_the_one_before(service, film, tmp_path) -> None:
    assert run("explain", film, "--server", service.address).exit_code == 0
    assert run("explain", "none.png", "--server", service.address).exit_code == 1
    assert names(tmp_path / "out") == set()


def test_several_images_leave_no_pictures_of_a_single_one_beside_them(service, film, tmp_path) -> None:
    other = tmp_path / "other.png"
    other.write_bytes(film.read_bytes())
    assert run("explain", film, "--server", service.address).exit_code == 0
    assert run("explain", film, other, "--server", service.address).exit_code == 0
    assert names(tmp_path / "out") == {"film", "other"}


def test_every_image_is_explained_by_the_version_that_was_found_first(service, film) -> None:
    run("explain", film, film, "--server", service.address, "--model", "chest")
    asked, *explained = [(request.model.name, request.model.version) for request in service.requests]
    assert asked == ("chest", "")
    assert explained == [("chest", "2"), ("chest", "2")]


def test_the_default_model_needs_no_name(service, film) -> None:
    assert run("explain", film, "--server", service.address).exit_code == 0
    assert service.requests[0].model.name == ""


def test_a_server_without_a_default_lists_its_models(service, film) -> None:
    service.is_default = False
    result = run("explain", film, "--server", service.address)
    assert result.exit_code == 1
    assert result.stderr == "error: the server has no default model; name one with --model: chest\n"


def test_one_image_fails_and_the_others_are_done(service, film, tmp_path) -> None:
    other = tmp_path / "other.png"
    other.write_bytes(b"text")
    service.unreadable = b"text"
    result = run("explain", "none.png", other, film, "--server", service.address)
    assert result.exit_code == 1
    assert "error: none.png: No such file or directory" in result.stderr
    assert f"error: {other}: image.encoded: not an image" in result.stderr
    assert names(tmp_path / "out") == {"film"}
    assert names(tmp_path / "out" / "film") == FILES


@pytest.mark.slow
@pytest.mark.parametrize("method", MAPS)
def test_a_single_map_has_a_panel_of_its_own(service, film, tmp_path, method) -> None:
    result = run("explain", film, "--server", service.address, "--method", method)
    assert result.exit_code == 0, result.stderr
    assert names(tmp_path / "out") == {"original.png", f"{method}.png", "panel.png", "explanation.json"}
    assert ("+2.500 of pneumonia" in result.stdout) == (method in PLAIN)
    assert ("error 0.1" in result.stdout) == method.endswith("integrated-gradients")
    report = json.loads((tmp_path / "out" / "explanation.json").read_text())
    assert set(report["maps"]) == {"original", method.replace("-", "_")}
    assert report["maps"][method.replace("-", "_")]["file"] == f"{method}.png"


def test_several_maps_and_the_counterpart_come_from_one_request(service, film, tmp_path) -> None:
    methods = ("--method", "medxgan", "--method", "grad_cam", "--method", "evidence")
    result = run("explain", film, "--server", service.address, *methods)
    assert result.exit_code == 0, result.stderr
    assert names(tmp_path / "out") == FILES | {"grad-cam.png", "evidence.png", "comparison.png"}
    assert result.stdout.splitlines()[-1] == str(Path("out") / "comparison.png")
    assert len(service.requests) == 2


@pytest.mark.slow
@pytest.mark.parametrize("has_generator", [True, False])
def test_all_maps_come_from_one_request(service, film, tmp_path, has_generator) -> None:
    service.has_generator = has_generator
    result = run("explain", film, "--server", service.address, "--method", "all")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines()[-1] == str(Path("out") / "comparison.png")
    own = {"original.png", "comparison.png", "explanation.json", *(f"{method}.png" for method in PLAIN)}
    with_generator = FILES | {f"{method}.png" for method in INVERTING}
    assert names(tmp_path / "out") == (own | with_generator if has_generator else own)
    _, request = service.requests
    assert len(request.maps) == len({entry.kind for entry in request.maps}) == (16 if has_generator else 7)


def test_a_model_without_a_generator_shows_its_default_maps(service, film, tmp_path) -> None:
    service.has_generator = False
    result = run("explain", film, "--server", service.address)
    assert result.exit_code == 0, result.stderr
    assert names(tmp_path / "out") == {
        "original.png",
        "gradient.png",
        "grad-cam.png",
        "comparison.png",
        "explanation.json",
    }


def test_maps_of_the_positive_class_are_left_out_for_another(service, film) -> None:
    result = run("explain", film, "--server", service.address, "--method", "all", "--target", "no finding")
    assert result.exit_code == 0, result.stderr
    assert "+2.500 of no finding" in result.stdout
    assert len(service.requests[-1].maps) == 1 + len(PLAIN)
    assert service.requests[-1].settings.target_class == "no finding"


def test_a_map_that_the_model_lacks_is_refused_with_those_that_it_has(service, film) -> None:
    result = run("explain", film, "--server", service.address, "--method", "dream")
    assert result.exit_code == 2
    assert "chest 2 has no map 'dream'; there is: medxgan, all, original, reconstruction" in words(result.stderr)


def test_a_map_newer_than_this_client_may_be_asked_for(service, film, tmp_path) -> None:
    service.new_maps.append(explanation_pb2.MapDescription(kind=99, name="shapley", title="Shapley values"))
    service.answer.verdict.status = 99
    service.answer.verdict.reasons.add(code=99)
    result = run("explain", film, "--server", service.address, "--method", "shapley", "--film-size")
    assert result.exit_code == 0, result.stderr
    assert {"unrecognised-99.png", "unrecognised-99-film.png", "panel.png"} <= names(tmp_path / "out")
    assert "UNRECOGNISED (99)" in result.stdout
    report = json.loads((tmp_path / "out" / "explanation.json").read_text())
    assert report["verdict"]["status"] == "unrecognised (99)"
    assert report["maps"]["unrecognised (99)"]["file"] == "unrecognised-99.png"


def test_maps_in_a_form_that_is_not_recognised_leave_the_others(service, film, tmp_path) -> None:
    answer = explanation_pb2.ExplainResponse()
    answer.CopyFrom(service.answer)
    answer.maps.add(kind=service.number("original"), tensor=service.tensor(np.zeros((4, 4), np.float32)))
    answer.maps.add(kind=service.number("difference"), tensor=service.tensor(np.zeros((4, 4, 4), np.float32)))
    answer.maps.add(kind=service.number("grad_cam"))
    service.events = [explanation_pb2.ExplainStreamResponse(result=answer)]
    result = run("explain", film, "--server", service.address, "--method", "all")
    assert result.exit_code == 0, result.stderr
    assert "came in a form that this client does not recognise" in words(result.stdout)
    assert names(tmp_path / "out") == {"original.png", "panel.png", "explanation.json"}


@pytest.mark.slow
def test_the_options_are_sent(service, film) -> None:
    options = {
        "--target": "pneumonia",
        "--path-steps": 20,
        "--baseline": 0.5,
        "--window": 4,
        "--stride": 2,
        "--occlusion-level": 0.25,
        "--steps": 9,
        "--learning-rate": 0.5,
        "--reconstruction-weight": 2,
        "--restarts": 2,
        "--solver": "lbfgs",
        "--seed": 3,
        "--frame": 5,
        "--pixel-spacing": "0.25,0.5",
    }
    arguments = [argument for pair in options.items() for argument in pair]
    result = run("explain", film, "--server", service.address, "--method", "all", *arguments)
    assert result.exit_code == 0, result.stderr
    sent = service.requests[-1]
    assert sent.settings == explanation_pb2.ExplainSettings(
        target_class="pneumonia",
        seed=3,
        inversion=explanation_pb2.InversionSettings(
            steps=9, learning_rate=0.5, reconstruction_weight=2, restarts=2, solver=bundle_pb2.SOLVER_LBFGS
        ),
        integrated_gradients=explanation_pb2.IntegratedGradientsSettings(steps=20, baseline=0.5),
        occlusion=explanation_pb2.OcclusionSettings(window=4, stride=2, level=0.25),
    )
    assert sent.image.frame == 5
    assert (sent.image.pixel_spacing.row_mm, sent.image.pixel_spacing.column_mm) == (0.25, 0.5)


@pytest.mark.parametrize(
    ("method", "option", "value"),
    [
        ("grad-cam", "--steps", 1),
        ("grad-cam", "--learning-rate", 1),
        ("occlusion", "--reconstruction-weight", 1),
        ("gradient", "--restarts", 1),
        ("gradient", "--seed", 1),
        ("medxgan", "--path-steps", 1),
        ("difference", "--baseline", 1),
        ("medxgan", "--window", 1),
        ("evidence", "--stride", 1),
        ("grad-cam", "--occlusion-level", 1),
        ("difference", "--target", "x"),
    ],
)
def test_an_option_is_refused_where_it_means_nothing(service, film, method, option, value) -> None:
    result = run("explain", film, "--server", service.address, "--method", method, option, value)
    assert result.exit_code == 2
    assert option in result.stderr
    assert "means nothing to the maps asked for; it is for:" in words(result.stderr)


def test_the_seed_means_something_to_a_trajectory(service, film) -> None:
    options = ("--method", "grad-cam", "--trajectory", 3, "--seed", 5)
    assert run("explain", film, "--server", service.address, *options).exit_code == 0


def test_the_report_names_the_file_only_where_asked(service, film, tmp_path) -> None:
    digest = hashlib.sha256(film.read_bytes()).hexdigest()
    for options, image in (((), {"sha256": digest}), (("--name-files",), {"name": "film.png", "sha256": digest})):
        assert run("explain", film, "--server", service.address, *options).exit_code == 0
        text = (tmp_path / "out" / "explanation.json").read_text()
        assert json.loads(text)["image"] == image
        assert ("film.png" in text) == bool(options)


def test_maps_are_written_at_the_size_of_the_film(service, film, tmp_path) -> None:
    result = run("explain", film, "--server", service.address, "--film-size")
    assert result.exit_code == 0, result.stderr
    assert {"difference-film.png", "colorized-film.png"} <= names(tmp_path / "out")
    with Image.open(tmp_path / "out" / "difference-film.png") as image:
        assert (image.mode, image.size) == ("LA", (50, 40))
        alpha = np.asarray(image)[..., 1]
    assert not alpha[:, :5].any()
    assert (alpha[:, 5:45] == 255).all()
    with Image.open(tmp_path / "out" / "colorized-film.png") as image:
        assert image.mode == "RGBA"
    report = json.loads((tmp_path / "out" / "explanation.json").read_text())
    assert report["maps"]["difference"]["film_file"] == "difference-film.png"
    assert report["geometry"]["box"] == {"top": 0, "left": 5, "bottom": 40, "right": 45}


def test_a_film_turned_in_an_unrecognised_way_has_its_maps_all_the_same(service, film, tmp_path) -> None:
    service.answer.geometry.orientation = 99
    result = run("explain", film, "--server", service.address, "--film-size")
    assert result.exit_code == 0
    assert "no maps at the size of the film" in words(result.stderr)
    assert names(tmp_path / "out") == FILES


def test_models_are_listed(service) -> None:
    result = run("models", "--server", service.address)
    assert result.exit_code == 0
    for text in ("chest 2 (default)", "frontal chest radiograph", "no finding", "Apache-2.0", "CPUExecutionProvider"):
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


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["explain"], "Missing argument"),
        (["explain", "x.png", "--server", "127.0.0.1:9", "--models", "m"], "--server names another"),
        (["models", "--server", "127.0.0.1:9", "--provider", "cpu"], "--server names another"),
        (["explain", "x.png", "--pixel-spacing", "0.1"], "expected ROW,COLUMN in mm"),
        (["explain", "x.png", "--seed", "-1"], "--seed"),
        (["explain", "x.png", "--models", "nowhere"], "there is no folder nowhere"),
        (["models"], "no bundle was found in models"),
        (["dream"], "No such command"),
    ],
)
def test_wrong_usage_ends_with_2(arguments: list[str], complaint: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert complaint in words(result.stderr)


def test_folders_are_told_apart_when_stems_are_not() -> None:
    images = [Path(name) for name in ("a/IM1.dcm", "b/im1.png", "c/IM1-2.dcm", "d/IM2")]
    folders = [folder.name for folder in output_folders(images, Path("out"))]
    assert folders == ["IM1", "im1-2", "IM1-2-2", "IM2"]
    assert output_folders(images[:1], Path("out")) == [Path("out")]


def test_files_named_by_uid_keep_their_whole_name() -> None:
    images = [Path(name) for name in ("1.3.6.1.4.1.10", "1.3.6.1.4.1.11", "1.2.840.DCM", "film.2.tiff", "scan.v2")]
    folders = [folder.name for folder in output_folders(images, Path("out"))]
    assert folders == ["1.3.6.1.4.1.10", "1.3.6.1.4.1.11", "1.2.840", "film.2", "scan.v2"]


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
