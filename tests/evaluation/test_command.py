"""`medxgan evaluate` from its arguments to its exit code."""

import json
import shutil
from pathlib import Path

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from medxgan.evaluation.command import evaluate
from medxgan.training.configuration import load_configuration
from medxgan.training.train_classifier import train_classifier

CONFIGS = Path(__file__).parents[2] / "training" / "configs"

app = typer.Typer()
app.command()(evaluate)

pytestmark = pytest.mark.usefixtures("plain_terminal")

QUICK = ("--images", "2", "--sanity-images", "0", "--sheet-images", "1", "--provider", "cpu")


WITHOUT_GENERATOR = [
    "gradient",
    "guided_backpropagation",
    "grad_cam",
    "guided_grad_cam",
    "integrated_gradients",
    "occlusion",
]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_a_bundle_is_evaluated_on_the_data_that_it_names(phantom_bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "report"
    arguments = (phantom_bundle, "--report", out, "--methods", "gradient,occlusion", *QUICK)
    done = run(*arguments)
    assert done.exit_code == 0, done.output
    assert "report.md" in done.stdout
    assert "occlusion" in done.stdout
    report = json.loads((out / "report.json").read_text())
    assert list(report["methods"]) == ["gradient", "occlusion"]
    assert report["command"].startswith("medxgan evaluate ")
    assert "--methods gradient,occlusion --images 2" in report["command"]
    again = run(*arguments, "--seed", 3)
    assert again.exit_code == 1
    assert "seed was 0 and is 3" in again.stderr
    assert run(*arguments, "--seed", 3, "--fresh").exit_code == 0


def test_a_run_with_a_classifier_alone_is_measured_and_compared(tmp_path: Path) -> None:
    file = tmp_path / "small.toml"
    file.write_text(
        (CONFIGS / "phantom.toml")
        .read_text()
        .replace("count = 1200", "count = 120")
        .replace("epochs = 12", "epochs = 6")
        + "\n[familiarity]\nsteps = 2\n"
    )
    folder = tmp_path / "my run"
    train_classifier(load_configuration(file), tmp_path, folder)
    measured = run(folder)
    assert measured.exit_code == 0, measured.output
    assert "classifier_auc" in measured.stdout
    assert json.loads((folder / "evaluation.json").read_text()).keys() == {"run", "data", "metrics", "familiarity"}
    done = run(folder, "--report", tmp_path / "report", *QUICK)
    assert done.exit_code == 0, done.output
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert report["model"]["name"] == "my-run"
    assert list(report["methods"]) == WITHOUT_GENERATOR


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ((), "--report"),
        (("--report", "out"), "name a training file by --config"),
        (("--report", "out", "--config", "absent.toml"), "absent.toml: can't be read"),
    ],
)
def test_what_is_missing_for_a_bundle_is_said(tiny_bundle: Path, options: tuple[str, ...], told: str) -> None:
    done = run(tiny_bundle, *options)
    assert done.exit_code == 1
    assert told in done.stderr


def test_a_bundle_is_sealed(phantom_bundle: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(phantom_bundle, tmp_path / "tiny" / "1")
    refused = run(folder, "--seal", "--provider", "cpu")
    assert refused.exit_code == 1
    assert "tiny/1: states figures already" in refused.stderr
    done = run(folder, "--reseal", "--provider", "cpu", "--anatomies", "7")
    assert done.exit_code == 0, done.output
    assert "classifier_auc" in done.stdout
    card = (folder / "MODEL_CARD.md").read_text()
    assert "reliable_share" in card
    assert "7 sampled anatomies" in card


def test_what_is_neither_run_nor_bundle_is_said(tmp_path: Path) -> None:
    done = run(tmp_path / "nothing", "--report", tmp_path / "out")
    assert done.exit_code == 1
    assert "options.json" in done.stderr
    assert "bundle.json" in done.stderr


def test_a_file_names_the_data(phantom_bundle: Path, config: Path, tmp_path: Path) -> None:
    arguments = ("--report", tmp_path / "out", "--methods", "gradient", *QUICK)
    assert run(phantom_bundle, "--config", config, *arguments).exit_code == 0
    # The same data, by another way: gone on with.
    assert run(phantom_bundle, *arguments).exit_code == 0


def test_an_unknown_method_is_said(tiny_bundle: Path, config: Path, tmp_path: Path) -> None:
    done = run(tiny_bundle, "--config", config, "--report", tmp_path / "out", "--methods", "gradient,lime", *QUICK)
    assert done.exit_code == 1
    assert "'lime' is unknown" in done.stderr


def test_a_method_that_the_bundle_cannot_serve_is_said(bundle_without_generator: Path, tmp_path: Path) -> None:
    done = run(bundle_without_generator, "--report", tmp_path / "out", "--methods", "difference", *QUICK)
    assert done.exit_code == 1
    assert "can't serve difference: it needs a generator" in done.stderr


def test_data_without_positives_are_said(tiny_bundle: Path, tmp_path: Path) -> None:
    file = tmp_path / "negative.toml"
    file.write_text('[data]\nkind = "phantom"\ncount = 20\nsize = 32\npositive_share = 0.0\n')
    done = run(tiny_bundle, "--config", file, "--report", tmp_path / "out", *QUICK)
    assert done.exit_code == 1
    assert "no true positive" in done.stderr


def test_shortcuts_of_a_known_kind_are_measured(phantom_bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "report"
    arguments = (phantom_bundle, "--report", out, "--methods", "gradient", *QUICK)
    assert run(*arguments, "--shortcuts", "hand-film").exit_code == 2
    assert run(*arguments, "--shortcuts", "chest-film").exit_code == 0
    report = json.loads((out / "report.json").read_text())
    assert "--shortcuts chest-film" in report["command"]
    assert "mass_frame" in report["methods"]["gradient"]["all"]
    without = run(*arguments)
    assert without.exit_code == 1
    assert "shortcuts was 'chest-film' and is None" in without.stderr


def test_an_unknown_split_is_a_mistake_of_usage(tiny_bundle: Path) -> None:
    assert run(tiny_bundle, "--split", "train").exit_code == 2
