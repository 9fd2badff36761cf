"""One set of cases for both servers of the Open Inference Protocol: ours, and the real Triton with our models in it.

An unmodified client of Triton asks both for the same. Where they answer differently, DIFFERENCES says how and why.
"""

import os
import queue
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton
from tests.end_to_end.conformance import CASES, DIFFERENCES
from tests.end_to_end.triton_calls import (
    MODEL,
    SECONDS,
    Target,
    details,
    film,
    names_of,
    png,
    status,
    stream_of_one,
    streamed,
)
from tests.end_to_end.tritonserver import triton_python, tritonserver
from tritonclient.utils import InferenceServerException

from medxgan.client import Client, InversionSettings, Settings
from medxgan.server.embedded import EmbeddedServer
from medxgan.server.triton.repository import write_repository

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "portability.md"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    shutil.copytree(ROOT / "models" / "phantom", folder / "phantom")
    return folder


@pytest.fixture(scope="module")
def medxgan(models: Path) -> Iterator[Target]:
    with EmbeddedServer(models, "cpu") as server:
        yield Target("medxgan", server.address, MODEL)


@pytest.fixture(scope="module")
def real_triton(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    folder = tmp_path_factory.mktemp("triton")
    python = triton_python(folder / "python")
    write_repository(models, folder / "repository", ["grad_cam"])
    with tritonserver(python, folder / "repository", folder) as address:
        yield Target("Triton", address, f"{MODEL}.progress", folder / "repository")


@pytest.fixture(params=["medxgan", "Triton"])
def target(request: pytest.FixtureRequest) -> Target:
    found: Target = request.getfixturevalue("medxgan" if request.param == "medxgan" else "real_triton")
    return found


@pytest.fixture
def client(target: Target) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(target.address) as client:
        yield client


@pytest.mark.parametrize("case", CASES)
def test_both_answer_alike(case: str, target: Target, client: triton.InferenceServerClient) -> None:
    ask, both = CASES[case]
    difference = DIFFERENCES.get(case)
    assert (both is None) == (difference is not None)
    expected = both if difference is None else difference.medxgan if target.name == "medxgan" else difference.triton
    assert ask(client, target) == expected


def test_differences_are_documented() -> None:
    assert {*DIFFERENCES} <= {*CASES}
    table = [
        f"| {case} | {shown(each.medxgan)} | {shown(each.triton)} | {each.reason} |"
        for case, each in DIFFERENCES.items()
    ]
    assert "\n".join(table) in DOCUMENT.read_text(encoding="utf-8")


def shown(outcome: object) -> str:
    """An outcome in words, for the table."""
    match outcome:
        case bool():
            return "yes" if outcome else "no"
        case [(True, holds)]:
            return "with outputs" if holds else "without outputs"
        case _:
            return str(outcome)


def test_both_give_the_same_maps_as_our_own_service(medxgan: Target, real_triton: Target) -> None:
    settings = Settings(inversion=InversionSettings(steps=5))
    with Client(medxgan.address) as client:
        explanation = client.explain(png(), settings=settings)
    for each in (medxgan, real_triton):
        with triton.InferenceServerClient(each.address) as asked:
            plain = asked.infer(MODEL, film(), parameters={"steps": 5})
            *_, streamed_last = stream_of_one(asked, each, parameters={"steps": 5})
        for result in (plain, streamed_last):
            for kind in explanation.maps:
                # The same engine and graphs, in batches of one: equal, but for how many threads add up.
                np.testing.assert_allclose(result.as_numpy(kind.name.lower()), explanation[kind], atol=1e-5)
            assert result.as_numpy("verdict")[0].decode() == explanation.verdict.status.name
            assert result.as_numpy("score")[0] == pytest.approx(explanation.scores.original.probability, abs=1e-6)


@pytest.mark.parametrize("streams", [False, True], ids=["call", "stream"])
def test_a_caller_of_triton_that_leaves_ends_the_compute(streams: bool, real_triton: Target) -> None:
    """A long inversion takes minutes, and all the places of its model: who comes meanwhile is refused as busy."""
    with triton.InferenceServerClient(real_triton.address) as asked:
        long = {"inputs": film(), "parameters": {"steps": 2000, "restarts": 16}}
        if streams:
            answers: queue.Queue[Any] = queue.Queue()
            asked.start_stream(lambda result, error: answers.put(result or error))
            asked.async_stream_infer(real_triton.streaming, **long)
            assert names_of(answers.get(timeout=SECONDS)) >= {"steps_taken"}
            asked.stop_stream(cancel_requests=True)
        else:
            assert status(lambda: asked.infer(MODEL, client_timeout=1, **long)) == "DEADLINE_EXCEEDED"
        request = {
            "model_name": real_triton.streaming if streams else MODEL,
            "inputs": film(),
            "parameters": {"steps": 1},
        }
        end = time.monotonic() + 60
        while isinstance(last := streamed(asked, request)[-1], InferenceServerException):
            assert "as many requests" in last.message()
            assert time.monotonic() < end
            time.sleep(0.1)


def test_requests_at_once_share_batches_in_triton(real_triton: Target) -> None:
    answers: queue.Queue[triton.InferResult] = queue.Queue()
    with triton.InferenceServerClient(real_triton.address) as asked:
        for _ in range(6):
            asked.async_infer(MODEL, film(), lambda result, error: answers.put(result), parameters={"steps": 50})
        found = [details(answers.get(timeout=SECONDS))["timing"] for _ in range(6)]
    # One after the other, the last would wait for five.
    assert max(each["queued_ms"] for each in found) < 2 * max(each["inversion_ms"] for each in found)


def processes() -> Iterator[tuple[int, list[bytes]]]:
    """Number and command line of every process."""
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended meanwhile
            yield int(folder.name), (folder / "cmdline").read_bytes().split(b"\0")


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="processes are found by /proc")
def test_a_server_in_triton_that_dies_is_started_again(real_triton: Target) -> None:
    bundles = real_triton.repository / MODEL / "3" / "bundles"
    (process,) = (number for number, command in processes() if str(bundles).encode() in command)
    os.kill(process, signal.SIGKILL)
    with triton.InferenceServerClient(real_triton.address) as asked:
        end = time.monotonic() + SECONDS
        while (outcome := status(lambda: asked.infer(MODEL, film(), parameters={"steps": 1}))) != "OK":
            assert outcome == "UNAVAILABLE"
            assert time.monotonic() < end
