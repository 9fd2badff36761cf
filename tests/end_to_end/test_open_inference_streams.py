"""Streams of an unmodified client of Triton: their progress, what ends one, and what doesn't."""

from contextlib import ExitStack
from pathlib import Path

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
from tests.end_to_end.conftest import Asking
from tests.end_to_end.explaining import SIZE
from tests.end_to_end.triton_calls import is_last
from tests.end_to_end.triton_films import HOURS, LEVELS, Stream, film
from tritonclient.grpc import service_pb2

from medxgan.server.embedded import EmbeddedServer


@pytest.mark.parametrize("empty", [True, False])
def test_a_stream_tells_its_progress_and_which_response_is_the_last(
    triton_client: triton.InferenceServerClient, empty: bool
) -> None:
    with Stream(triton_client) as stream:
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
    alone = triton_client.infer("tiny", [film(LEVELS)], parameters={"steps": 25})
    np.testing.assert_array_equal(result.as_numpy("difference"), alone.as_numpy("difference"))


def test_a_model_without_progress_has_one_response(triton_client: triton.InferenceServerClient) -> None:
    with Stream(triton_client) as stream:
        stream.ask("tiny.grad_cam", enable_empty_final_response=True)
        (result,) = stream.until_final()
    assert result.as_numpy("grad_cam").shape == (SIZE, SIZE)
    assert stream.heard.empty()


def test_one_request_of_a_stream_that_is_wrong_does_not_end_the_others(
    triton_client: triton.InferenceServerClient,
) -> None:
    with Stream(triton_client) as stream:
        for number in range(12):
            wrong = {"parameters": {"stpes": 1}} if number % 2 else {"parameters": {"steps": 2}}
            stream.ask(request_id=str(number), **wrong)
        stream.client.stop_stream()  # waits for all
    heard = list(stream.heard.queue)
    errors = [error.message() for _, error in heard if error]
    assert len(errors) == 6
    assert all(error.startswith("parameters.stpes: unknown") for error in errors)
    finished = {result.get_response().id for result, _ in heard if result and is_last(result)}
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
