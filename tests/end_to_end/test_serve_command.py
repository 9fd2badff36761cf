"""`medxgan serve` as a process: it comes up, says where, and goes down when told."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest
from grpc_health.v1.health_pb2_grpc import HealthStub
from tests.end_to_end.serve_process import COMMAND, serve_process
from tritonclient.grpc.service_pb2 import ModelConfigRequest
from tritonclient.grpc.service_pb2_grpc import GRPCInferenceServiceStub

from medxgan.v1.explanation_pb2 import (
    ClassifyRequest,
    ExplainRequest,
    ExplainSettings,
    Image,
    InversionSettings,
    ListModelsRequest,
)
from medxgan.v1.explanation_pb2_grpc import ExplanationServiceStub


def inverting(steps: int) -> ExplainSettings:
    return ExplainSettings(inversion=InversionSettings(steps=steps))


@contextmanager
def served(models: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process and the address that it says it serves on. Its end is the test's to bring about."""
    with serve_process(models, *options) as (process, line):
        yield process, line["address"]


def ended(process: subprocess.Popen[str]) -> tuple[int, list[str]]:
    """Exit status and the events of the log lines since the start."""
    _, rest = process.communicate(timeout=60)
    return process.returncode, [json.loads(line)["event"] for line in rest.splitlines()]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_running_requests_finish_and_ends_the_process_well(
    endless_models: Path, image: Image, number: signal.Signals
) -> None:
    with (
        served(endless_models, "--shutdown-grace-seconds", "600") as (process, address),
        grpc.insecure_channel(address) as channel,
    ):
        request = ExplainRequest(image=image, settings=inverting(1000))
        stream = ExplanationServiceStub(channel).ExplainStream(request)
        next(stream)
        process.send_signal(number)
        assert list(stream)[-1].result.outcome.steps_taken == 1000
        status, events = ended(process)
    assert status == 0
    assert events[0] == "stopping"
    assert set(events[1:]) == {"request"}


@pytest.mark.parametrize(
    ("options", "copies"), [((), len(os.sched_getaffinity(0))), (("--threads", "3"), 3), (("--replicas", "1"), 1)]
)
def test_there_is_a_copy_for_each_thread_unless_it_is_said_how_many(
    models: Path, options: tuple[str, ...], copies: int
) -> None:
    with served(models, *options) as (_, address), grpc.insecure_channel(address) as channel:
        stated = GRPCInferenceServiceStub(channel).ModelConfig(ModelConfigRequest(name="tiny"))
    assert [group.count for group in stated.config.instance_group] == [copies]


def test_what_outlasts_its_grace_is_cut_off(endless_models: Path, image: Image) -> None:
    with (
        served(endless_models, "--shutdown-grace-seconds", "0.2") as (process, address),
        grpc.insecure_channel(address) as channel,
    ):
        request = ExplainRequest(image=image, settings=inverting(100_000_000))
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


def test_a_watch_of_the_health_holds_the_end_up_no_longer_than_the_work(endless_models: Path, image: Image) -> None:
    with (
        served(endless_models, "--shutdown-grace-seconds", "600") as (process, address),
        grpc.insecure_channel(address) as channel,
    ):
        watch = HealthStub(channel).Watch(HealthCheckRequest())
        next(watch)
        stream = ExplanationServiceStub(channel).ExplainStream(ExplainRequest(image=image, settings=inverting(1000)))
        next(stream)
        process.terminate()
        assert list(stream)[-1].result.outcome.steps_taken == 1000
        assert ended(process)[0] == 0


def test_a_second_signal_ends_the_grace(endless_models: Path, image: Image) -> None:
    with (
        served(endless_models, "--shutdown-grace-seconds", "600") as (process, address),
        grpc.insecure_channel(address) as channel,
    ):
        request = ExplainRequest(image=image, settings=inverting(100_000_000))
        stream = ExplanationServiceStub(channel).ExplainStream(request)
        next(stream)
        process.terminate()
        assert process.stderr is not None
        assert json.loads(process.stderr.readline())["event"] == "stopping"
        process.terminate()
        assert ended(process)[0] == 0


WARMING_FOR_EVER = """
import asyncio, sys, time
from pathlib import Path

from medxgan.server.engine.ort_engine import OrtEngine
from medxgan.server.log import logging_to_standard_error
from medxgan.server.serving import serve_until_signal
from medxgan.server.settings import ServerSettings

OrtEngine.warm_up = lambda self: time.sleep(10**6)
with logging_to_standard_error("json", "info"):
    asyncio.run(serve_until_signal(ServerSettings(models=Path(sys.argv[1]), provider="cpu", address="127.0.0.1:0")))
"""


def test_a_server_that_warms_up_is_ended_by_a_second_signal(models: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WARMING_FOR_EVER, str(models)], stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        try:
            for event in ("warming_up", "stopping"):
                assert any(json.loads(line)["event"] == event for line in process.stderr)
                process.terminate()
            process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode in (0, -signal.SIGTERM)


def test_a_socket_of_the_file_system_is_an_address_and_a_port_that_is_none_is_not(
    models: Path, tmp_path: Path, image: Image
) -> None:
    address = f"unix:{tmp_path}/medxgan.sock"
    with served(models, "--address", address) as (process, said), grpc.insecure_channel(address) as channel:
        assert said == address
        assert ExplanationServiceStub(channel).Classify(ClassifyRequest(image=image)).predicted_class
        process.terminate()
        assert ended(process)[0] == 0
    refused = subprocess.run(
        [COMMAND, "serve", "--models", models, "--address", "127.0.0.1:99999"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode == 2
    assert "a port from 0 to 65535" in " ".join(refused.stderr.replace("│", "").split())


def test_stray_folders_are_ignored_and_one_bad_bundle_does_not_end_the_others(models: Path, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    shutil.copytree(models, folder)
    for stray in (".git/objects", "..data/1", "lost+found/x", "tiny/draft"):
        (folder / stray).mkdir(parents=True)
    shutil.copytree(folder / "tiny" / "1", folder / "tiny" / "2")
    with served(folder) as (process, address), grpc.insecure_channel(address) as channel:
        (summary,) = ExplanationServiceStub(channel).ListModels(ListModelsRequest()).models
        assert summary.model.version == "1", "the copy lies in a folder of another version than it states"
        process.terminate()
        process.communicate()
    strict = subprocess.run(
        [COMMAND, "serve", "--models", folder, "--strict"], capture_output=True, text=True, check=False
    )
    assert strict.returncode == 1
    assert "tiny/2" in strict.stderr


def test_a_reader_that_does_not_read_the_log_holds_nothing_up(models: Path, image: Image) -> None:
    with served(models) as (process, address), grpc.insecure_channel(address) as channel:
        stub = ExplanationServiceStub(channel)
        # A pipe holds 64 KiB, some 500 lines: far more than that are logged, and none of them is read.
        for _ in range(1500):
            stub.ListModels(ListModelsRequest(), timeout=60)
        process.terminate()
        process.kill()


SWITCH = Path("/sys/kernel/mm/transparent_hugepage/enabled")


@pytest.mark.skipif(
    not SWITCH.exists() or "[madvise]" not in SWITCH.read_text(), reason="huge pages are not given to who asks"
)
@pytest.mark.parametrize(("given", "found"), [(None, "glibc.malloc.hugetlb=1"), ("glibc.malloc.check=0",) * 2])
def test_a_server_asks_for_huge_pages_unless_the_operator_tunes_the_allocator(
    models: Path, monkeypatch: pytest.MonkeyPatch, given: str | None, found: str
) -> None:
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    if given is not None:
        monkeypatch.setenv("GLIBC_TUNABLES", given)
    with served(models) as (process, _):
        environment = Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0")
        assert f"GLIBC_TUNABLES={found}".encode() in environment
        process.terminate()
        assert ended(process)[0] == 0
