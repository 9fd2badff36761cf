"""A real gRPC server on a free port whose answers and failures the tests choose."""

import io
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status
from numpy.typing import NDArray
from PIL import Image
from tests.ports import free_port

from medxgan.v1 import bundle_pb2, explanation_pb2, explanation_pb2_grpc

SIZE = 16
IDENTITY = explanation_pb2.ModelIdentity(name="chest", version="2", bundle_sha256="ab" * 32)
EXECUTION = explanation_pb2.Execution(engine="onnxruntime", provider="CPUExecutionProvider", requested="auto")
# A film of 40 rows and 50 columns, cropped to its middle 40 columns.
GEOMETRY = explanation_pb2.Geometry(
    rows=40,
    columns=50,
    orientation=explanation_pb2.ORIENTATION_AS_STORED,
    box=explanation_pb2.Box(top=0, left=5, bottom=40, right=45),
    pixel_spacing=explanation_pb2.PixelSpacing(row_mm=0.2, column_mm=0.2),
    pixel_aspect=1,
)
INVERSION = explanation_pb2.MAP_NEED_INVERSION
PATH = explanation_pb2.MAP_NEED_PATH

NEEDS: dict[str, tuple[int, ...]] = {
    "original": (),
    "reconstruction": (INVERSION,),
    "negative_realization": (INVERSION,),
    "applied_negative": (INVERSION,),
    "positive_realization": (INVERSION, explanation_pb2.MAP_NEED_POSITIVE_SEARCH),
    "difference": (INVERSION,),
    "colorized": (INVERSION,),
    "residual": (INVERSION,),
    "evidence": (INVERSION, PATH),
    "uncertainty": (INVERSION, explanation_pb2.MAP_NEED_RESTARTS),
    "gradient": (),
    "guided_backpropagation": (),
    "grad_cam": (),
    "guided_grad_cam": (),
    "integrated_gradients": (PATH,),
    "latent_integrated_gradients": (INVERSION, PATH),
    "occlusion": (explanation_pb2.MAP_NEED_WINDOWS,),
}
"""What each map of the wire needs, by its name."""

DEFAULT_KINDS = ("original", "reconstruction", "negative_realization", "difference", "colorized")
INTEGRALS = ("integrated_gradients", "latent_integrated_gradients")


def number(name: str) -> int:
    """The wire's number of a map."""
    return explanation_pb2.MapKind.Value(f"MAP_KIND_{name.upper()}")


def tensor(values: NDArray[np.float32]) -> explanation_pb2.Tensor:
    data = values.astype("<f4").tobytes()
    return explanation_pb2.Tensor(shape=values.shape, data_type=bundle_pb2.DATA_TYPE_FLOAT32, data=data)


def png(values: NDArray[np.float32], low: float, high: float) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.rint((values - low) * 255 / (high - low)).astype(np.uint8)).save(file, format="png")
    return file.getvalue()


def map_values() -> dict[int, NDArray[np.float32]]:
    """A map of every kind, by its number."""
    random = np.random.default_rng(7)
    values = {number(name): random.uniform(-1, 1, (SIZE, SIZE)).astype(np.float32) for name in NEEDS}
    values[number("difference")] = values[number("reconstruction")] - values[number("negative_realization")]
    values[number("colorized")] = random.uniform(0, 1, (SIZE, SIZE, 3)).astype(np.float32)
    values[number("residual")] *= 0.2
    values[number("uncertainty")] = np.abs(values[number("uncertainty")]) * np.float32(0.05)
    values[number("grad_cam")] = np.abs(values[number("grad_cam")])
    return values


def map_range(kind: int, values: NDArray[np.float32]) -> tuple[float, float]:
    fixed = {number("difference"): (-2.0, 2.0), number("colorized"): (0.0, 1.0)}
    magnitude = float(np.abs(values).max())
    pictures = {number(name) for name in DEFAULT_KINDS[:3]}
    return fixed.get(kind, (-1.0, 1.0) if kind in pictures else (-magnitude, magnitude))


@dataclass
class FakeService(explanation_pb2_grpc.ExplanationServiceServicer):
    """Answers every call alike, after the failures that a test has queued."""

    address: str = ""
    requests: list[Any] = field(default_factory=list)
    metadata: list[dict[str, str]] = field(default_factory=list)
    failures: deque[status_pb2.Status] = field(default_factory=deque)
    maps: dict[int, NDArray[np.float32]] = field(default_factory=map_values)
    answer: explanation_pb2.ExplainResponse = field(default_factory=explanation_pb2.ExplainResponse)
    unreadable: bytes | None = None
    events: Iterable[explanation_pb2.ExplainStreamResponse] | None = None
    break_off: int = 0
    has_generator: bool = True
    is_default: bool = True
    new_maps: list[explanation_pb2.MapDescription] = field(default_factory=list)
    positive_score: float = 0.7
    hold: threading.Event = field(default_factory=threading.Event)
    dropped: threading.Event = field(default_factory=threading.Event)
    server: grpc.Server | None = None

    number = staticmethod(number)
    tensor = staticmethod(tensor)

    def __post_init__(self) -> None:
        self.hold.set()
        self.answer.CopyFrom(
            explanation_pb2.ExplainResponse(
                model=IDENTITY,
                execution=EXECUTION,
                settings=explanation_pb2.ExplainSettings(target_class="pneumonia", seed=0),
                scores=explanation_pb2.Scores(
                    original=explanation_pb2.Score(probability=0.9, positive=True), decision_threshold=0.5
                ),
                verdict=explanation_pb2.Verdict(status=explanation_pb2.VERDICT_STATUS_RELIABLE),
                image_checks=[
                    explanation_pb2.ImageCheck(name="feature_distance", measured=1.5, maximum=4, passed=True)
                ],
                geometry=GEOMETRY,
                timing=explanation_pb2.Timing(queued_ms=1, preprocess_ms=2, maps_ms=4, total_ms=42),
                notes=["colour was converted to grey"],
            )
        )

    def start(self, credentials: grpc.ServerCredentials | None = None) -> None:
        """Serve, where it was served before; on a free port the first time."""
        # Without it gRPC would share the port with whoever took it since.
        self.server = grpc.server(ThreadPoolExecutor(4), options=[("grpc.so_reuseport", 0)])
        explanation_pb2_grpc.add_ExplanationServiceServicer_to_server(self, self.server)
        address = self.address or f"127.0.0.1:{free_port()}"
        if credentials is None:
            port = self.server.add_insecure_port(address)
        else:
            port = self.server.add_secure_port(address, credentials)
        self.address = f"127.0.0.1:{port}"
        self.server.start()

    def stop(self) -> None:
        """End serving at once."""
        assert self.server is not None
        self.server.stop(grace=None).wait()

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
        self.metadata.append(dict(context.invocation_metadata()))
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
        answer.settings.seed = request.settings.seed
        kinds = {entry.kind: entry.form for entry in request.maps} or {
            number(name): explanation_pb2.MAP_FORM_TENSOR for name in DEFAULT_KINDS
        }
        names = {name for name in NEEDS if number(name) in kinds}
        for kind, form in kinds.items():
            if kind not in self.maps:
                answer.maps.add(kind=kind, tensor=tensor(self.maps[number("gradient")]), elapsed_ms=3)
                continue
            low, high = map_range(kind, self.maps[kind])
            entry = answer.maps.add(
                kind=kind, range=bundle_pb2.Interval(minimum=low, maximum=high), elapsed_ms=kind / 10
            )
            if form == explanation_pb2.MAP_FORM_PNG:
                entry.png = png(self.maps[kind], low, high)
            else:
                entry.tensor.CopyFrom(tensor(self.maps[kind]))
            if kind in map(number, INTEGRALS):
                entry.completeness.CopyFrom(explanation_pb2.Completeness(attributed=3.1, change=3.2, error=0.1))
        needs = {need for name in names for need in NEEDS[name]}
        if INVERSION in needs or request.HasField("trajectory"):
            self._invert(request, answer)
        if PATH in needs:
            answer.settings.integrated_gradients.CopyFrom(
                explanation_pb2.IntegratedGradientsSettings(steps=50, baseline=-1)
            )
        if "occlusion" in names:
            answer.settings.occlusion.CopyFrom(explanation_pb2.OcclusionSettings(window=2, stride=1, level=-1))
        if any(INVERSION not in NEEDS[name] for name in names - {"original"}):
            answer.target.class_name, answer.target.logit = request.settings.target_class or "pneumonia", 2.5
        if "positive_realization" in names or request.HasField("trajectory"):
            score = explanation_pb2.Score(probability=self.positive_score, positive=self.positive_score >= 0.5)
            answer.scores.positive_realization.CopyFrom(score)
            answer.positive_realization.CopyFrom(
                explanation_pb2.PositiveRealizationOutcome(
                    found=score.positive, steps_taken=12, scale=0.75, change_mse=0.02
                )
            )
        for position in np.linspace(0, 1, request.trajectory.frames):
            picture = tensor(np.full((SIZE, SIZE), 2 * position - 1, np.float32))
            score = explanation_pb2.Score(probability=position, positive=position >= 0.5)
            answer.trajectory.add(position=position, score=score, tensor=picture)
        return answer

    def _invert(self, request: explanation_pb2.ExplainRequest, answer: explanation_pb2.ExplainResponse) -> None:
        answer.settings.inversion.CopyFrom(
            explanation_pb2.InversionSettings(
                steps=200,
                learning_rate=0.05,
                reconstruction_weight=4,
                restarts=request.settings.inversion.restarts or 1,
            )
        )
        for name, probability in (("reconstruction", 0.8), ("negative_realization", 0.1), ("applied_negative", 0.6)):
            if not answer.scores.HasField(name):
                score = explanation_pb2.Score(probability=probability, positive=probability >= 0.5)
                getattr(answer.scores, name).CopyFrom(score)
        answer.outcome.CopyFrom(
            explanation_pb2.InversionOutcome(
                steps_taken=160, converged=True, reconstruction_mse=0.01, classification_loss=0.3
            )
        )
        answer.timing.inversion_ms, answer.timing.positive_realization_ms = 30, 5
        if request.settings.inversion.restarts > 1:
            answer.outcome.restart, answer.outcome.difference_spread = 2, 0.025

    def Explain(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        self._receive(request, context)
        return self._explanation(request)

    def ExplainStream(self, request: Any, context: grpc.ServicerContext) -> Iterator[Any]:  # noqa: N802
        self._receive(request, context)
        if self.events is not None:
            yield from self.events
            return
        for steps in (80, 160):
            progress = explanation_pb2.Progress(
                steps_taken=steps,
                steps_total=200,
                reconstruction_mse=0.1,
                phase=explanation_pb2.PROGRESS_PHASE_INVERSION,
            )
            yield explanation_pb2.ExplainStreamResponse(progress=progress)
            if self.break_off:
                self.break_off -= 1
                context.abort(grpc.StatusCode.UNAVAILABLE, "shutting down")
        yield explanation_pb2.ExplainStreamResponse(result=self._explanation(request))

    def Classify(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        self._receive(request, context)
        return explanation_pb2.ClassifyResponse(
            model=IDENTITY,
            execution=EXECUTION,
            score=self.answer.scores.original,
            decision_threshold=0.5,
            predicted_class="pneumonia",
            familiar=True,
            image_checks=self.answer.image_checks,
            geometry=self.answer.geometry,
            notes=["colour was converted to grey"],
        )

    def ListModels(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        self._receive(request, context)
        answer = explanation_pb2.ListModelsResponse(server=self._server())
        answer.models.add(
            model=IDENTITY,
            modality="frontal chest radiograph",
            positive_class="pneumonia",
            negative_class="no finding",
            license="Apache-2.0",
            execution=EXECUTION,
            has_generator=self.has_generator,
            is_default=self.is_default,
        )
        return answer

    def GetModel(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        self._receive(request, context)
        if not (request.model.name or self.is_default):
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "name a model")
        bundle = bundle_pb2.Bundle(
            name="chest", version="2", classification=bundle_pb2.Classification(positive_class="pneumonia")
        )
        answer = explanation_pb2.GetModelResponse(
            model=IDENTITY,
            bundle=bundle,
            execution=EXECUTION,
            server=self._server(),
            default_settings=explanation_pb2.ExplainSettings(target_class="pneumonia", seed=0),
        )
        for name, needs in NEEDS.items():
            if self.has_generator or INVERSION not in needs:
                answer.maps.add(
                    kind=number(name),
                    name=name,
                    title=name.replace("_", " ").capitalize(),
                    unit="logit",
                    channels=3 if name == "colorized" else 1,
                    needs=needs,
                    cost=3,
                    is_default=name in (DEFAULT_KINDS if self.has_generator else ("gradient", "grad_cam")),
                    any_class=INVERSION not in needs and name != "original",
                )
        answer.maps.extend(self.new_maps)
        return answer

    @staticmethod
    def _server() -> explanation_pb2.ServerDescription:
        limits = explanation_pb2.Limits(
            message_bytes=1,
            image_side=2,
            image_pixels=3,
            decompressed_bytes=4,
            maps=5,
            restarts=6,
            path_steps=7,
            occlusion_windows=8,
            trajectory_frames=9,
        )
        forms = [explanation_pb2.IMAGE_FORM_TENSOR, explanation_pb2.IMAGE_FORM_DICOM]
        return explanation_pb2.ServerDescription(version="0.2.0", limits=limits, image_forms=forms)
