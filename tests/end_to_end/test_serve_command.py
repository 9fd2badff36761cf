"""`medxgan serve` as a process: it comes up, says where, and goes down when told."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

from medxgan.v1.explanation_pb2 import ExplainRequest, Image, InversionSettings
from medxgan.v1.explanation_pb2_grpc import ExplanationServiceStub

COMMAND = Path(sys.executable).with_name("medxgan")


@contextmanager
def served(models: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process and the address that it says it serves on. Its end is the test's to bring about."""
    arguments = [COMMAND, "serve", "--models", models, "--address", "127.0.0.1:0", "--log-format", "json", *options]
    with subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            warming_up, line = (json.loads(process.stderr.readline()) for _ in range(2))
            assert (warming_up["event"], line["event"]) == ("warming_up", "serving")
            yield process, line["address"]
        finally:
            process.kill()


def ended(process: subprocess.Popen[str]) -> tuple[int, list[str]]:
    """Exit status and the events of the log lines since the start."""
    _, rest = process.communicate(timeout=60)
    return process.returncode, [json.loads(line)["event"] for line in rest.splitlines()]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_running_requests_finish_and_ends_the_process_well(
    endless_models: Path, image: Image, number: signal.Signals
) -> None:
    with served(endless_models) as (process, address), grpc.insecure_channel(address) as channel:
        request = ExplainRequest(image=image, inversion=InversionSettings(steps=1000))
        stream = ExplanationServiceStub(channel).ExplainStream(request)
        next(stream)
        process.send_signal(number)
        assert list(stream)[-1].result.outcome.steps_taken == 1000
        status, events = ended(process)
    assert status == 0
    assert events[0] == "stopping"
    assert set(events[1:]) == {"request"}


def test_what_outlasts_its_grace_is_cut_off(endless_models: Path, image: Image) -> None:
    with (
        served(endless_models, "--shutdown-grace-seconds", "0.2") as (process, address),
        grpc.insecure_channel(address) as channel,
    ):
        request = ExplainRequest(image=image, inversion=InversionSettings(steps=100_000_000))
        stream = ExplanationServiceStub(channel).ExplainStream(request)
        next(stream)
        process.terminate()
        with pytest.raises(grpc.RpcError):
            list(stream)
        status, _ = ended(process)
    assert status == 0


def test_a_server_that_can_not_start_says_why_and_fails(models: Path, tmp_path: Path) -> None:
    with served(models) as (process, address):
        for options, expected in (
            (["--models", tmp_path], "NAME/VERSION"),
            (["--models", models, "--address", address], f"can't listen on {address}"),
        ):
            result = subprocess.run([COMMAND, "serve", *options], capture_output=True, text=True, check=False)
            assert result.returncode == 1
            assert expected in result.stderr
            assert "Traceback" not in result.stderr
        process.terminate()
        assert ended(process)[0] == 0
