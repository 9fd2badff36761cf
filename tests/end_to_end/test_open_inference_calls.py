"""Unmodified clients of Triton against a real server: by calls, and from an event loop."""

import asyncio
import json
from pathlib import Path

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub
from pydicom.data import get_testdata_file
from tests.end_to_end.conftest import Asking, wire
from tests.end_to_end.explaining import SIZE, png
from tests.end_to_end.triton_calls import is_last
from tests.end_to_end.triton_films import HOURS, LEVELS, Stream, film, refused
from tritonclient.utils import InferenceServerException

from medxgan.v1 import explanation_pb2
from medxgan.v1.explanation_pb2 import ExplainRequest, ExplainSettings, Image, InversionSettings, MapKind, MapRequest
from medxgan.v1.explanation_pb2_grpc import ExplanationServiceStub

PICTURES = ("original", "reconstruction", "negative_realization", "difference", "colorized")


def arrays(response: explanation_pb2.ExplainResponse) -> dict[str, np.ndarray]:
    """The maps that our own service gives, by name."""
    return {
        MapKind.Name(each.kind).removeprefix("MAP_KIND_").lower(): np.frombuffer(each.tensor.data, "<f4").reshape(
            each.tensor.shape
        )
        for each in response.maps
    }


def test_the_server_and_its_models_are_live_ready_and_described(triton_client: triton.InferenceServerClient) -> None:
    assert triton_client.is_server_live()
    assert triton_client.is_server_ready()
    assert triton_client.is_model_ready("tiny")
    assert triton_client.is_model_ready("tiny.grad_cam", "1")
    assert not triton_client.is_model_ready("tiny", "2")
    assert not triton_client.is_model_ready("nonsense")
    server = triton_client.get_server_metadata()
    assert server.name == "medxgan"
    assert {"system_shared_memory", "statistics", "model_configuration"} <= set(server.extensions)
    metadata = triton_client.get_model_metadata("tiny", as_json=True)
    assert (metadata["versions"], metadata["inputs"]) == (
        ["1"],
        [{"name": "image", "datatype": "BYTES", "shape": ["1"]}],
    )
    assert [each["name"] for each in metadata["outputs"]][:5] == list(PICTURES)
    configuration = triton_client.get_model_config("tiny").config
    assert (configuration.max_batch_size, configuration.model_transaction_policy.decoupled) == (0, True)
    assert "learning_rate" in configuration.parameters["request_parameters"].string_value
    assert not triton_client.get_model_config("tiny.grad_cam").config.model_transaction_policy.decoupled
    index = triton_client.get_model_repository_index()
    assert {(each.version, each.state) for each in index.models} == {("1", "READY")}
    assert {"tiny", "tiny.grad_cam", "tiny.difference"} <= {each.name for each in index.models}


def test_the_maps_are_those_of_our_own_service(
    triton_client: triton.InferenceServerClient, stub: ExplanationServiceStub
) -> None:
    settings = ExplainSettings(seed=5, inversion=InversionSettings(steps=20, learning_rate=0.05, restarts=2))
    ours = stub.Explain(ExplainRequest(image=wire(LEVELS), settings=settings))
    chosen = {"steps": 20, "learning_rate": 0.05, "restarts": 2, "seed": 5}
    theirs = triton_client.infer("tiny", [film(LEVELS)], request_id="seven", parameters=chosen)
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


def test_every_explainer_is_a_model(triton_client: triton.InferenceServerClient, stub: ExplanationServiceStub) -> None:
    settings = ExplainSettings(inversion=InversionSettings(steps=5, restarts=2))
    maps = [MapRequest(kind=kind) for kind in MapKind.values() if kind]
    ours = arrays(stub.Explain(ExplainRequest(image=wire(LEVELS), settings=settings, maps=maps)))
    assert len(ours) == 17
    for name, values in ours.items():
        theirs = triton_client.infer(f"tiny.{name}", [film(LEVELS)], parameters={"steps": 5, "restarts": 2})
        np.testing.assert_array_equal(theirs.as_numpy(name), values)


def test_the_uncertainty_has_the_restarts_that_it_needs(triton_client: triton.InferenceServerClient) -> None:
    answer = triton_client.infer("tiny.uncertainty", [film(LEVELS)], parameters={"steps": 3})
    assert json.loads(answer.as_numpy("details")[0])["settings"]["inversion"]["restarts"] == 2
    status, text = refused(triton_client, "tiny.uncertainty", parameters={"restarts": 1})
    assert (status, text.partition(":")[0]) == ("INVALID_ARGUMENT", "parameters.restarts")


def test_levels_and_files_give_the_same_score(triton_client: triton.InferenceServerClient) -> None:
    def score(content: np.ndarray | bytes) -> float:
        return float(triton_client.infer("tiny.grad_cam", [film(content)]).as_numpy("score")[0])

    expected = score(LEVELS)
    levels = [LEVELS.astype(np.uint16), LEVELS.astype(np.float32), LEVELS[np.newaxis], png(LEVELS)]
    # A file is reduced before it is opened, in single precision.
    assert [score(each) for each in levels] == pytest.approx([expected] * len(levels), rel=1e-4)


def test_a_dicom_film_and_its_compressed_form_are_the_same(triton_client: triton.InferenceServerClient) -> None:
    def original(name: str) -> np.ndarray:
        content = Path(str(get_testdata_file(name, download=False))).read_bytes()
        return triton_client.infer("tiny.original", [film(content)]).as_numpy("original")

    np.testing.assert_array_equal(original("RG1_UNCR.dcm"), original("RG1_J2KR.dcm"))


def test_the_outputs_asked_for_come_in_their_order(triton_client: triton.InferenceServerClient) -> None:
    outputs = [triton.InferRequestedOutput("verdict"), triton.InferRequestedOutput("difference")]
    answer = triton_client.infer("tiny", [film(LEVELS)], outputs=outputs, parameters={"steps": 2})
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
    triton_client: triton.InferenceServerClient, model: str, asked: dict[str, object], status: str, text: str
) -> None:
    got = refused(triton_client, model, **asked)
    assert (got[0], got[1][: len(text)]) == (status, text)


def test_the_time_that_a_request_gives_itself_stops_the_compute(endless_models: Path, asking: Asking) -> None:
    with asking(endless_models, maximum_batch=1) as (client, _):
        status, text = refused(client, "endless", timeout=300_000, parameters=HOURS)
        assert (status, text) == (
            "DEADLINE_EXCEEDED",
            "parameters.timeout: the answer was not there within 0.3 seconds",
        )
        assert client.infer("endless", [film(LEVELS)], parameters={"steps": 5}, client_timeout=60)


def test_the_same_from_an_event_loop(address: str, triton_client: triton.InferenceServerClient) -> None:
    expected = triton_client.infer("tiny", [film(LEVELS)], parameters={"steps": 12}).as_numpy("difference")

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
            assert is_last(heard[-1][0])
            np.testing.assert_array_equal(heard[-1][0].as_numpy("difference"), expected)

    asyncio.run(ask())


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
    triton_client: triton.InferenceServerClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "medxgan")
    secret = "Nobody^Shall^Know"
    refused(triton_client, secret, request_id=secret)
    refused(triton_client, parameters={secret: secret})
    refused(triton_client, inputs=[film(secret.encode())])
    with Stream(triton_client) as stream:
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
    triton_client: triton.InferenceServerClient, stub: ExplanationServiceStub, images: list[Image]
) -> None:
    ours = [stub.Explain.future(ExplainRequest(image=image)) for image in images[:3]]
    theirs = triton_client.infer("tiny", [film(LEVELS)])
    assert all(each.result(timeout=60).maps for each in ours)
    alone = triton_client.infer("tiny", [film(LEVELS)])
    np.testing.assert_allclose(theirs.as_numpy("reconstruction"), alone.as_numpy("reconstruction"), atol=0.02)
