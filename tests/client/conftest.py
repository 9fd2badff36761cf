"""A real gRPC server on a free port whose answers and failures the tests choose."""

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status
from numpy.typing import NDArray

from medxgan.v1 import bundle_pb2, explanation_pb2, explanation_pb2_grpc

SIZE = 16
IDENTITY = explanation_pb2.ModelIdentity(name="chest", version="2", bundle_sha256="ab" * 32)
EXECUTION = explanation_pb2.Execution(engine="onnxruntime", provider="CPUExecutionProvider", requested="auto")


def tensor(values: NDArray[np.float32]) -> explanation_pb2.Tensor:
    data = values.astype("<f4").tobytes()
    return explanation_pb2.Tensor(shape=values.shape, data_type=bundle_pb2.DATA_TYPE_FLOAT32, data=data)


def map_values() -> dict[int, NDArray[np.float32]]:
    random = np.random.default_rng(7)
    original, reconstruction, negative = random.uniform(-1, 1, (3, SIZE, SIZE)).astype(np.float32)
    return {
        explanation_pb2.MAP_KIND_ORIGINAL: original,
        explanation_pb2.MAP_KIND_RECONSTRUCTION: reconstruction,
        explanation_pb2.MAP_KIND_NEGATIVE_REALIZATION: negative,
        explanation_pb2.MAP_KIND_DIFFERENCE: reconstruction - negative,
        explanation_pb2.MAP_KIND_COLORIZED: random.uniform(0, 1, (SIZE, SIZE, 3)).astype(np.float32),
        explanation_pb2.MAP_KIND_APPLIED_NEGATIVE: random.uniform(-1, 1, (SIZE, SIZE)).astype(np.float32),
        explanation_pb2.MAP_KIND_RESIDUAL: random.uniform(-0.2, 0.1, (SIZE, SIZE)).astype(np.float32),
        explanation_pb2.MAP_KIND_UNCERTAINTY: random.uniform(0, 0.05, (SIZE, SIZE)).astype(np.float32),
        explanation_pb2.MAP_KIND_POSITIVE_REALIZATION: random.uniform(-1, 1, (SIZE, SIZE)).astype(np.float32),
    }


FIRST_KINDS = list(map_values())[:5]
"""What a request gets that names no map."""


@dataclass
class FakeService(explanation_pb2_grpc.ExplanationServiceServicer):
    """Answers every call alike, after the failures that a test has queued."""

    address: str = ""
    requests: list[Any] = field(default_factory=list)
    failures: deque[status_pb2.Status] = field(default_factory=deque)
    maps: dict[int, NDArray[np.float32]] = field(default_factory=map_values)
    answer: explanation_pb2.ExplainResponse = field(default_factory=explanation_pb2.ExplainResponse)
    unreadable: bytes | None = None
    events: Iterable[explanation_pb2.ExplainStreamResponse] | None = None
    fail_after_events: bool = False
    has_generator: bool = True
    positive_score: float = 0.7
    hold: threading.Event = field(default_factory=threading.Event)
    dropped: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.hold.set()
        self.answer.CopyFrom(
            explanation_pb2.ExplainResponse(
                model=IDENTITY,
                execution=EXECUTION,
                inversion=explanation_pb2.InversionSettings(
                    steps=200, learning_rate=0.05, reconstruction_weight=4, restarts=1
                ),
                scores=explanation_pb2.Scores(
                    original=0.9,
                    reconstruction=0.8,
                    negative_realization=0.1,
                    applied_negative=0.6,
                    decision_threshold=0.5,
                ),
                verdict=explanation_pb2.Verdict(status=explanation_pb2.VERDICT_STATUS_RELIABLE),
                outcome=explanation_pb2.InversionOutcome(
                    steps_taken=160, converged=True, reconstruction_mse=0.01, classification_loss=0.3
                ),
                timing=explanation_pb2.Timing(
                    queued_ms=1, preprocess_ms=2, inversion_ms=30, positive_realization_ms=5, maps_ms=4, total_ms=42
                ),
                notes=["colour was converted to grey"],
            )
        )

    def fail(self, code: grpc.StatusCode, message: str, *details: Any, times: int = 1) -> None:
        """Queue a failure of the next calls."""
        status = status_pb2.Status(code=code.value[0], message=message)
        for detail in details:
            packed = any_pb2.Any()
            packed.Pack(detail)
            status.details.append(packed)
        self.failures.extend([status] * times)

    def _receive(self, request: Any, context: grpc.ServicerContext) -> None:
        self.requests.append(request)
        context.add_callback(self.dropped.set)
        self.hold.wait()
        if self.unreadable is not None and self._encoded(request) == self.unreadable:
            violation = error_details_pb2.BadRequest.FieldViolation(field="image.encoded", description="not an image")
            details = error_details_pb2.BadRequest(field_violations=[violation])
            self.fail(grpc.StatusCode.INVALID_ARGUMENT, "bad", details)
        if self.failures:
            context.abort_with_status(rpc_status.to_status(self.failures.popleft()))

    @staticmethod
    def _encoded(request: Any) -> bytes | None:
        return request.image.encoded if "image" in request.DESCRIPTOR.fields_by_name else None

    def _explanation(self, request: explanation_pb2.ExplainRequest) -> explanation_pb2.ExplainResponse:
        answer = explanation_pb2.ExplainResponse()
        answer.CopyFrom(self.answer)
        answer.seed = request.seed
        kinds = [entry.kind for entry in request.maps] or FIRST_KINDS
        for kind in kinds:
            answer.maps.add(kind=kind, tensor=tensor(self.maps[kind]))
        if request.inversion.restarts:
            answer.inversion.restarts = request.inversion.restarts
        if request.inversion.restarts > 1:
            answer.outcome.restart, answer.outcome.difference_spread = 2, 0.025
        if explanation_pb2.MAP_KIND_POSITIVE_REALIZATION in kinds or request.HasField("trajectory"):
            answer.scores.positive_realization = self.positive_score
            answer.positive_realization.CopyFrom(
                explanation_pb2.PositiveRealizationOutcome(
                    found=self.positive_score >= 0.5, steps_taken=12, scale=0.75, change_mse=0.02
                )
            )
        for position in np.linspace(0, 1, request.trajectory.frames):
            picture = tensor(np.full((SIZE, SIZE), 2 * position - 1, np.float32))
            answer.trajectory.add(position=position, score=position, tensor=picture)
        return answer

    def Explain(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        self._receive(request, context)
        return self._explanation(request)

    def ExplainStream(self, request: Any, context: grpc.ServicerContext) -> Iterator[Any]:  # noqa: N802
        self._receive(request, context)
        if self.events is not None:
            yield from self.events
        else:
            for steps in (80, 160):
                progress = explanation_pb2.Progress(
                    steps_taken=steps,
                    steps_total=200,
                    reconstruction_mse=0.1,
                    phase=explanation_pb2.PROGRESS_PHASE_INVERSION,
                )
                yield explanation_pb2.ExplainStreamResponse(progress=progress)
            yield explanation_pb2.ExplainStreamResponse(result=self._explanation(request))
        if self.fail_after_events:
            context.abort(grpc.StatusCode.UNAVAILABLE, "shutting down")

    def Classify(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        self._receive(request, context)
        return explanation_pb2.ClassifyResponse(
            model=IDENTITY,
            execution=EXECUTION,
            probability=0.9,
            decision_threshold=0.5,
            predicted_class="pneumonia",
            notes=["colour was converted to grey"],
        )

    def Attribute(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        self._receive(request, context)
        original = self.maps[explanation_pb2.MAP_KIND_ORIGINAL]
        answer = explanation_pb2.AttributeResponse(
            model=IDENTITY,
            execution=EXECUTION,
            logit=2.5,
            image=tensor(original),
            target=request.target,
            target_class="pneumonia",
            seed=request.seed,
            notes=["colour was converted to grey"],
        )
        integrating = {
            explanation_pb2.ATTRIBUTION_METHOD_INTEGRATED_GRADIENTS,
            explanation_pb2.ATTRIBUTION_METHOD_LATENT_INTEGRATED_GRADIENTS,
        }
        generating = {
            explanation_pb2.ATTRIBUTION_METHOD_LATENT_INTEGRATED_GRADIENTS,
            explanation_pb2.ATTRIBUTION_METHOD_DIFFERENCE_MAP,
            explanation_pb2.ATTRIBUTION_METHOD_RESIDUAL_MAP,
            explanation_pb2.ATTRIBUTION_METHOD_EVIDENCE_MAP,
        }
        for method in request.methods:
            entry = answer.attributions.add(method=method, values=tensor(original * method), elapsed_ms=method / 10)
            if method in integrating:
                entry.completeness.CopyFrom(explanation_pb2.Completeness(attributed=3.1, change=3.2, error=0.1))
        if {*integrating, explanation_pb2.ATTRIBUTION_METHOD_EVIDENCE_MAP} & {*request.methods}:
            answer.integrated_gradients.steps, answer.integrated_gradients.baseline = 50, -1
        if explanation_pb2.ATTRIBUTION_METHOD_OCCLUSION in request.methods:
            answer.occlusion.CopyFrom(explanation_pb2.OcclusionSettings(window=2, stride=1, level=-1))
        if generating & {*request.methods}:
            answer.inversion.CopyFrom(self.answer.inversion)
            answer.verdict.CopyFrom(self.answer.verdict)
        return answer

    def ListModels(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        self._receive(request, context)
        answer = explanation_pb2.ListModelsResponse()
        answer.models.add(
            model=IDENTITY,
            modality="frontal chest radiograph",
            positive_class="pneumonia",
            negative_class="no finding",
            license="Apache-2.0",
            execution=EXECUTION,
        )
        return answer

    def GetModel(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        self._receive(request, context)
        bundle = bundle_pb2.Bundle(
            name="chest", version="2", classification=bundle_pb2.Classification(positive_class="pneumonia")
        )
        if self.has_generator:
            bundle.graphs.add(role=bundle_pb2.GRAPH_ROLE_GENERATOR)
        return explanation_pb2.GetModelResponse(model=IDENTITY, bundle=bundle, execution=EXECUTION)


@pytest.fixture
def service() -> Iterator[FakeService]:
    """A fake service that is up."""
    fake = FakeService()
    server = grpc.server(ThreadPoolExecutor(4))
    explanation_pb2_grpc.add_ExplanationServiceServicer_to_server(fake, server)
    fake.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    yield fake
    fake.hold.set()
    server.stop(grace=None).wait()


@pytest.fixture
def grey() -> NDArray[np.uint8]:
    """A small grey picture, [9, 8] uint8."""
    return np.arange(72, dtype=np.uint8).reshape(9, 8)
