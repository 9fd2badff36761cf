from buf.validate import validate_pb2 as _validate_pb2
from medxgan.v1 import bundle_pb2 as _bundle_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class MapKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MAP_KIND_UNSPECIFIED: _ClassVar[MapKind]
    MAP_KIND_ORIGINAL: _ClassVar[MapKind]
    MAP_KIND_RECONSTRUCTION: _ClassVar[MapKind]
    MAP_KIND_NEGATIVE_REALIZATION: _ClassVar[MapKind]
    MAP_KIND_DIFFERENCE: _ClassVar[MapKind]
    MAP_KIND_COLORIZED: _ClassVar[MapKind]
    MAP_KIND_APPLIED_NEGATIVE: _ClassVar[MapKind]
    MAP_KIND_RESIDUAL: _ClassVar[MapKind]
    MAP_KIND_UNCERTAINTY: _ClassVar[MapKind]
    MAP_KIND_POSITIVE_REALIZATION: _ClassVar[MapKind]

class MapForm(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MAP_FORM_UNSPECIFIED: _ClassVar[MapForm]
    MAP_FORM_TENSOR: _ClassVar[MapForm]
    MAP_FORM_PNG: _ClassVar[MapForm]

class VerdictStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    VERDICT_STATUS_UNSPECIFIED: _ClassVar[VerdictStatus]
    VERDICT_STATUS_RELIABLE: _ClassVar[VerdictStatus]
    VERDICT_STATUS_NOT_RELIABLE: _ClassVar[VerdictStatus]
    VERDICT_STATUS_NOT_APPLICABLE: _ClassVar[VerdictStatus]

class VerdictReasonCode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    VERDICT_REASON_CODE_UNSPECIFIED: _ClassVar[VerdictReasonCode]
    VERDICT_REASON_CODE_RECONSTRUCTION_TOO_FAR: _ClassVar[VerdictReasonCode]
    VERDICT_REASON_CODE_CLASSIFIER_DISAGREES: _ClassVar[VerdictReasonCode]
    VERDICT_REASON_CODE_NEGATIVE_IS_POSITIVE: _ClassVar[VerdictReasonCode]
    VERDICT_REASON_CODE_IMAGE_IS_NEGATIVE: _ClassVar[VerdictReasonCode]

class ProgressPhase(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PROGRESS_PHASE_UNSPECIFIED: _ClassVar[ProgressPhase]
    PROGRESS_PHASE_INVERSION: _ClassVar[ProgressPhase]
    PROGRESS_PHASE_POSITIVE_REALIZATION: _ClassVar[ProgressPhase]

class AttributionMethod(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ATTRIBUTION_METHOD_UNSPECIFIED: _ClassVar[AttributionMethod]
    ATTRIBUTION_METHOD_GRADIENT: _ClassVar[AttributionMethod]
    ATTRIBUTION_METHOD_GUIDED_BACKPROPAGATION: _ClassVar[AttributionMethod]
    ATTRIBUTION_METHOD_GRAD_CAM: _ClassVar[AttributionMethod]
    ATTRIBUTION_METHOD_INTEGRATED_GRADIENTS: _ClassVar[AttributionMethod]
    ATTRIBUTION_METHOD_GUIDED_GRAD_CAM: _ClassVar[AttributionMethod]
    ATTRIBUTION_METHOD_OCCLUSION: _ClassVar[AttributionMethod]
    ATTRIBUTION_METHOD_LATENT_INTEGRATED_GRADIENTS: _ClassVar[AttributionMethod]
    ATTRIBUTION_METHOD_DIFFERENCE_MAP: _ClassVar[AttributionMethod]
    ATTRIBUTION_METHOD_RESIDUAL_MAP: _ClassVar[AttributionMethod]
    ATTRIBUTION_METHOD_EVIDENCE_MAP: _ClassVar[AttributionMethod]
MAP_KIND_UNSPECIFIED: MapKind
MAP_KIND_ORIGINAL: MapKind
MAP_KIND_RECONSTRUCTION: MapKind
MAP_KIND_NEGATIVE_REALIZATION: MapKind
MAP_KIND_DIFFERENCE: MapKind
MAP_KIND_COLORIZED: MapKind
MAP_KIND_APPLIED_NEGATIVE: MapKind
MAP_KIND_RESIDUAL: MapKind
MAP_KIND_UNCERTAINTY: MapKind
MAP_KIND_POSITIVE_REALIZATION: MapKind
MAP_FORM_UNSPECIFIED: MapForm
MAP_FORM_TENSOR: MapForm
MAP_FORM_PNG: MapForm
VERDICT_STATUS_UNSPECIFIED: VerdictStatus
VERDICT_STATUS_RELIABLE: VerdictStatus
VERDICT_STATUS_NOT_RELIABLE: VerdictStatus
VERDICT_STATUS_NOT_APPLICABLE: VerdictStatus
VERDICT_REASON_CODE_UNSPECIFIED: VerdictReasonCode
VERDICT_REASON_CODE_RECONSTRUCTION_TOO_FAR: VerdictReasonCode
VERDICT_REASON_CODE_CLASSIFIER_DISAGREES: VerdictReasonCode
VERDICT_REASON_CODE_NEGATIVE_IS_POSITIVE: VerdictReasonCode
VERDICT_REASON_CODE_IMAGE_IS_NEGATIVE: VerdictReasonCode
PROGRESS_PHASE_UNSPECIFIED: ProgressPhase
PROGRESS_PHASE_INVERSION: ProgressPhase
PROGRESS_PHASE_POSITIVE_REALIZATION: ProgressPhase
ATTRIBUTION_METHOD_UNSPECIFIED: AttributionMethod
ATTRIBUTION_METHOD_GRADIENT: AttributionMethod
ATTRIBUTION_METHOD_GUIDED_BACKPROPAGATION: AttributionMethod
ATTRIBUTION_METHOD_GRAD_CAM: AttributionMethod
ATTRIBUTION_METHOD_INTEGRATED_GRADIENTS: AttributionMethod
ATTRIBUTION_METHOD_GUIDED_GRAD_CAM: AttributionMethod
ATTRIBUTION_METHOD_OCCLUSION: AttributionMethod
ATTRIBUTION_METHOD_LATENT_INTEGRATED_GRADIENTS: AttributionMethod
ATTRIBUTION_METHOD_DIFFERENCE_MAP: AttributionMethod
ATTRIBUTION_METHOD_RESIDUAL_MAP: AttributionMethod
ATTRIBUTION_METHOD_EVIDENCE_MAP: AttributionMethod

class ModelSelector(_message.Message):
    __slots__ = ("name", "version")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: str
    def __init__(self, name: _Optional[str] = ..., version: _Optional[str] = ...) -> None: ...

class ModelIdentity(_message.Message):
    __slots__ = ("name", "version", "bundle_sha256")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    BUNDLE_SHA256_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: str
    bundle_sha256: str
    def __init__(self, name: _Optional[str] = ..., version: _Optional[str] = ..., bundle_sha256: _Optional[str] = ...) -> None: ...

class Image(_message.Message):
    __slots__ = ("tensor", "encoded", "dicom")
    TENSOR_FIELD_NUMBER: _ClassVar[int]
    ENCODED_FIELD_NUMBER: _ClassVar[int]
    DICOM_FIELD_NUMBER: _ClassVar[int]
    tensor: Tensor
    encoded: bytes
    dicom: bytes
    def __init__(self, tensor: _Optional[_Union[Tensor, _Mapping]] = ..., encoded: _Optional[bytes] = ..., dicom: _Optional[bytes] = ...) -> None: ...

class Tensor(_message.Message):
    __slots__ = ("shape", "data_type", "data")
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    DATA_TYPE_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    shape: _containers.RepeatedScalarFieldContainer[int]
    data_type: _bundle_pb2.DataType
    data: bytes
    def __init__(self, shape: _Optional[_Iterable[int]] = ..., data_type: _Optional[_Union[_bundle_pb2.DataType, str]] = ..., data: _Optional[bytes] = ...) -> None: ...

class InversionSettings(_message.Message):
    __slots__ = ("steps", "learning_rate", "reconstruction_weight", "restarts")
    STEPS_FIELD_NUMBER: _ClassVar[int]
    LEARNING_RATE_FIELD_NUMBER: _ClassVar[int]
    RECONSTRUCTION_WEIGHT_FIELD_NUMBER: _ClassVar[int]
    RESTARTS_FIELD_NUMBER: _ClassVar[int]
    steps: int
    learning_rate: float
    reconstruction_weight: float
    restarts: int
    def __init__(self, steps: _Optional[int] = ..., learning_rate: _Optional[float] = ..., reconstruction_weight: _Optional[float] = ..., restarts: _Optional[int] = ...) -> None: ...

class MapRequest(_message.Message):
    __slots__ = ("kind", "form")
    KIND_FIELD_NUMBER: _ClassVar[int]
    FORM_FIELD_NUMBER: _ClassVar[int]
    kind: MapKind
    form: MapForm
    def __init__(self, kind: _Optional[_Union[MapKind, str]] = ..., form: _Optional[_Union[MapForm, str]] = ...) -> None: ...

class Map(_message.Message):
    __slots__ = ("kind", "tensor", "png")
    KIND_FIELD_NUMBER: _ClassVar[int]
    TENSOR_FIELD_NUMBER: _ClassVar[int]
    PNG_FIELD_NUMBER: _ClassVar[int]
    kind: MapKind
    tensor: Tensor
    png: bytes
    def __init__(self, kind: _Optional[_Union[MapKind, str]] = ..., tensor: _Optional[_Union[Tensor, _Mapping]] = ..., png: _Optional[bytes] = ...) -> None: ...

class ExplainRequest(_message.Message):
    __slots__ = ("model", "image", "inversion", "maps", "seed", "trajectory")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    INVERSION_FIELD_NUMBER: _ClassVar[int]
    MAPS_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    TRAJECTORY_FIELD_NUMBER: _ClassVar[int]
    model: ModelSelector
    image: Image
    inversion: InversionSettings
    maps: _containers.RepeatedCompositeFieldContainer[MapRequest]
    seed: int
    trajectory: TrajectoryRequest
    def __init__(self, model: _Optional[_Union[ModelSelector, _Mapping]] = ..., image: _Optional[_Union[Image, _Mapping]] = ..., inversion: _Optional[_Union[InversionSettings, _Mapping]] = ..., maps: _Optional[_Iterable[_Union[MapRequest, _Mapping]]] = ..., seed: _Optional[int] = ..., trajectory: _Optional[_Union[TrajectoryRequest, _Mapping]] = ...) -> None: ...

class TrajectoryRequest(_message.Message):
    __slots__ = ("frames", "form")
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    FORM_FIELD_NUMBER: _ClassVar[int]
    frames: int
    form: MapForm
    def __init__(self, frames: _Optional[int] = ..., form: _Optional[_Union[MapForm, str]] = ...) -> None: ...

class ExplainResponse(_message.Message):
    __slots__ = ("model", "execution", "inversion", "seed", "scores", "verdict", "outcome", "maps", "timing", "notes", "positive_realization", "trajectory")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_FIELD_NUMBER: _ClassVar[int]
    INVERSION_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    SCORES_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    MAPS_FIELD_NUMBER: _ClassVar[int]
    TIMING_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    POSITIVE_REALIZATION_FIELD_NUMBER: _ClassVar[int]
    TRAJECTORY_FIELD_NUMBER: _ClassVar[int]
    model: ModelIdentity
    execution: Execution
    inversion: InversionSettings
    seed: int
    scores: Scores
    verdict: Verdict
    outcome: InversionOutcome
    maps: _containers.RepeatedCompositeFieldContainer[Map]
    timing: Timing
    notes: _containers.RepeatedScalarFieldContainer[str]
    positive_realization: PositiveRealizationOutcome
    trajectory: _containers.RepeatedCompositeFieldContainer[TrajectoryFrame]
    def __init__(self, model: _Optional[_Union[ModelIdentity, _Mapping]] = ..., execution: _Optional[_Union[Execution, _Mapping]] = ..., inversion: _Optional[_Union[InversionSettings, _Mapping]] = ..., seed: _Optional[int] = ..., scores: _Optional[_Union[Scores, _Mapping]] = ..., verdict: _Optional[_Union[Verdict, _Mapping]] = ..., outcome: _Optional[_Union[InversionOutcome, _Mapping]] = ..., maps: _Optional[_Iterable[_Union[Map, _Mapping]]] = ..., timing: _Optional[_Union[Timing, _Mapping]] = ..., notes: _Optional[_Iterable[str]] = ..., positive_realization: _Optional[_Union[PositiveRealizationOutcome, _Mapping]] = ..., trajectory: _Optional[_Iterable[_Union[TrajectoryFrame, _Mapping]]] = ...) -> None: ...

class TrajectoryFrame(_message.Message):
    __slots__ = ("position", "score", "tensor", "png")
    POSITION_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    TENSOR_FIELD_NUMBER: _ClassVar[int]
    PNG_FIELD_NUMBER: _ClassVar[int]
    position: float
    score: float
    tensor: Tensor
    png: bytes
    def __init__(self, position: _Optional[float] = ..., score: _Optional[float] = ..., tensor: _Optional[_Union[Tensor, _Mapping]] = ..., png: _Optional[bytes] = ...) -> None: ...

class PositiveRealizationOutcome(_message.Message):
    __slots__ = ("found", "steps_taken", "scale", "change_mse")
    FOUND_FIELD_NUMBER: _ClassVar[int]
    STEPS_TAKEN_FIELD_NUMBER: _ClassVar[int]
    SCALE_FIELD_NUMBER: _ClassVar[int]
    CHANGE_MSE_FIELD_NUMBER: _ClassVar[int]
    found: bool
    steps_taken: int
    scale: float
    change_mse: float
    def __init__(self, found: _Optional[bool] = ..., steps_taken: _Optional[int] = ..., scale: _Optional[float] = ..., change_mse: _Optional[float] = ...) -> None: ...

class Scores(_message.Message):
    __slots__ = ("original", "reconstruction", "negative_realization", "decision_threshold", "applied_negative", "positive_realization")
    ORIGINAL_FIELD_NUMBER: _ClassVar[int]
    RECONSTRUCTION_FIELD_NUMBER: _ClassVar[int]
    NEGATIVE_REALIZATION_FIELD_NUMBER: _ClassVar[int]
    DECISION_THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    APPLIED_NEGATIVE_FIELD_NUMBER: _ClassVar[int]
    POSITIVE_REALIZATION_FIELD_NUMBER: _ClassVar[int]
    original: float
    reconstruction: float
    negative_realization: float
    decision_threshold: float
    applied_negative: float
    positive_realization: float
    def __init__(self, original: _Optional[float] = ..., reconstruction: _Optional[float] = ..., negative_realization: _Optional[float] = ..., decision_threshold: _Optional[float] = ..., applied_negative: _Optional[float] = ..., positive_realization: _Optional[float] = ...) -> None: ...

class Verdict(_message.Message):
    __slots__ = ("status", "reasons")
    STATUS_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    status: VerdictStatus
    reasons: _containers.RepeatedCompositeFieldContainer[VerdictReason]
    def __init__(self, status: _Optional[_Union[VerdictStatus, str]] = ..., reasons: _Optional[_Iterable[_Union[VerdictReason, _Mapping]]] = ...) -> None: ...

class VerdictReason(_message.Message):
    __slots__ = ("code", "measured", "threshold", "sentence")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MEASURED_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    SENTENCE_FIELD_NUMBER: _ClassVar[int]
    code: VerdictReasonCode
    measured: float
    threshold: float
    sentence: str
    def __init__(self, code: _Optional[_Union[VerdictReasonCode, str]] = ..., measured: _Optional[float] = ..., threshold: _Optional[float] = ..., sentence: _Optional[str] = ...) -> None: ...

class InversionOutcome(_message.Message):
    __slots__ = ("steps_taken", "converged", "reconstruction_mse", "classification_loss", "restart", "difference_spread")
    STEPS_TAKEN_FIELD_NUMBER: _ClassVar[int]
    CONVERGED_FIELD_NUMBER: _ClassVar[int]
    RECONSTRUCTION_MSE_FIELD_NUMBER: _ClassVar[int]
    CLASSIFICATION_LOSS_FIELD_NUMBER: _ClassVar[int]
    RESTART_FIELD_NUMBER: _ClassVar[int]
    DIFFERENCE_SPREAD_FIELD_NUMBER: _ClassVar[int]
    steps_taken: int
    converged: bool
    reconstruction_mse: float
    classification_loss: float
    restart: int
    difference_spread: float
    def __init__(self, steps_taken: _Optional[int] = ..., converged: _Optional[bool] = ..., reconstruction_mse: _Optional[float] = ..., classification_loss: _Optional[float] = ..., restart: _Optional[int] = ..., difference_spread: _Optional[float] = ...) -> None: ...

class Timing(_message.Message):
    __slots__ = ("queued_ms", "preprocess_ms", "inversion_ms", "maps_ms", "total_ms", "positive_realization_ms")
    QUEUED_MS_FIELD_NUMBER: _ClassVar[int]
    PREPROCESS_MS_FIELD_NUMBER: _ClassVar[int]
    INVERSION_MS_FIELD_NUMBER: _ClassVar[int]
    MAPS_MS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_MS_FIELD_NUMBER: _ClassVar[int]
    POSITIVE_REALIZATION_MS_FIELD_NUMBER: _ClassVar[int]
    queued_ms: float
    preprocess_ms: float
    inversion_ms: float
    maps_ms: float
    total_ms: float
    positive_realization_ms: float
    def __init__(self, queued_ms: _Optional[float] = ..., preprocess_ms: _Optional[float] = ..., inversion_ms: _Optional[float] = ..., maps_ms: _Optional[float] = ..., total_ms: _Optional[float] = ..., positive_realization_ms: _Optional[float] = ...) -> None: ...

class Execution(_message.Message):
    __slots__ = ("engine", "provider", "requested", "fallback", "fallback_reason")
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    REQUESTED_FIELD_NUMBER: _ClassVar[int]
    FALLBACK_FIELD_NUMBER: _ClassVar[int]
    FALLBACK_REASON_FIELD_NUMBER: _ClassVar[int]
    engine: str
    provider: str
    requested: str
    fallback: bool
    fallback_reason: str
    def __init__(self, engine: _Optional[str] = ..., provider: _Optional[str] = ..., requested: _Optional[str] = ..., fallback: _Optional[bool] = ..., fallback_reason: _Optional[str] = ...) -> None: ...

class ExplainStreamResponse(_message.Message):
    __slots__ = ("progress", "result")
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    progress: Progress
    result: ExplainResponse
    def __init__(self, progress: _Optional[_Union[Progress, _Mapping]] = ..., result: _Optional[_Union[ExplainResponse, _Mapping]] = ...) -> None: ...

class Progress(_message.Message):
    __slots__ = ("steps_taken", "steps_total", "reconstruction_mse", "classification_loss", "phase")
    STEPS_TAKEN_FIELD_NUMBER: _ClassVar[int]
    STEPS_TOTAL_FIELD_NUMBER: _ClassVar[int]
    RECONSTRUCTION_MSE_FIELD_NUMBER: _ClassVar[int]
    CLASSIFICATION_LOSS_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    steps_taken: int
    steps_total: int
    reconstruction_mse: float
    classification_loss: float
    phase: ProgressPhase
    def __init__(self, steps_taken: _Optional[int] = ..., steps_total: _Optional[int] = ..., reconstruction_mse: _Optional[float] = ..., classification_loss: _Optional[float] = ..., phase: _Optional[_Union[ProgressPhase, str]] = ...) -> None: ...

class ClassifyRequest(_message.Message):
    __slots__ = ("model", "image")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    model: ModelSelector
    image: Image
    def __init__(self, model: _Optional[_Union[ModelSelector, _Mapping]] = ..., image: _Optional[_Union[Image, _Mapping]] = ...) -> None: ...

class ClassifyResponse(_message.Message):
    __slots__ = ("model", "execution", "probability", "decision_threshold", "predicted_class", "notes")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    DECISION_THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    PREDICTED_CLASS_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    model: ModelIdentity
    execution: Execution
    probability: float
    decision_threshold: float
    predicted_class: str
    notes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, model: _Optional[_Union[ModelIdentity, _Mapping]] = ..., execution: _Optional[_Union[Execution, _Mapping]] = ..., probability: _Optional[float] = ..., decision_threshold: _Optional[float] = ..., predicted_class: _Optional[str] = ..., notes: _Optional[_Iterable[str]] = ...) -> None: ...

class AttributeRequest(_message.Message):
    __slots__ = ("model", "image", "methods", "target", "integrated_gradients", "occlusion", "inversion", "seed")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    METHODS_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    INTEGRATED_GRADIENTS_FIELD_NUMBER: _ClassVar[int]
    OCCLUSION_FIELD_NUMBER: _ClassVar[int]
    INVERSION_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    model: ModelSelector
    image: Image
    methods: _containers.RepeatedScalarFieldContainer[AttributionMethod]
    target: int
    integrated_gradients: IntegratedGradientsSettings
    occlusion: OcclusionSettings
    inversion: InversionSettings
    seed: int
    def __init__(self, model: _Optional[_Union[ModelSelector, _Mapping]] = ..., image: _Optional[_Union[Image, _Mapping]] = ..., methods: _Optional[_Iterable[_Union[AttributionMethod, str]]] = ..., target: _Optional[int] = ..., integrated_gradients: _Optional[_Union[IntegratedGradientsSettings, _Mapping]] = ..., occlusion: _Optional[_Union[OcclusionSettings, _Mapping]] = ..., inversion: _Optional[_Union[InversionSettings, _Mapping]] = ..., seed: _Optional[int] = ...) -> None: ...

class IntegratedGradientsSettings(_message.Message):
    __slots__ = ("steps", "baseline")
    STEPS_FIELD_NUMBER: _ClassVar[int]
    BASELINE_FIELD_NUMBER: _ClassVar[int]
    steps: int
    baseline: float
    def __init__(self, steps: _Optional[int] = ..., baseline: _Optional[float] = ...) -> None: ...

class OcclusionSettings(_message.Message):
    __slots__ = ("window", "stride", "level")
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    STRIDE_FIELD_NUMBER: _ClassVar[int]
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    window: int
    stride: int
    level: float
    def __init__(self, window: _Optional[int] = ..., stride: _Optional[int] = ..., level: _Optional[float] = ...) -> None: ...

class AttributeResponse(_message.Message):
    __slots__ = ("model", "execution", "logit", "attributions", "notes", "image", "target", "target_class", "integrated_gradients", "occlusion", "inversion", "seed", "verdict")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_FIELD_NUMBER: _ClassVar[int]
    LOGIT_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTIONS_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    TARGET_CLASS_FIELD_NUMBER: _ClassVar[int]
    INTEGRATED_GRADIENTS_FIELD_NUMBER: _ClassVar[int]
    OCCLUSION_FIELD_NUMBER: _ClassVar[int]
    INVERSION_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    model: ModelIdentity
    execution: Execution
    logit: float
    attributions: _containers.RepeatedCompositeFieldContainer[Attribution]
    notes: _containers.RepeatedScalarFieldContainer[str]
    image: Tensor
    target: int
    target_class: str
    integrated_gradients: IntegratedGradientsSettings
    occlusion: OcclusionSettings
    inversion: InversionSettings
    seed: int
    verdict: Verdict
    def __init__(self, model: _Optional[_Union[ModelIdentity, _Mapping]] = ..., execution: _Optional[_Union[Execution, _Mapping]] = ..., logit: _Optional[float] = ..., attributions: _Optional[_Iterable[_Union[Attribution, _Mapping]]] = ..., notes: _Optional[_Iterable[str]] = ..., image: _Optional[_Union[Tensor, _Mapping]] = ..., target: _Optional[int] = ..., target_class: _Optional[str] = ..., integrated_gradients: _Optional[_Union[IntegratedGradientsSettings, _Mapping]] = ..., occlusion: _Optional[_Union[OcclusionSettings, _Mapping]] = ..., inversion: _Optional[_Union[InversionSettings, _Mapping]] = ..., seed: _Optional[int] = ..., verdict: _Optional[_Union[Verdict, _Mapping]] = ...) -> None: ...

class Attribution(_message.Message):
    __slots__ = ("method", "values", "completeness", "elapsed_ms")
    METHOD_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    COMPLETENESS_FIELD_NUMBER: _ClassVar[int]
    ELAPSED_MS_FIELD_NUMBER: _ClassVar[int]
    method: AttributionMethod
    values: Tensor
    completeness: Completeness
    elapsed_ms: float
    def __init__(self, method: _Optional[_Union[AttributionMethod, str]] = ..., values: _Optional[_Union[Tensor, _Mapping]] = ..., completeness: _Optional[_Union[Completeness, _Mapping]] = ..., elapsed_ms: _Optional[float] = ...) -> None: ...

class Completeness(_message.Message):
    __slots__ = ("attributed", "change", "error")
    ATTRIBUTED_FIELD_NUMBER: _ClassVar[int]
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    attributed: float
    change: float
    error: float
    def __init__(self, attributed: _Optional[float] = ..., change: _Optional[float] = ..., error: _Optional[float] = ...) -> None: ...

class ListModelsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListModelsResponse(_message.Message):
    __slots__ = ("models",)
    MODELS_FIELD_NUMBER: _ClassVar[int]
    models: _containers.RepeatedCompositeFieldContainer[ModelSummary]
    def __init__(self, models: _Optional[_Iterable[_Union[ModelSummary, _Mapping]]] = ...) -> None: ...

class ModelSummary(_message.Message):
    __slots__ = ("model", "modality", "positive_class", "negative_class", "license", "execution")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    MODALITY_FIELD_NUMBER: _ClassVar[int]
    POSITIVE_CLASS_FIELD_NUMBER: _ClassVar[int]
    NEGATIVE_CLASS_FIELD_NUMBER: _ClassVar[int]
    LICENSE_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_FIELD_NUMBER: _ClassVar[int]
    model: ModelIdentity
    modality: str
    positive_class: str
    negative_class: str
    license: str
    execution: Execution
    def __init__(self, model: _Optional[_Union[ModelIdentity, _Mapping]] = ..., modality: _Optional[str] = ..., positive_class: _Optional[str] = ..., negative_class: _Optional[str] = ..., license: _Optional[str] = ..., execution: _Optional[_Union[Execution, _Mapping]] = ...) -> None: ...

class GetModelRequest(_message.Message):
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: ModelSelector
    def __init__(self, model: _Optional[_Union[ModelSelector, _Mapping]] = ...) -> None: ...

class GetModelResponse(_message.Message):
    __slots__ = ("model", "bundle", "execution")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    BUNDLE_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_FIELD_NUMBER: _ClassVar[int]
    model: ModelIdentity
    bundle: _bundle_pb2.Bundle
    execution: Execution
    def __init__(self, model: _Optional[_Union[ModelIdentity, _Mapping]] = ..., bundle: _Optional[_Union[_bundle_pb2.Bundle, _Mapping]] = ..., execution: _Optional[_Union[Execution, _Mapping]] = ...) -> None: ...
