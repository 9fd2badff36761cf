"""Unmodified clients of Triton against a real server: by calls, from an event loop, and in streams."""

import asyncio
import io
import json
import queue
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Self

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub
from PIL import Image as PillowImage
from pydicom.data import get_testdata_file
from tests.end_to_end.conftest import wire
from tritonclient.grpc import service_pb2
from tritonclient.utils import InferenceServerException, serialize_byte_tensor, shared_memory

from medxgan.server.embedded import EmbeddedServer
from medxgan.v1 import explanation_pb2
from medxgan.v1.explanation_pb2 import ExplainRequest, ExplainSettings, Image, InversionSettings, MapKind, MapRequest
from medxgan.v1.explanation_pb2_grpc import ExplanationServiceStub

SIZE = 32
LEVELS = np.random.default_rng(7).integers(0, 256, (40, 60), np.uint8)
PICTURES = ("original", "reconstruction", "negative_realization", "difference", "colorized")
HOURS = {"steps": 100_000_000}


@pytest.fixture(scope="module")
def address(models: Path) -> Iterator[str]:
    """Of a server of the tiny bundle."""
    with EmbeddedServer(models, "cpu") as server:
        yield server.address


@pytest.fixture(scope="module")
def client(address: str) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(address) as client:
        yield client


@pytest.fixture(scope="module")
def stub(address: str) -> Iterator[ExplanationServiceStub]:
    """Our own service on the same server."""
    with grpc.insecure_channel(address) as channel:
        yield ExplanationServiceStub(channel)


Asking = Callable[..., AbstractContextManager[tuple[triton.InferenceServerClient, str]]]


@pytest.fixture
def asking(monkeypatch: pytest.MonkeyPatch) -> Asking:
    """A client of a server of a folder of models, and its address; keyword arguments are settings."""

    @contextmanager
    def ask(models: Path, **settings: object) -> Iterator[tuple[triton.InferenceServerClient, str]]:
        for name, value in settings.items():
            monkeypatch.setenv(f"MEDXGAN_{name.upper()}", str(value))
        with EmbeddedServer(models, "cpu") as server, triton.InferenceServerClient(server.address) as client:
            yield client, server.address

    return ask


def png(levels: np.ndarray) -> bytes:
    file = io.BytesIO()
    PillowImage.fromarray(levels).save(file, "PNG")
    return file.getvalue()


def film(content: np.ndarray | bytes, kind: type[triton.InferInput] = triton.InferInput) -> triton.InferInput:
    """The input of a model."""
    if isinstance(content, bytes):
        tensor = kind("image", [1], "BYTES")
        return tensor.set_data_from_numpy(np.array([content], np.object_))
    datatype = {"uint8": "UINT8", "uint16": "UINT16", "float32": "FP32", "float64": "FP64"}[content.dtype.name]
    return kind("image", list(content.shape), datatype).set_data_from_numpy(content)


def arrays(response: explanation_pb2.ExplainResponse) -> dict[str, np.ndarray]:
    """The maps that our own service gives, by name."""
    return {
        MapKind.Name(each.kind).removeprefix("MAP_KIND_").lower(): np.frombuffer(each.tensor.data, "<f4").reshape(
            each.tensor.shape
        )
        for each in response.maps
    }


def refused(client: triton.InferenceServerClient, model: str = "tiny", **asked: object) -> tuple[str, str]:
    """The status and the text of a refusal."""
    asked = {"inputs": [film(LEVELS)], "parameters": {"steps": 2}} | asked
    with pytest.raises(InferenceServerException) as refusal:
        client.infer(model, **asked)
    return refusal.value.status().removeprefix("StatusCode."), refusal.value.message()


def test_the_server_and_its_models_are_live_ready_and_described(client: triton.InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("tiny")
    assert client.is_model_ready("tiny.grad_cam", "1")
    assert not client.is_model_ready("tiny", "2")
    assert not client.is_model_ready("nonsense")
    server = client.get_server_metadata()
    assert server.name == "medxgan"
    assert {"system_shared_memory", "statistics", "model_configuration"} <= set(server.extensions)
    metadata = client.get_model_metadata("tiny", as_json=True)
    assert (metadata["versions"], metadata["inputs"]) == (
        ["1"],
        [{"name": "image", "datatype": "BYTES", "shape": ["1"]}],
    )
    assert [each["name"] for each in metadata["outputs"]][:5] == list(PICTURES)
    configuration = client.get_model_config("tiny").config
    assert (configuration.max_batch_size, configuration.model_transaction_policy.decoupled) == (0, True)
    assert "learning_rate" in configuration.parameters["request_parameters"].string_value
    assert not client.get_model_config("tiny.grad_cam").config.model_transaction_policy.decoupled
    index = client.get_model_repository_index()
    assert {(each.version, each.state) for each in index.models} == {("1", "READY")}
    assert {"tiny", "tiny.grad_cam", "tiny.difference"} <= {each.name for each in index.models}


def test_the_maps_are_those_of_our_own_service(
    client: triton.InferenceServerClient, stub: ExplanationServiceStub
) -> None:
    settings = ExplainSettings(seed=5, inversion=InversionSettings(steps=20, learning_rate=0.05, restarts=2))
    ours = stub.Explain(ExplainRequest(image=wire(LEVELS), settings=settings))
    chosen = {"steps": 20, "learning_rate": 0.05, "restarts": 2, "seed": 5}
    theirs = client.infer("tiny", [film(LEVELS)], request_id="seven", parameters=chosen)
    response = theirs.get_response()
    assert (response.model_name, response.model_version, response.id) == ("tiny", "1", "seven")
    for name, values in arrays(ours).items():
        np.testing.assert_array_equal(theirs.as_numpy(name), values)
    assert theirs.as_numpy("score").tolist() == [ours.scores.original.probability]
    assert theirs.as_numpy("positive").tolist() == [ours.scores.original.positive]
    status = explanation_pb2.VerdictStatus.Name(ours.verdict.status).removeprefix("VERDICT_STATUS_")
    assert theirs.as_numpy("verdict").tolist() == [status.encode()]
    assert theirs.as_numpy("reasons").tolist() == [reason.sentence.encode() for reason in ours.verdict.reasons]
    details = json.loads(theirs.as_numpy("details")[0])
    assert details["settings"]["inversion"]["steps"] == 20
    assert details["outcome"]["steps_taken"] == ours.outcome.steps_taken
    assert details["geometry"]["box"]["bottom"] == ours.geometry.box.bottom
    assert details["scores"]["original"]["positive"] is ours.scores.original.positive


def test_every_explainer_is_a_model(client: triton.InferenceServerClient, stub: ExplanationServiceStub) -> None:
    settings = ExplainSettings(inversion=InversionSettings(steps=5, restarts=2))
    maps = [MapRequest(kind=kind) for kind in MapKind.values() if kind]
    ours = arrays(stub.Explain(ExplainRequest(image=wire(LEVELS), settings=settings, maps=maps)))
    assert len(ours) == 17
    for name, values in ours.items():
        theirs = client.infer(f"tiny.{name}", [film(LEVELS)], parameters={"steps": 5, "restarts": 2})
        np.testing.assert_array_equal(theirs.as_numpy(name), values)


def test_the_uncertainty_has_the_restarts_that_it_needs(client: triton.InferenceServerClient) -> None:
    answer = client.infer("tiny.uncertainty", [film(LEVELS)], parameters={"steps": 3})
    assert json.loads(answer.as_numpy("details")[0])["settings"]["inversion"]["restarts"] == 2
    status, text = refused(client, "tiny.uncertainty", parameters={"restarts": 1})
    assert (status, text.partition(":")[0]) == ("INVALID_ARGUMENT", "parameters.restarts")


def test_levels_and_files_give_the_same_score(client: triton.InferenceServerClient) -> None:
    def score(content: np.ndarray | bytes) -> float:
        return float(client.infer("tiny.grad_cam", [film(content)]).as_numpy("score")[0])

    expected = score(LEVELS)
    levels = [LEVELS.astype(np.uint16), LEVELS.astype(np.float32), LEVELS[np.newaxis], png(LEVELS)]
    # A file is reduced before it is opened, in single precision.
    assert [score(each) for each in levels] == pytest.approx([expected] * len(levels), rel=1e-4)


def test_a_dicom_film_and_its_compressed_form_are_the_same(client: triton.InferenceServerClient) -> None:
    def original(name: str) -> np.ndarray:
        content = Path(str(get_testdata_file(name, download=False))).read_bytes()
        return client.infer("tiny.original", [film(content)]).as_numpy("original")

    np.testing.assert_array_equal(original("RG1_UNCR.dcm"), original("RG1_J2KR.dcm"))


def test_the_outputs_asked_for_come_in_their_order(client: triton.InferenceServerClient) -> None:
    outputs = [triton.InferRequestedOutput("verdict"), triton.InferRequestedOutput("difference")]
    answer = client.infer("tiny", [film(LEVELS)], outputs=outputs, parameters={"steps": 2})
    assert [each.name for each in answer.get_response().outputs] == ["verdict", "difference"]
    assert answer.as_numpy("difference").shape == (SIZE, SIZE)
    assert answer.as_numpy("original") is None


@pytest.mark.parametrize(
    ("model", "asked", "status", "text"),
    [
        ("nonsense", {}, "NOT_FOUND", "no model nonsense is served"),
        ("tiny.nonsense", {}, "NOT_FOUND", "no model tiny.nonsense"),
        ("tiny", {"model_version": "7"}, "NOT_FOUND", "no version 7 of tiny is served; there is 1"),
        ("", {}, "INVALID_ARGUMENT", "model_name: expected the name"),
        ("tiny", {"parameters": {"stpes": 7}}, "INVALID_ARGUMENT", "parameters.stpes: unknown; there is steps"),
        ("tiny", {"parameters": {"steps": 0}}, "INVALID_ARGUMENT", "parameters.steps: "),
        ("tiny", {"parameters": {"steps": 10_000}}, "INVALID_ARGUMENT", "parameters.steps: expected 1 to 200"),
        ("tiny", {"parameters": {"target_class": "x"}}, "INVALID_ARGUMENT", "parameters.target_class: expected one of"),
        ("tiny", {"priority": 9}, "INVALID_ARGUMENT", "parameters.priority: expected 0 to 2"),
        ("tiny", {"sequence_id": 9}, "INVALID_ARGUMENT", "parameters.sequence_"),
        ("tiny", {"inputs": []}, "INVALID_ARGUMENT", "inputs: expected one input, image, got none"),
        ("tiny", {"inputs": [film(LEVELS.astype(np.float64))]}, "INVALID_ARGUMENT", "inputs.image: expected BYTES [1]"),
        ("tiny", {"inputs": [film(b"no picture")]}, "INVALID_ARGUMENT", "inputs.image: "),
        (
            "tiny",
            {"outputs": [triton.InferRequestedOutput("heat")]},
            "INVALID_ARGUMENT",
            "outputs: expected outputs of original, ",
        ),
        (
            "tiny",
            {"outputs": [triton.InferRequestedOutput("difference", class_count=3)]},
            "INVALID_ARGUMENT",
            "outputs.difference.classification: unknown",
        ),
    ],
)
def test_what_is_wrong_is_said(
    client: triton.InferenceServerClient, model: str, asked: dict[str, object], status: str, text: str
) -> None:
    got = refused(client, model, **asked)
    assert (got[0], got[1][: len(text)]) == (status, text)


def test_the_time_that_a_request_gives_itself_stops_the_compute(endless_models: Path, asking: Asking) -> None:
    with asking(endless_models, maximum_batch=1) as (client, _):
        status, text = refused(client, "endless", timeout=300_000, parameters=HOURS)
        assert (status, text) == (
            "DEADLINE_EXCEEDED",
            "parameters.timeout: the answer was not there within 0.3 seconds",
        )
        assert client.infer("endless", [film(LEVELS)], parameters={"steps": 5}, client_timeout=60)


class Stream:
    """One stream of a client, and what it has heard."""

    def __init__(self, client: triton.InferenceServerClient) -> None:
        self.client = client
        self.heard: queue.Queue[tuple[triton.InferResult | None, InferenceServerException | None]] = queue.Queue()

    def __enter__(self) -> Self:
        self.client.start_stream(lambda result, error: self.heard.put((result, error)))
        return self

    def __exit__(self, *_: object) -> None:
        self.client.stop_stream()

    def ask(self, model: str = "tiny", **asked: object) -> None:
        self.client.async_stream_infer(model, [film(LEVELS)], **asked)

    def next(self) -> triton.InferResult:
        result, error = self.heard.get(timeout=60)
        assert error is None, error
        return result

    def until_final(self) -> list[triton.InferResult]:
        results = [self.next()]
        while not is_final(results[-1]):
            results.append(self.next())
        return results


def is_final(result: triton.InferResult) -> bool:
    return result.get_response().parameters["triton_final_response"].bool_param


@pytest.mark.parametrize("empty", [True, False])
def test_a_stream_tells_its_progress_and_which_response_is_the_last(
    client: triton.InferenceServerClient, empty: bool
) -> None:
    with Stream(client) as stream:
        stream.ask(request_id="a", parameters={"steps": 25}, enable_empty_final_response=empty)
        results = stream.until_final()
    if empty:
        assert not results.pop().get_response().outputs
    *progress, result = results
    taken = [each.get_response().parameters["steps_taken"].int64_param for each in progress]
    assert taken == sorted(set(taken))
    assert taken[-1] == 25
    for each in progress:
        told = each.get_response()
        assert (told.id, told.model_name, len(told.outputs)) == ("a", "tiny", 0)
        assert told.parameters["steps_total"].int64_param == 25
        assert told.parameters["reconstruction_mse"].double_param > 0
        assert told.parameters["phase"].string_param == "inversion"
    alone = client.infer("tiny", [film(LEVELS)], parameters={"steps": 25})
    np.testing.assert_array_equal(result.as_numpy("difference"), alone.as_numpy("difference"))


def test_a_model_without_progress_has_one_response(client: triton.InferenceServerClient) -> None:
    with Stream(client) as stream:
        stream.ask("tiny.grad_cam", enable_empty_final_response=True)
        (result,) = stream.until_final()
    assert result.as_numpy("grad_cam").shape == (SIZE, SIZE)
    assert stream.heard.empty()


def test_one_request_of_a_stream_that_is_wrong_does_not_end_the_others(client: triton.InferenceServerClient) -> None:
    with Stream(client) as stream:
        for number in range(12):
            wrong = {"parameters": {"stpes": 1}} if number % 2 else {"parameters": {"steps": 2}}
            stream.ask(request_id=str(number), **wrong)
        stream.client.stop_stream()  # waits for all
    heard = list(stream.heard.queue)
    errors = [error.message() for _, error in heard if error]
    assert len(errors) == 6
    assert all(error.startswith("parameters.stpes: unknown") for error in errors)
    finished = {result.get_response().id for result, _ in heard if result and is_final(result)}
    assert finished == {str(number) for number in range(0, 12, 2)}


def test_a_message_of_other_bytes_does_not_end_a_stream(address: str) -> None:
    with grpc.insecure_channel(address) as channel:
        call = channel.stream_stream("/inference.GRPCInferenceService/ModelStreamInfer")
        answers = [service_pb2.ModelStreamInferResponse.FromString(each) for each in call(iter([b"\xff" * 9] * 2))]
    text = "expected a message of inference.GRPCInferenceService, got other bytes"
    assert [answer.error_message for answer in answers] == [text] * 2


def test_a_cancelled_stream_stops_the_compute(endless_models: Path, asking: Asking) -> None:
    with asking(endless_models, maximum_batch=1) as (client, _):
        with Stream(client) as stream:
            stream.ask("endless", parameters=HOURS)
            assert stream.next().get_response().parameters["steps_taken"].int64_param > 0
            client.stop_stream(cancel_requests=True)
        assert client.infer("endless", [film(LEVELS)], parameters={"steps": 5}, client_timeout=60)
        (statistics,) = client.get_inference_statistics("endless").model_stats
        assert (statistics.inference_stats.success.count, statistics.inference_stats.fail.count) == (1, 1)


def test_streams_are_bounded_in_number(models: Path, asking: Asking) -> None:
    with asking(models, maximum_streams_per_caller=1) as (one, address), triton.InferenceServerClient(address) as other:
        with Stream(one) as first:
            first.ask("tiny.grad_cam")
            first.until_final()
            with Stream(other) as second:
                _, error = second.heard.get(timeout=60)
                assert error.status() == "StatusCode.RESOURCE_EXHAUSTED"
            first.ask("tiny.grad_cam")
            first.until_final()
        with Stream(other) as third:
            third.ask("tiny.grad_cam")
            third.until_final()


def test_an_idle_stream_does_not_keep_the_server_from_stopping(models: Path) -> None:
    with ExitStack() as stack:
        with EmbeddedServer(models, "cpu") as server:
            client = stack.enter_context(triton.InferenceServerClient(server.address))
            stream = stack.enter_context(Stream(client))
            stream.ask("tiny.grad_cam")
            stream.until_final()
        _, error = stream.heard.get(timeout=60)
        assert error is not None


def test_the_same_from_an_event_loop(address: str, client: triton.InferenceServerClient) -> None:
    expected = client.infer("tiny", [film(LEVELS)], parameters={"steps": 12}).as_numpy("difference")

    async def ask() -> None:
        async with triton_aio.InferenceServerClient(address) as loop_client:
            assert await loop_client.is_server_ready()
            inputs = [film(LEVELS, triton_aio.InferInput)]
            answers = await asyncio.gather(
                *(loop_client.infer("tiny.difference", inputs, parameters={"steps": 12}) for _ in range(3))
            )
            for answer in answers:
                np.testing.assert_allclose(answer.as_numpy("difference"), expected, atol=1e-3)
            with pytest.raises(InferenceServerException, match="no model nonsense"):
                await loop_client.infer("nonsense", inputs)

            async def requests():
                yield {"model_name": "tiny", "inputs": inputs, "parameters": {"steps": 12}}

            heard = [each async for each in loop_client.stream_infer(requests())]
            assert [error for _, error in heard if error] == []
            assert is_final(heard[-1][0])
            np.testing.assert_array_equal(heard[-1][0].as_numpy("difference"), expected)

    asyncio.run(ask())


def test_tensors_in_shared_memory(client: triton.InferenceServerClient) -> None:
    expected = client.infer("tiny.grad_cam", [film(LEVELS)])
    size = expected.as_numpy("grad_cam").nbytes
    levels = shared_memory.create_shared_memory_region("levels", f"/medxgan-{uuid.uuid4().hex}", LEVELS.nbytes)
    key = f"medxgan-{uuid.uuid4().hex}"
    answers = shared_memory.create_shared_memory_region("answers", key, size + 64)
    try:
        shared_memory.set_shared_memory_region(levels, [LEVELS])
        client.register_system_shared_memory("levels", levels._shm_key, LEVELS.nbytes)
        client.register_system_shared_memory("answers", key, size + 64)
        status = client.get_system_shared_memory_status()
        assert status.regions["answers"].byte_size == size + 64
        image = triton.InferInput("image", list(LEVELS.shape), "UINT8")
        image.set_shared_memory("levels", LEVELS.nbytes)
        cam, score = triton.InferRequestedOutput("grad_cam"), triton.InferRequestedOutput("score")
        cam.set_shared_memory("answers", size, offset=64)
        result = client.infer("tiny.grad_cam", [image], outputs=[cam, score])
        assert result.as_numpy("score") == expected.as_numpy("score")
        placed = shared_memory.get_contents_as_numpy(answers, np.float32, [SIZE, SIZE], offset=64)
        np.testing.assert_array_equal(placed, expected.as_numpy("grad_cam"))
        stated = result.get_output("grad_cam").parameters
        assert stated["shared_memory_region"].string_param == "answers"
        assert stated["shared_memory_byte_size"].int64_param == size
        cam.set_shared_memory("answers", size - 1)
        got = refused(client, "tiny.grad_cam", inputs=[image], outputs=[cam], parameters=None)
        assert got == (
            "INVALID_ARGUMENT",
            f"outputs.grad_cam.shared_memory_byte_size: expected {size} or more for this output, got {size - 1}",
        )
        client.unregister_system_shared_memory("levels")
        got = refused(client, "tiny.grad_cam", inputs=[image], parameters=None)
        assert got == ("NOT_FOUND", "no region levels of system shared memory is registered")
        client.unregister_system_shared_memory()
        assert not client.get_system_shared_memory_status().regions
    finally:
        for region in (levels, answers):
            shared_memory.destroy_shared_memory_region(region)


def test_a_file_in_shared_memory(client: triton.InferenceServerClient) -> None:
    content = serialize_byte_tensor(np.array([png(LEVELS)], np.object_))
    size = len(content.item())
    region = shared_memory.create_shared_memory_region("file", f"/medxgan-{uuid.uuid4().hex}", size)
    try:
        shared_memory.set_shared_memory_region(region, [content])
        client.register_system_shared_memory("file", region._shm_key, size)
        image = triton.InferInput("image", [1], "BYTES")
        image.set_shared_memory("file", size)
        placed = client.infer("tiny.grad_cam", [image]).as_numpy("score")
        assert placed == client.infer("tiny.grad_cam", [film(png(LEVELS))]).as_numpy("score")
    finally:
        client.unregister_system_shared_memory("file")
        shared_memory.destroy_shared_memory_region(region)


def test_what_the_server_does_not_do_it_says(client: triton.InferenceServerClient) -> None:
    def refusal(call: str, *arguments: object) -> tuple[str, str]:
        with pytest.raises(InferenceServerException) as error:
            getattr(client, call)(*arguments)
        return error.value.status().removeprefix("StatusCode."), error.value.message()

    status, text = refusal("register_cuda_shared_memory", "region", b"aGFuZGxl", 0, 64)
    assert (status, text.partition(":")[0]) == ("UNIMPLEMENTED", "this server takes no CUDA shared memory")
    assert not client.get_cuda_shared_memory_status().regions
    client.unregister_cuda_shared_memory()
    assert client.get_trace_settings().settings["trace_level"].value == ["OFF"]
    assert refusal("update_trace_settings", None, {"trace_level": ["TIMESTAMPS"]})[0] == "UNIMPLEMENTED"
    assert client.get_log_settings().settings["log_error"].bool_param
    assert refusal("update_log_settings", {"log_verbose_level": 1})[0] == "UNIMPLEMENTED"


def test_what_was_done_is_counted(models: Path, asking: Asking) -> None:
    with asking(models) as (client, _):
        for _ in range(2):
            client.infer("tiny", [film(LEVELS)], parameters={"steps": 5})
        refused(client, parameters={"stpes": 1})
        (said,) = client.get_inference_statistics("tiny").model_stats
        stats = said.inference_stats
        assert (said.inference_count, stats.success.count, stats.fail.count) == (2, 2, 1)
        parts = stats.queue.ns + stats.compute_input.ns + stats.compute_infer.ns + stats.compute_output.ns
        assert 0 < parts <= stats.success.ns
        assert stats.compute_infer.ns > 0
        every = client.get_inference_statistics().model_stats
        assert {each.name: each.inference_count for each in every}["tiny.grad_cam"] == 0


def test_shared_memory_is_refused_where_the_setting_says_so(models: Path, asking: Asking) -> None:
    with asking(models, shared_memory="off") as (client, _):
        assert "system_shared_memory" not in client.get_server_metadata().extensions
        with pytest.raises(InferenceServerException, match="takes no shared memory"):
            client.register_system_shared_memory("region", "/object", 64)
        client.unregister_system_shared_memory()


def test_the_protocol_can_be_turned_off(models: Path, asking: Asking) -> None:
    with asking(models, open_inference=False) as (client, _):
        with pytest.raises(InferenceServerException) as refusal:
            client.is_server_live()
        assert refusal.value.status() == "StatusCode.UNIMPLEMENTED"


def test_reflection_lists_it(address: str) -> None:
    with grpc.insecure_channel(address) as channel:
        ask = ServerReflectionStub(channel).ServerReflectionInfo
        (listed,) = ask(iter([ServerReflectionRequest(list_services="")]))
        names = {service.name for service in listed.list_services_response.service}
        assert {"inference.GRPCInferenceService", "medxgan.v1.ExplanationService"} <= names
        for symbol in ("inference.ModelInferRequest", "medxgan.v1.ExplainRequest", "grpc.health.v1.Health"):
            (answer,) = ask(iter([ServerReflectionRequest(file_containing_symbol=symbol)]))
            assert answer.file_descriptor_response.file_descriptor_proto, symbol


def test_a_log_line_holds_nothing_that_a_caller_wrote(
    client: triton.InferenceServerClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "medxgan")
    secret = "Nobody^Shall^Know"
    refused(client, secret, request_id=secret)
    refused(client, parameters={secret: secret})
    refused(client, inputs=[film(secret.encode())])
    with Stream(client) as stream:
        stream.ask(secret, request_id=secret)
    lines = [record.msg for record in caplog.records if record.name.startswith("medxgan.server.wire")]
    assert [(line["event"], line["method"], line["code"]) for line in lines] == [
        ("request", "ModelInfer", "NOT_FOUND"),
        ("request", "ModelInfer", "INVALID_ARGUMENT"),
        ("request", "ModelInfer", "INVALID_ARGUMENT"),
        ("request", "ModelStreamInfer", "NOT_FOUND"),
        ("stream", "ModelStreamInfer", "OK"),
    ]
    assert secret not in caplog.text


def test_an_image_of_our_own_service_and_theirs_share_one_batch(
    client: triton.InferenceServerClient, stub: ExplanationServiceStub, images: list[Image]
) -> None:
    ours = [stub.Explain.future(ExplainRequest(image=image)) for image in images[:3]]
    theirs = client.infer("tiny", [film(LEVELS)])
    assert all(each.result(timeout=60).maps for each in ours)
    alone = client.infer("tiny", [film(LEVELS)])
    np.testing.assert_allclose(theirs.as_numpy("reconstruction"), alone.as_numpy("reconstruction"), atol=0.02)
