"""One training on two machines: network namespaces with a cable between them."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.training.small import SMALL_GENERATOR

from medxgan.training.checkpoint import load_weights
from medxgan.training.configuration import load_configuration
from medxgan.training.train_classifier import train_classifier
from medxgan.training.train_generator import train_generator

PHANTOM = Path(__file__).parents[2] / "training" / "configs" / "phantom.toml"

SMALL = f"""
extends = "{PHANTOM}"
patience = PATIENCE

[data]
count = 60
size = 48

[classifier]
width = 4
epochs = 2
batch_size = 16

[generator]
{SMALL_GENERATOR}
precision = "32-true"
steps = STEPS
checkpoint_interval = 3
batch_size = 4

[familiarity]
steps = 2
"""

ENDLESS = 1_000_000

LOST = "another process of this training has ended or can't be reached"


class Command:
    """A command on one of the machines."""

    def __init__(self, host: str, arguments: list[str], output: Path) -> None:
        self._output = output
        environment = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "eth0", "COLUMNS": "400"}
        with output.open("w") as file:
            line = ["ip", "netns", "exec", host, *arguments]
            self.process = subprocess.Popen(line, env=environment, stdout=file, stderr=subprocess.STDOUT)

    def is_running(self) -> bool:
        return self.process.poll() is None

    def ended(self) -> tuple[int, str]:
        """Wait for its end: the exit status, and what it said."""
        return self.process.wait(), self.said()

    def said(self) -> str:
        return self._output.read_text(errors="replace")


class Hosts:
    """Two namespaces; each is a machine that sees the other by `eth0` and nothing else."""

    def __init__(self, folder: Path) -> None:
        self.names = [f"medxgan-{os.getpid()}-{side}" for side in "ab"]
        self._folder = folder
        self._started: list[Command] = []

    def connect(self) -> None:
        for name in self.names:
            ip("netns", "add", name)
            # `ip netns exec` lays this over /etc/hosts: without names, torchrun waits for a name server.
            hosts = self._etc(name) / "hosts"
            hosts.parent.mkdir(parents=True)
            hosts.write_text("127.0.0.1 localhost\n10.77.0.1 first\n10.77.0.2 second\n")
        ends = [f"mx{os.getpid()}{side}" for side in "ab"]
        ip("link", "add", ends[0], "type", "veth", "peer", "name", ends[1])
        for number, (name, end) in enumerate(zip(self.names, ends, strict=True), 1):
            ip("link", "set", end, "netns", name)
            ip("-n", name, "link", "set", end, "name", "eth0")
            ip("-n", name, "address", "add", f"10.77.0.{number}/24", "dev", "eth0")
            for link in ("lo", "eth0"):
                ip("-n", name, "link", "set", link, "up")

    def remove(self) -> None:
        for name in self.names:
            self.kill(name)
        for command in self._started:
            command.process.wait()
        for name in self.names:
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)
            shutil.rmtree(self._etc(name), ignore_errors=True)

    def _etc(self, name: str) -> Path:
        return Path("/etc/netns") / name

    def kill(self, name: str) -> None:
        """What happens to the processes of a machine that loses its power."""
        found = subprocess.run(["ip", "netns", "pids", name], check=False, capture_output=True, text=True).stdout
        for pid in map(int, found.split()):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue

    def train(self, part: str, config: Path, run: Path) -> list[Command]:
        """Start the command on both by `torchrun`, as the documents say it."""
        both = []
        for number, name in enumerate(self.names, 1):
            command = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1"]
            command += ["--rdzv-backend", "c10d", "--rdzv-endpoint", "10.77.0.1:29400", "--rdzv-id", run.name]
            # Both have the name of this machine here, so that neither knows by it that it is the first.
            command += ["--rdzv-conf", f"is_host={number == 1}", "--local-addr", f"10.77.0.{number}"]
            command += ["--no-python", str(Path(sys.executable).with_name("medxgan"))]
            command += ["train", part, "--config", str(config), "--out", str(run)]
            both.append(Command(name, command, self._folder / f"output-{len(self._started) + number}.txt"))
        self._started += both
        return both


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Hosts]:
    if shutil.which("ip") is None:
        pytest.skip("needs iproute2")
    two = Hosts(tmp_path)
    try:
        try:
            two.connect()
        except (subprocess.CalledProcessError, OSError) as error:
            reason = getattr(error, "stderr", "") or str(error)
            pytest.skip(f"network namespaces can't be made here: {reason.strip()}")
        yield two
    finally:
        two.remove()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("two-hosts")


def config_of(folder: Path, steps: int, patience: float = 30) -> Path:
    file = folder / f"steps-{steps}.toml"
    file.write_text(SMALL.replace("STEPS", str(steps)).replace("PATIENCE", str(patience)))
    return file


@pytest.fixture(scope="module")
def alone(folder: Path) -> Path:
    """A classifier of one process; it serves the other tests too."""
    train_classifier(load_configuration(config_of(folder, 6)), folder, folder / "alone")
    return folder / "alone"


def figures(run: Path, part: str) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / part / "metrics.jsonl").read_text().splitlines()]


def assert_same_figures(one: Path, other: Path, part: str) -> None:
    """Up to the rounding of sums: float32 adds the two halves of a batch in another order (6e-8), steps amplify it."""
    wanted, found = figures(one, part), figures(other, part)
    assert len(wanted) == len(found)
    for row, same in zip(wanted, found, strict=True):
        assert same == pytest.approx(row, rel=1e-5, abs=1e-5)


def has_checkpoint(run: Path) -> bool:
    return (run / "generator" / "checkpoint.safetensors").exists()


def wait_for_checkpoint(run: Path, both: list[Command]) -> None:
    """Until training is under way; a test that waits too long ends by its own limit."""
    while not has_checkpoint(run):
        assert all(command.is_running() for command in both), "\n".join(command.said() for command in both)
        time.sleep(0.2)


def training_with_little_patience(hosts: Hosts, alone: Path, folder: Path) -> list[Command]:
    """One that is under way, with as little patience as lets its processes start side by side on this machine now."""
    seconds = 10
    while True:
        run = folder / f"patience-{seconds}"
        shutil.copytree(alone / "classifier", run / "classifier")
        both = hosts.train("generator", config_of(folder, ENDLESS, patience=seconds / 60), run)
        while all(command.is_running() for command in both):
            if has_checkpoint(run):
                return both
            time.sleep(0.2)
        said = "\n".join(command.ended()[1] for command in both)
        assert LOST in said, said
        seconds *= 2


@pytest.mark.slow
def test_two_hosts_train_a_classifier_as_one_process(hosts: Hosts, alone: Path, folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "shared"
    for command in hosts.train("classifier", config_of(folder, 6), run):
        status, told = command.ended()
        assert status == 0, told
    assert_same_figures(alone, run, "classifier")


@pytest.mark.slow
def test_when_a_host_dies_the_other_says_so_and_a_second_start_goes_on(
    hosts: Hosts, alone: Path, folder: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(alone / "classifier", run / "classifier")
    both = hosts.train("generator", config_of(folder, ENDLESS), run)
    wait_for_checkpoint(run, both)
    hosts.kill(hosts.names[1])
    status, told = both[0].ended()
    assert status != 0
    assert LOST in told
    assert "goes on from its last checkpoint" in told

    # Goes on from the checkpoint, on both, as one process does.
    reached = load_weights(run / "generator" / "checkpoint.safetensors", {})
    single = tmp_path / "single"
    shutil.copytree(run, single)
    for each in (run, single):
        (each / "generator" / "metrics.jsonl").unlink()
    config = config_of(tmp_path, reached + 3)
    for command in hosts.train("generator", config, run):
        status, told = command.ended()
        assert status == 0, told
    train_generator(load_configuration(config), single, single)
    assert [row["step"] for row in figures(run, "generator")] == [reached + 3]
    assert_same_figures(single, run, "generator")


@pytest.mark.slow
def test_a_cable_that_is_cut_is_given_up_after_the_patience(
    hosts: Hosts, alone: Path, folder: Path, tmp_path: Path
) -> None:
    both = training_with_little_patience(hosts, alone, tmp_path)
    ip("-n", hosts.names[1], "link", "set", "eth0", "down")
    status, told = both[0].ended()
    assert status != 0
    assert LOST in told
