"""A training shared out over processes is the training that one process does."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tests.training.small import SMALL_GENERATOR
from torch import nn
from typer.testing import CliRunner

from medxgan.training import processes
from medxgan.training.command import train
from medxgan.training.configuration import load_configuration
from medxgan.training.sample_grid import SampleGrid
from medxgan.training.train_classifier import train_classifier
from medxgan.training.train_generator import train_generator

PHANTOM = Path(__file__).parents[2] / "training" / "configs" / "phantom.toml"

SMALL = f"""
extends = "{PHANTOM}"

[data]
count = 60
size = 48

[augmentation]
turn = 10
zoom = 0.1

[classifier]
width = 4
epochs = 2
batch_size = 16

[generator]
{SMALL_GENERATOR}
fine_z1 = 2
fine_z2 = 1
precision = "32-true"
steps = 6
checkpoint_interval = 3
batch_size = 4

[familiarity]
steps = 2
"""

BOTH_TRAININGS = """
import sys
from pathlib import Path
from medxgan.training.configuration import load_configuration
from medxgan.training.train_classifier import train_classifier
from medxgan.training.train_generator import train_generator

config, out = map(Path, sys.argv[1:])
for training in (train_classifier, train_generator):
    training(load_configuration(config), out, out)
"""

# --- Two processes against one ---


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("config") / "small.toml"
    file.write_text(SMALL)
    return file


@pytest.fixture(scope="module")
def trained(config: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A whole run of one process, and the same interrupted between its two checkpoints."""
    whole, interrupted = (tmp_path_factory.mktemp(name) / "run" for name in ("whole", "interrupted"))
    configuration = load_configuration(config)
    train_classifier(configuration, whole, whole)
    shutil.copytree(whole, interrupted)
    train_generator(configuration, whole, whole)

    def interrupt(grid: SampleGrid, file: Path) -> None:
        if "step-000006" in file.name:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SampleGrid, "write", interrupt)
        with pytest.raises(KeyboardInterrupt):
            train_generator(configuration, interrupted, interrupted)
    return whole, interrupted


def in_two_processes(*command: str) -> None:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    outcome = subprocess.run([*torchrun, *command], env=environment, capture_output=True, text=True, timeout=240)
    assert outcome.returncode == 0, outcome.stderr


def figures(run: Path, part: str) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / part / "metrics.jsonl").read_text().splitlines()]


def assert_same_weights(one: Path, two: Path, part: str) -> None:
    wanted, found = (load_file(run / part / "checkpoint.safetensors") for run in (one, two))
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, atol=1e-4, rtol=1e-4, msg=f"{part}: {name}")


def test_two_processes_train_as_one(trained: tuple[Path, Path], config: Path, tmp_path: Path) -> None:
    script, run = tmp_path / "both_trainings.py", tmp_path / "run"
    script.write_text(BOTH_TRAININGS)
    in_two_processes(str(script), str(config), str(run))
    for part in ("classifier", "generator"):
        one, two = figures(trained[0], part), figures(run, part)
        assert len(one) == len(two)
        for wanted, found in zip(one, two, strict=True):
            assert found == pytest.approx(wanted, rel=1e-5, abs=1e-5)
        assert_same_weights(trained[0], run, part)
        assert len(list((run / part).glob("events.out.tfevents.*"))) == 1


def test_two_processes_go_on_where_one_was_interrupted(
    trained: tuple[Path, Path], config: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained[1], run)
    command = str(Path(sys.executable).with_name("medxgan"))
    in_two_processes("--no-python", command, "train", "generator", "--config", str(config), "--out", str(run))
    wanted, found = figures(trained[0], "generator")[-1], figures(run, "generator")[-1]
    assert found == pytest.approx(wanted, rel=1e-5, abs=1e-5)
    assert_same_weights(trained[0], run, "generator")


# --- The parts, without other processes ---


@pytest.fixture
def second_of_three(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if this were the second of three processes."""
    monkeypatch.setattr(processes, "count", lambda: 3)
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 1)


def test_one_process_is_left_alone() -> None:
    x = torch.rand(3, 2)
    network = nn.Sequential(nn.BatchNorm2d(2), nn.Dropout(0.3))
    processes.over_whole_batch(network)
    processes.check_step(5)
    assert [type(module) for module in network] == [nn.BatchNorm2d, nn.Dropout]
    assert processes.own_rows(x) is x
    assert processes.mean(x) is x
    assert (processes.count(), processes.is_first()) == (1, True)


@pytest.mark.usefixtures("second_of_three")
def test_a_process_takes_its_own_of_the_random_numbers_of_all() -> None:
    torch.manual_seed(7)
    whole = torch.randn(6, 5)
    torch.manual_seed(7)
    own = processes.drawn_rows(torch.randn, 2, 5, device=torch.device("cpu"))
    torch.testing.assert_close(own, whole[2:4], atol=0, rtol=0)
    torch.manual_seed(7)
    dropped = nn.Dropout(0.4)(torch.ones(6, 5))
    torch.manual_seed(7)
    torch.testing.assert_close(processes.WholeBatchDropout(0.4)(torch.ones(2, 5)), dropped[2:4], atol=0, rtol=0)


@pytest.mark.usefixtures("second_of_three")
@pytest.mark.parametrize("part", ["generator", "encoder"])
def test_a_batch_that_cannot_be_shared_out_is_refused(part: str, config: Path, trained: tuple[Path, Path]) -> None:
    uneven = config.with_name("uneven.toml")
    uneven.write_text(f'extends = "{config}"\n[{part}]\nbatch_size = 32\n')
    outcome = CliRunner().invoke(train, [part, "--config", str(uneven), "--out", str(trained[0])])
    assert outcome.exit_code == 1
    told = " ".join(outcome.stderr.split())
    assert f"{part}.batch_size: expected a multiple of the number of processes, 3, found 32" in told


def test_the_classifiers_batch_is_the_images_where_there_are_fewer(second_of_three: None) -> None:
    processes.check_batch_size("classifier.batch_size", 48)
    with pytest.raises(processes.ProcessesError, match=r"classifier.batch_size.* 3, found 64"):
        processes.check_batch_size("classifier.batch_size", 64)


def test_another_step_elsewhere_is_refused(second_of_three: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def gather(steps: list[int], own: int) -> None:
        steps[:] = [0, own, 0]

    monkeypatch.setattr(torch.distributed, "all_gather_object", gather)
    processes.check_step(0)
    with pytest.raises(processes.ProcessesError, match=r"--out.* steps 0, 200"):
        processes.check_step(200)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_batch_norm_of_one_process_is_pytorchs(dtype: torch.dtype) -> None:
    torch.manual_seed(3)
    theirs = nn.BatchNorm2d(5, momentum=0.3)
    nn.init.normal_(theirs.weight)
    nn.init.normal_(theirs.bias)
    ours = processes.WholeBatchNorm.of(theirs)
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    tolerance = 1e-5 if dtype == torch.float32 else 3e-2
    for _ in range(3):
        x = (2 + torch.randn(6, 5, 4, 4)).to(dtype)
        leaves = [x.clone().requires_grad_(True) for _ in range(2)]
        pull = torch.randn(6, 5, 4, 4)
        for norm, leaf in zip((theirs, ours), leaves, strict=True):
            norm.zero_grad()
            (norm(leaf) * pull).sum().backward()
        torch.testing.assert_close(leaves[1].grad, leaves[0].grad, atol=tolerance, rtol=tolerance)
        for one, other in zip(theirs.parameters(), ours.parameters(), strict=True):
            torch.testing.assert_close(other.grad, one.grad, atol=10 * tolerance, rtol=tolerance)
    for name, value in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], value, atol=1e-5, rtol=1e-5, msg=name)
    x = torch.randn(2, 5, 4, 4)
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x), atol=1e-5, rtol=1e-5)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU trains here")
@pytest.mark.parametrize(("supported", "precision"), [(True, "bf16-mixed"), (False, "32-true")])
def test_a_processor_without_bfloat16_trains_in_float32_and_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, supported: bool, precision: str
) -> None:
    """Imitated, bfloat16 takes ten times as long."""
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: supported)
    fabric = processes.launch("bf16-mixed")
    assert fabric._precision.precision == precision
    assert ("goes on in float32" in caplog.text) == (not supported)
    assert processes.launch("32-true")._precision.precision == "32-true"
