"""One set of cases for both servers of the Open Inference Protocol: ours, and the real Triton with our models in it.

An unmodified client of Triton asks both for the same. Where they answer differently, DIFFERENCES says how and why.
"""

import io
import json
import os
import queue
import shutil
import signal
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
import tritonclient.grpc as triton
from PIL import Image
from tests.end_to_end.tritonserver import triton_python, tritonserver
from tritonclient.utils import InferenceServerException, shared_memory

from medxgan.client import Client, InversionSettings, Settings
from medxgan.server.embedded import EmbeddedServer
from medxgan.server.triton.repository import write_repository

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "portability.md"
MODEL = "phantom"
OUTPUTS = {
    *("original", "reconstruction", "negative_realization", "difference", "colorized"),
    *("score", "positive", "verdict", "reasons", "details"),
}
SECONDS = 60

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Target:
    """A server.

    Attributes:
        name: "medxgan" or "Triton".
        address: of its gRPC.
        streaming: the model that tells of its progress.
        repository: of models, where it has one.
    """

    name: str
    address: str
    streaming: str
    repository: Path = Path()


@dataclass(frozen=True)
class Difference:
    """What the two answer differently.

    Attributes:
        medxgan: the outcome of our server.
        triton: that of Triton.
        reason: in a sentence, which docs/portability.md has too.
    """

    medxgan: object
    triton: object
    reason: str


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


def slice_of_noise() -> np.ndarray:
    rows, columns = np.mgrid[0:48, 0:60]
    levels: np.ndarray = (120 + 90 * np.sin(rows / 9) * np.cos(columns / 7)).astype(np.uint8)
    return levels


def png() -> bytes:
    file = io.BytesIO()
    Image.fromarray(slice_of_noise()).save(file, "PNG")
    return file.getvalue()


def film(content: bytes | None = None, name: str = "image") -> list[triton.InferInput]:
    tensor = triton.InferInput(name, [1], "BYTES")
    tensor.set_data_from_numpy(np.array([png() if content is None else content], np.object_))
    return [tensor]


def levels() -> list[triton.InferInput]:
    values = slice_of_noise()
    tensor = triton.InferInput("image", list(values.shape), "UINT8")
    tensor.set_data_from_numpy(values)
    return [tensor]


def outputs(*names: str) -> list[triton.InferRequestedOutput]:
    return [triton.InferRequestedOutput(name) for name in names]


def details(result: triton.InferResult) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(result.as_numpy("details")[0])
    return found


def status(call: Callable[[], object]) -> str:
    """The status that a call ends with."""
    try:
        call()
    except InferenceServerException as error:
        return str(error.status() or "an error in the stream").removeprefix("StatusCode.")
    return "OK"


def streamed(client: triton.InferenceServerClient, *requests: dict[str, Any]) -> list[Any]:
    """The responses and errors of one stream, in the order in which they come, until each request has its last."""
    answers: queue.Queue[Any] = queue.Queue()
    client.start_stream(lambda result, error: answers.put(error if result is None else result))
    try:
        for request in requests:
            client.async_stream_infer(**request)
        found: list[Any] = []
        left = len(requests)
        while left:
            found.append(answers.get(timeout=SECONDS))
            left -= isinstance(found[-1], InferenceServerException) or is_last(found[-1])
        return found
    finally:
        client.stop_stream()


def is_last(result: triton.InferResult) -> bool:
    last: bool = result.get_response().parameters["triton_final_response"].bool_param
    return last


def names_of(result: triton.InferResult) -> set[str]:
    return {output.name for output in result.get_response().outputs}


def count(client: triton.InferenceServerClient, which: str) -> int:
    (statistics,) = client.get_inference_statistics(MODEL).model_stats
    found: int = getattr(statistics.inference_stats, which).count
    return found


def counted(client: triton.InferenceServerClient, which: str, call: Callable[[], object]) -> int:
    before = count(client, which)
    status(call)
    return count(client, which) - before


class Region:
    """A region of shared memory, known to a server while its context lasts."""

    def __init__(self, client: triton.InferenceServerClient, size: int) -> None:
        self.client, self.size, self.name = client, size, f"medxgan_{uuid.uuid4().hex}"

    def __enter__(self) -> Self:
        self.handle = shared_memory.create_shared_memory_region(self.name, f"/{self.name}", self.size)
        self.client.register_system_shared_memory(self.name, f"/{self.name}", self.size)
        return self

    def __exit__(self, *_: object) -> None:
        # Triton lets go of a request a moment after it has answered.
        end = time.monotonic() + 5
        while status(lambda: self.client.unregister_system_shared_memory(self.name)) != "OK":
            assert time.monotonic() < end
            time.sleep(0.05)
        shared_memory.destroy_shared_memory_region(self.handle)


def shared_image_and_map(client: triton.InferenceServerClient) -> bool:
    """Whether an image from shared memory gives the same map, put into shared memory, as one in the message."""
    expected = client.infer(MODEL, film(), outputs=outputs("difference"), parameters={"steps": 2})
    content = np.frombuffer(len(png()).to_bytes(4, "little") + png(), np.uint8)
    with Region(client, len(png()) + 4) as read, Region(client, 32 * 32 * 4) as written:
        shared_memory.set_shared_memory_region(read.handle, [content])
        image = triton.InferInput("image", [1], "BYTES")
        image.set_shared_memory(read.name, len(png()) + 4)
        wanted = triton.InferRequestedOutput("difference")
        wanted.set_shared_memory(written.name, 32 * 32 * 4)
        client.infer(MODEL, [image], outputs=[wanted], parameters={"steps": 2})
        found = shared_memory.get_contents_as_numpy(written.handle, np.float32, [32, 32])
        return bool(np.allclose(found, expected.as_numpy("difference"), atol=1e-6))


def region_is_listed(client: triton.InferenceServerClient) -> bool:
    with Region(client, 64) as region:
        listed = client.get_system_shared_memory_status().regions
    return listed[region.name].byte_size == 64 and region.name not in client.get_system_shared_memory_status().regions


def stream_of_one(client: triton.InferenceServerClient, target: Target, **more: Any) -> list[triton.InferResult]:
    request = {"model_name": target.streaming, "inputs": film(), "request_id": "one", "parameters": {"steps": 20}}
    found: list[triton.InferResult] = streamed(client, request | more)
    return found


def progress_of(client: triton.InferenceServerClient, target: Target) -> list[int]:
    """Steps taken, of every response before the result."""
    *told, _ = stream_of_one(client, target)
    if target.name == "medxgan":
        return [each.get_response().parameters["steps_taken"].int64_param for each in told]
    return [int(each.as_numpy("steps_taken")[0]) for each in told]


def error_amid_stream(client: triton.InferenceServerClient, target: Target) -> list[str]:
    """How three requests of one stream end, the second of which is wrong."""
    request = {"model_name": target.streaming, "inputs": film()}
    steps = {"first": 1, "wrong": 0, "last": 1}
    asked = (request | {"request_id": name, "parameters": {"steps": each}} for name, each in steps.items())
    return sorted(
        "an error" if isinstance(each, InferenceServerException) else each.get_response().id
        for each in streamed(client, *asked)
        if isinstance(each, InferenceServerException) or is_last(each)
    )


def configured(client: triton.InferenceServerClient) -> Any:
    return client.get_model_config(MODEL).config


Case = Callable[[triton.InferenceServerClient, Target], object]

CASES: dict[str, tuple[Case, object]] = {
    # Health.
    "server is live": (lambda c, t: c.is_server_live(), True),
    "server is ready": (lambda c, t: c.is_server_ready(), True),
    "model is ready": (lambda c, t: c.is_model_ready(MODEL), True),
    "version is ready": (lambda c, t: c.is_model_ready(MODEL, "3"), True),
    "absent version is ready": (lambda c, t: c.is_model_ready(MODEL, "9"), False),
    "absent model is ready": (lambda c, t: c.is_model_ready("absent"), False),
    # Metadata and configuration.
    "server's name": (lambda c, t: c.get_server_metadata().name, None),
    "extensions": (
        lambda c, t: {"parameters", "statistics", "system_shared_memory"} <= {*c.get_server_metadata().extensions},
        True,
    ),
    "model's versions": (lambda c, t: list(c.get_model_metadata(MODEL).versions), ["3"]),
    "model's platform": (lambda c, t: c.get_model_metadata(MODEL).platform, None),
    "inputs": (
        lambda c, t: [(each.name, each.datatype, list(each.shape)) for each in c.get_model_metadata(MODEL).inputs],
        [("image", "BYTES", [1])],
    ),
    "outputs": (lambda c, t: {each.name for each in c.get_model_metadata(MODEL).outputs}, OUTPUTS),
    "shape of a map": (
        lambda c, t: [list(each.shape) for each in c.get_model_metadata(MODEL).outputs if each.name == "difference"],
        [[32, 32]],
    ),
    "outputs of one map's model": (
        lambda c, t: c.get_model_metadata(f"{MODEL}.grad_cam").outputs[0].name,
        "grad_cam",
    ),
    "metadata of an absent model": (lambda c, t: status(lambda: c.get_model_metadata("absent")), "NOT_FOUND"),
    "metadata of an absent version": (lambda c, t: status(lambda: c.get_model_metadata(MODEL, "9")), "NOT_FOUND"),
    "configuration's outputs": (lambda c, t: {each.name for each in configured(c).output}, OUTPUTS),
    "batches": (lambda c, t: configured(c).max_batch_size, 0),
    "backend": (lambda c, t: configured(c).backend, None),
    "is decoupled": (lambda c, t: configured(c).model_transaction_policy.decoupled, None),
    "streaming model is decoupled": (
        lambda c, t: c.get_model_config(t.streaming).config.model_transaction_policy.decoupled,
        True,
    ),
    "parameters of the configuration": (
        lambda c, t: "steps" in str(configured(c).parameters["request_parameters"]),
        True,
    ),
    "levels of priority": (lambda c, t: configured(c).dynamic_batching.priority_levels, None),
    # Inference.
    "outputs of an inference": (lambda c, t: names_of(c.infer(MODEL, film(), parameters={"steps": 1})), OUTPUTS),
    "outputs that are asked for": (
        lambda c, t: names_of(c.infer(MODEL, film(), outputs=outputs("score", "difference"), parameters={"steps": 1})),
        {"score", "difference"},
    ),
    "who answered": (
        lambda c, t: [
            getattr(c.infer(MODEL, film(), request_id="7", parameters={"steps": 1}).get_response(), name)
            for name in ("id", "model_name", "model_version")
        ],
        ["7", MODEL, "3"],
    ),
    "a version by name": (lambda c, t: status(lambda: c.infer(MODEL, film(), "3", parameters={"steps": 1})), "OK"),
    "types": (
        lambda c, t: [
            c.infer(MODEL, film(), parameters={"steps": 1}).as_numpy(name).dtype.kind
            for name in ("difference", "score", "positive", "verdict", "reasons")
        ],
        ["f", "f", "b", "O", "O"],
    ),
    "whole number as parameter": (
        lambda c, t: details(c.infer(MODEL, film(), parameters={"steps": 3}))["outcome"]["steps_taken"],
        3,
    ),
    "float as parameter": (
        lambda c, t: details(c.infer(MODEL, film(), parameters={"steps": 1, "learning_rate": 0.25}))["settings"][
            "inversion"
        ]["learning_rate"],
        0.25,
    ),
    "text as parameter": (
        lambda c, t: details(c.infer(MODEL, film(), parameters={"steps": 1, "solver": "lbfgs"}))["settings"][
            "inversion"
        ]["solver"],
        "SOLVER_LBFGS",
    ),
    "priority": (lambda c, t: status(lambda: c.infer(MODEL, film(), priority=1, parameters={"steps": 1})), "OK"),
    "model of one map": (
        lambda c, t: c.infer(f"{MODEL}.grad_cam", film()).as_numpy("grad_cam").shape,
        (32, 32),
    ),
    "levels instead of a file": (lambda c, t: status(lambda: c.infer(MODEL, levels(), parameters={"steps": 1})), None),
    "plain call of a decoupled model": (
        lambda c, t: status(lambda: c.infer(t.streaming, film(), parameters={"steps": 1})),
        None,
    ),
    # Errors.
    "no image": (lambda c, t: status(lambda: c.infer(MODEL, film(b"none"))), "INVALID_ARGUMENT"),
    "unknown parameter": (
        lambda c, t: status(lambda: c.infer(MODEL, film(), parameters={"pace": 1})),
        "INVALID_ARGUMENT",
    ),
    "parameter out of range": (
        lambda c, t: status(lambda: c.infer(MODEL, film(), parameters={"steps": 0})),
        "INVALID_ARGUMENT",
    ),
    "parameter of another type": (
        lambda c, t: status(lambda: c.infer(MODEL, film(), parameters={"steps": "3"})),
        "INVALID_ARGUMENT",
    ),
    "unknown input": (lambda c, t: status(lambda: c.infer(MODEL, film(name="film"))), "INVALID_ARGUMENT"),
    "no input": (lambda c, t: status(lambda: c.infer(MODEL, [])), "INVALID_ARGUMENT"),
    "unknown output": (
        lambda c, t: status(lambda: c.infer(MODEL, film(), outputs=outputs("absent"))),
        "INVALID_ARGUMENT",
    ),
    "absent model": (lambda c, t: status(lambda: c.infer("absent", film())), "NOT_FOUND"),
    "absent version": (lambda c, t: status(lambda: c.infer(MODEL, film(), "9")), "NOT_FOUND"),
    "time that the request gives": (
        lambda c, t: status(lambda: c.infer(MODEL, film(), timeout=1, parameters={"steps": 2000})),
        None,
    ),
    "time that the client gives": (
        lambda c, t: status(lambda: c.infer(MODEL, film(), client_timeout=0.05, parameters={"steps": 2000})),
        "DEADLINE_EXCEEDED",
    ),
    # Streams.
    "progress": (progress_of, [5, 10, 15, 20]),
    "progress comes as tensors": (
        lambda c, t: bool(names_of(stream_of_one(c, t)[0])),
        None,
    ),
    "the last response of a stream": (
        lambda c, t: [(is_last(each), names_of(each) >= OUTPUTS) for each in stream_of_one(c, t)[-2:]],
        [(False, False), (True, True)],
    ),
    "empty last response": (
        lambda c, t: [
            (is_last(each), bool(names_of(each))) for each in stream_of_one(c, t, enable_empty_final_response=True)[-1:]
        ],
        None,
    ),
    "ids in a stream": (lambda c, t: {each.get_response().id for each in stream_of_one(c, t)}, {"one"}),
    "stream of a model without progress": (
        lambda c, t: [
            (is_last(each), names_of(each))
            for each in streamed(
                c, {"model_name": f"{MODEL}.grad_cam", "inputs": film(), "outputs": outputs("grad_cam")}
            )
        ],
        [(True, {"grad_cam"})],
    ),
    "an error amid a stream": (error_amid_stream, ["an error", "first", "last"]),
    # Statistics.
    "successes that are counted": (
        lambda c, t: counted(c, "success", lambda: c.infer(MODEL, film(), parameters={"steps": 1})),
        1,
    ),
    "failures that are counted": (lambda c, t: counted(c, "fail", lambda: c.infer(MODEL, film(b"none"))), None),
    "statistics of an absent model": (lambda c, t: status(lambda: c.get_inference_statistics("absent")), None),
    # Repository.
    "index": (
        lambda c, t: (
            {(each.name, each.version, each.state) for each in c.get_model_repository_index().models}
            >= {(MODEL, "3", "READY"), (f"{MODEL}.grad_cam", "3", "READY"), (t.streaming, "3", "READY")}
        ),
        True,
    ),
    "loading": (lambda c, t: status(lambda: c.load_model(MODEL)), None),
    "unloading": (lambda c, t: status(lambda: c.unload_model(MODEL)), None),
    # Shared memory.
    "an image and a map in shared memory": (lambda c, t: shared_image_and_map(c), True),
    "regions": (lambda c, t: region_is_listed(c), True),
    "status of an absent region": (
        lambda c, t: status(lambda: c.get_system_shared_memory_status("absent")),
        "NOT_FOUND",
    ),
    "unregistering an absent region": (lambda c, t: status(lambda: c.unregister_system_shared_memory("absent")), "OK"),
    "registering an absent object": (
        lambda c, t: status(lambda: c.register_system_shared_memory("absent", f"/{uuid.uuid4().hex}", 64)),
        None,
    ),
    "CUDA's regions": (lambda c, t: len(c.get_cuda_shared_memory_status().regions), 0),
    "unregistering CUDA's regions": (lambda c, t: status(c.unregister_cuda_shared_memory), "OK"),
    "registering a CUDA region": (
        lambda c, t: status(lambda: c.register_cuda_shared_memory("absent", b"x" * 64, 0, 64)),
        None,
    ),
    # Traces and the log.
    "traces": (lambda c, t: list(c.get_trace_settings().settings["trace_level"].value), ["OFF"]),
    "setting traces": (
        lambda c, t: status(lambda: c.update_trace_settings(settings={"trace_rate": "500"})),
        None,
    ),
    "traces of an absent model": (lambda c, t: status(lambda: c.get_trace_settings("absent")), None),
    "what is logged": (lambda c, t: c.get_log_settings().settings["log_error"].bool_param, True),
    "setting the log": (lambda c, t: status(lambda: c.update_log_settings({"log_verbose_level": 0})), None),
}
"""What is asked, and what both answer; None where they differ."""

_BACKEND = "In Triton, medxgan is behind its Python backend, and Triton says what it itself is."
_LOADED = "Ours loads models when it starts; Triton does where it is started with --model-control-mode=explicit."
_SET = "Ours is set when it starts: the log by log_level and log_format; it makes no traces."
_CODES = "The same refusal under another code."

DIFFERENCES = {
    "server's name": Difference("medxgan", "triton", _BACKEND),
    "model's platform": Difference("medxgan", "python", _BACKEND),
    "backend": Difference("medxgan", "python", _BACKEND),
    "is decoupled": Difference(
        True, False, "Triton answers a decoupled model in streams alone; so NAME is not, and NAME.progress is."
    ),
    "plain call of a decoupled model": Difference(
        "OK",
        "UNIMPLEMENTED",
        "Triton answers a decoupled model in streams alone; so NAME is not, and NAME.progress is.",
    ),
    "levels of priority": Difference(
        2, 0, "Triton orders its own queue, which is always empty here, and tells its backends of no priority."
    ),
    "levels instead of a file": Difference(
        "OK", "INVALID_ARGUMENT", "Triton takes the one type that is stated: a file. A TIFF holds levels of any type."
    ),
    "time that the request gives": Difference("DEADLINE_EXCEEDED", "UNAVAILABLE", _CODES),
    "progress comes as tensors": Difference(
        False, True, "Parameters of responses are not in every Triton; there, progress comes as tensors."
    ),
    "empty last response": Difference(
        [(True, False)], [(True, True)], "In Triton the result itself is the last response, and says so."
    ),
    "failures that are counted": Difference(
        1, 0, "Triton's Python backend counts a request as a success once it has been handed over."
    ),
    "statistics of an absent model": Difference("NOT_FOUND", "INVALID_ARGUMENT", _CODES),
    "loading": Difference("UNIMPLEMENTED", "UNAVAILABLE", _LOADED),
    "unloading": Difference("UNIMPLEMENTED", "UNAVAILABLE", _LOADED),
    "registering an absent object": Difference("INVALID_ARGUMENT", "INTERNAL", _CODES),
    "registering a CUDA region": Difference(
        "UNIMPLEMENTED", "INVALID_ARGUMENT", "Ours takes no CUDA shared memory; Triton none that is not one."
    ),
    "setting traces": Difference("UNIMPLEMENTED", "OK", _SET),
    "traces of an absent model": Difference("NOT_FOUND", "INVALID_ARGUMENT", _CODES),
    "setting the log": Difference("UNIMPLEMENTED", "OK", _SET),
}
"""By case. The table in docs/portability.md has the same."""


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
        end = time.monotonic() + 20
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
