"""Who leaves a server before the answer, or comes when it is full: the compute stops, and there is room again."""

import json
import shutil
from pathlib import Path

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from tests.end_to_end.conftest import Serving
from tests.end_to_end.explaining import inverting

from medxgan.v1.explanation_pb2 import (
    MAP_KIND_POSITIVE_REALIZATION,
    PROGRESS_PHASE_POSITIVE_REALIZATION,
    ClassifyRequest,
    ExplainRequest,
    Image,
    ListModelsRequest,
    MapRequest,
)
from medxgan.v1.explanation_pb2_grpc import ExplanationServiceStub

HOURS = inverting(steps=100_000_000)

# In the tests below the batch has one row. What comes next is answered only once the compute before it has stopped,
# which left alone would go on for hours: an answer is the proof, and a failure shows as a passed deadline.


def test_a_cancelled_call_stops_the_compute(endless_models: Path, serving: Serving, image: Image) -> None:
    with serving(endless_models, maximum_batch=1) as channel:
        stub = ExplanationServiceStub(channel)
        stream = stub.ExplainStream(ExplainRequest(image=image, settings=HOURS))
        assert next(stream).progress.steps_taken > 0
        stream.cancel()
        answer = stub.Explain(ExplainRequest(image=image, settings=inverting(steps=5)), timeout=60)
        assert answer.outcome.steps_taken == 5


def test_a_passed_deadline_stops_the_compute(endless_models: Path, serving: Serving, image: Image) -> None:
    with serving(endless_models, maximum_batch=1) as channel:
        stub = ExplanationServiceStub(channel)
        with pytest.raises(grpc.RpcError) as late:
            stub.Explain(ExplainRequest(image=image, settings=HOURS), timeout=0.5)
        assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        answer = stub.Explain(ExplainRequest(image=image, settings=inverting(steps=5)), timeout=60)
        assert answer.outcome.steps_taken == 5


def test_a_full_server_says_when_to_come_back_and_has_room_again(
    endless_models: Path, serving: Serving, image: Image
) -> None:
    with serving(endless_models, maximum_batch=1, maximum_waiting=0, retry_delay_seconds=1.5) as channel:
        stub = ExplanationServiceStub(channel)
        stream = stub.ExplainStream(ExplainRequest(image=image, settings=HOURS))
        next(stream)
        with pytest.raises(grpc.RpcError) as busy:
            stub.Explain(ExplainRequest(image=image))
        assert busy.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        status = status_pb2.Status.FromString(dict(busy.value.trailing_metadata())["grpc-status-details-bin"])
        retry = error_details_pb2.RetryInfo()
        assert status.details[0].Unpack(retry)
        assert retry.retry_delay.ToMilliseconds() == 1500
        assert stub.ListModels(ListModelsRequest()).models, "what does not compute is answered all the same"
        stream.cancel()
        assert eventually_classified(stub, image)


def test_leaving_during_the_search_for_a_positive_realization_stops_it(
    endless_models: Path, tmp_path: Path, serving: Serving, image: Image
) -> None:
    bundle = tmp_path / "searching" / "1"
    shutil.copytree(endless_models / "endless" / "1", bundle)
    description = json.loads((bundle / "bundle.json").read_text()) | {"name": "searching"}
    description["inversion"] |= {"tolerance": 0.9}  # the inversion soon settles, the search never ends
    description["classification"]["decision_threshold"] = 0.99999
    (bundle / "bundle.json").write_text(json.dumps(description))
    with serving(tmp_path, maximum_batch=1, maximum_waiting=0) as channel:
        stub = ExplanationServiceStub(channel)
        wanted = [MapRequest(kind=MAP_KIND_POSITIVE_REALIZATION)]
        stream = stub.ExplainStream(ExplainRequest(image=image, settings=HOURS, maps=wanted))
        assert any(message.progress.phase == PROGRESS_PHASE_POSITIVE_REALIZATION for message in stream)
        stream.cancel()
        assert eventually_classified(stub, image), "the place of the one who left is free again"


def eventually_classified(stub: ExplanationServiceStub, image: Image) -> bool:
    """Ask until there is room; the server hears of a cancelled call a moment after the caller cancels it."""
    for _ in range(10_000):
        try:
            return bool(stub.Classify(ClassifyRequest(image=image)).predicted_class)
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
                raise
    return False


def test_leaving_the_embedded_server_ends_what_still_runs(endless_models: Path, serving: Serving, image: Image) -> None:
    with serving(endless_models) as channel:
        stream = ExplanationServiceStub(channel).ExplainStream(ExplainRequest(image=image, settings=HOURS))
        next(stream)
    with pytest.raises(grpc.RpcError):
        list(stream)
