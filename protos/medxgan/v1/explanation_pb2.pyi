from buf.validate import validate_pb2 as _validate_pb2
from medxgan.v1 import bundle_pb2 as _bundle_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Orientation(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ORIENTATION_UNSPECIFIED: _ClassVar[Orientation]
    ORIENTATION_AS_STORED: _ClassVar[Orientation]
    ORIENTATION_MIRRORED_LEFT_RIGHT: _ClassVar[Orientation]
    ORIENTATION_TURNED_180: _ClassVar[Orientation]
    ORIENTATION_MIRRORED_TOP_BOTTOM: _ClassVar[Orientation]
    ORIENTATION_TRANSPOSED: _ClassVar[Orientation]
    ORIENTATION_TURNED_90: _ClassVar[Orientation]
    ORIENTATION_TRANSVERSED: _ClassVar[Orientation]
    ORIENTATION_TURNED_270: _ClassVar[Orientation]

class Priority(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PRIORITY_UNSPECIFIED: _ClassVar[Priority]
    PRIORITY_ROUTINE: _ClassVar[Priority]
    PRIORITY_STAT: _ClassVar[Priority]

class MapKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MAP_KIND_UNSPECIFIED: _ClassVar[MapKind]
    MAP_KIND_ORIGINAL: _ClassVar[MapKind]
    MAP_KIND_RECONSTRUCTION: _ClassVar[MapKind]
    MAP_KIND_NEGATIVE_REALIZATION: _ClassVar[MapKind]
    MAP_KIND_APPLIED_NEGATIVE: _ClassVar[MapKind]
    MAP_KIND_POSITIVE_REALIZATION: _ClassVar[MapKind]
    MAP_KIND_DIFFERENCE: _ClassVar[MapKind]
    MAP_KIND_COLORIZED: _ClassVar[MapKind]
    MAP_KIND_RESIDUAL: _ClassVar[MapKind]
    MAP_KIND_EVIDENCE: _ClassVar[MapKind]
    MAP_KIND_UNCERTAINTY: _ClassVar[MapKind]
    MAP_KIND_GRADIENT: _ClassVar[MapKind]
    MAP_KIND_GUIDED_BACKPROPAGATION: _ClassVar[MapKind]
    MAP_KIND_GRAD_CAM: _ClassVar[MapKind]
    MAP_KIND_GUIDED_GRAD_CAM: _ClassVar[MapKind]
    MAP_KIND_INTEGRATED_GRADIENTS: _ClassVar[MapKind]
    MAP_KIND_LATENT_INTEGRATED_GRADIENTS: _ClassVar[MapKind]
    MAP_KIND_OCCLUSION: _ClassVar[MapKind]

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
    VERDICT_STATUS_NOT_ASSESSED: _ClassVar[VerdictStatus]

class VerdictReasonCode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    VERDICT_REASON_CODE_UNSPECIFIED: _ClassVar[VerdictReasonCode]
    VERDICT_REASON_CODE_RECONSTRUCTION_TOO_FAR: _ClassVar[VerdictReasonCode]
    VERDICT_REASON_CODE_CLASSIFIER_DISAGREES: _ClassVar[VerdictReasonCode]
    VERDICT_REASON_CODE_NEGATIVE_IS_POSITIVE: _ClassVar[VerdictReasonCode]
    VERDICT_REASON_CODE_IMAGE_IS_NEGATIVE: _ClassVar[VerdictReasonCode]
    VERDICT_REASON_CODE_IMAGE_UNFAMILIAR: _ClassVar[VerdictReasonCode]
    VERDICT_REASON_CODE_APPLIED_NEGATIVE_IS_POSITIVE: _ClassVar[VerdictReasonCode]
    VERDICT_REASON_CODE_DIFFERENCE_TOO_WEAK: _ClassVar[VerdictReasonCode]

class ProgressPhase(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PROGRESS_PHASE_UNSPECIFIED: _ClassVar[ProgressPhase]
    PROGRESS_PHASE_INVERSION: _ClassVar[ProgressPhase]
    PROGRESS_PHASE_POSITIVE_REALIZATION: _ClassVar[ProgressPhase]

class ImageForm(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    IMAGE_FORM_UNSPECIFIED: _ClassVar[ImageForm]
    IMAGE_FORM_TENSOR: _ClassVar[ImageForm]
    IMAGE_FORM_ENCODED: _ClassVar[ImageForm]
    IMAGE_FORM_DICOM: _ClassVar[ImageForm]

class MapNeed(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MAP_NEED_UNSPECIFIED: _ClassVar[MapNeed]
    MAP_NEED_INVERSION: _ClassVar[MapNeed]
    MAP_NEED_RESTARTS: _ClassVar[MapNeed]
    MAP_NEED_POSITIVE_SEARCH: _ClassVar[MapNeed]
    MAP_NEED_PATH: _ClassVar[MapNeed]
    MAP_NEED_WINDOWS: _ClassVar[MapNeed]
ORIENTATION_UNSPECIFIED: Orientation
ORIENTATION_AS_STORED: Orientation
ORIENTATION_MIRRORED_LEFT_RIGHT: Orientation
ORIENTATION_TURNED_180: Orientation
ORIENTATION_MIRRORED_TOP_BOTTOM: Orientation
ORIENTATION_TRANSPOSED: Orientation
ORIENTATION_TURNED_90: Orientation
ORIENTATION_TRANSVERSED: Orientation
ORIENTATION_TURNED_270: Orientation
PRIORITY_UNSPECIFIED: Priority
PRIORITY_ROUTINE: Priority
PRIORITY_STAT: Priority
MAP_KIND_UNSPECIFIED: MapKind
MAP_KIND_ORIGINAL: MapKind
MAP_KIND_RECONSTRUCTION: MapKind
MAP_KIND_NEGATIVE_REALIZATION: MapKind
MAP_KIND_APPLIED_NEGATIVE: MapKind
MAP_KIND_POSITIVE_REALIZATION: MapKind
MAP_KIND_DIFFERENCE: MapKind
MAP_KIND_COLORIZED: MapKind
MAP_KIND_RESIDUAL: MapKind
MAP_KIND_EVIDENCE: MapKind
MAP_KIND_UNCERTAINTY: MapKind
MAP_KIND_GRADIENT: MapKind
MAP_KIND_GUIDED_BACKPROPAGATION: MapKind
MAP_KIND_GRAD_CAM: MapKind
MAP_KIND_GUIDED_GRAD_CAM: MapKind
MAP_KIND_INTEGRATED_GRADIENTS: MapKind
MAP_KIND_LATENT_INTEGRATED_GRADIENTS: MapKind
MAP_KIND_OCCLUSION: MapKind
MAP_FORM_UNSPECIFIED: MapForm
MAP_FORM_TENSOR: MapForm
MAP_FORM_PNG: MapForm
VERDICT_STATUS_UNSPECIFIED: VerdictStatus
VERDICT_STATUS_RELIABLE: VerdictStatus
VERDICT_STATUS_NOT_RELIABLE: VerdictStatus
VERDICT_STATUS_NOT_APPLICABLE: VerdictStatus
VERDICT_STATUS_NOT_ASSESSED: VerdictStatus
VERDICT_REASON_CODE_UNSPECIFIED: VerdictReasonCode
VERDICT_REASON_CODE_RECONSTRUCTION_TOO_FAR: VerdictReasonCode
VERDICT_REASON_CODE_CLASSIFIER_DISAGREES: VerdictReasonCode
VERDICT_REASON_CODE_NEGATIVE_IS_POSITIVE: VerdictReasonCode
VERDICT_REASON_CODE_IMAGE_IS_NEGATIVE: VerdictReasonCode
VERDICT_REASON_CODE_IMAGE_UNFAMILIAR: VerdictReasonCode
VERDICT_REASON_CODE_APPLIED_NEGATIVE_IS_POSITIVE: VerdictReasonCode
VERDICT_REASON_CODE_DIFFERENCE_TOO_WEAK: VerdictReasonCode
PROGRESS_PHASE_UNSPECIFIED: ProgressPhase
PROGRESS_PHASE_INVERSION: ProgressPhase
PROGRESS_PHASE_POSITIVE_REALIZATION: ProgressPhase
IMAGE_FORM_UNSPECIFIED: ImageForm
IMAGE_FORM_TENSOR: ImageForm
IMAGE_FORM_ENCODED: ImageForm
IMAGE_FORM_DICOM: ImageForm
MAP_NEED_UNSPECIFIED: MapNeed
MAP_NEED_INVERSION: MapNeed
MAP_NEED_RESTARTS: MapNeed
MAP_NEED_POSITIVE_SEARCH: MapNeed
MAP_NEED_PATH: MapNeed
MAP_NEED_WINDOWS: MapNeed

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
    __slots__ = ("tensor", "encoded", "dicom", "frame", "pixel_spacing")
    TENSOR_FIELD_NUMBER: _ClassVar[int]
    ENCODED_FIELD_NUMBER: _ClassVar[int]
    DICOM_FIELD_NUMBER: _ClassVar[int]
    FRAME_FIELD_NUMBER: _ClassVar[int]
    PIXEL_SPACING_FIELD_NUMBER: _ClassVar[int]
    tensor: Tensor
    encoded: bytes
    dicom: bytes
    frame: int
    pixel_spacing: PixelSpacing
    def __init__(self, tensor: _Optional[_Union[Tensor, _Mapping]] = ..., encoded: _Optional[bytes] = ..., dicom: _Optional[bytes] = ..., frame: _Optional[int] = ..., pixel_spacing: _Optional[_Union[PixelSpacing, _Mapping]] = ...) -> None: ...

class PixelSpacing(_message.Message):
    __slots__ = ("row_mm", "column_mm")
    ROW_MM_FIELD_NUMBER: _ClassVar[int]
    COLUMN_MM_FIELD_NUMBER: _ClassVar[int]
    row_mm: float
    column_mm: float
    def __init__(self, row_mm: _Optional[float] = ..., column_mm: _Optional[float] = ...) -> None: ...

class Tensor(_message.Message):
    __slots__ = ("shape", "data_type", "data")
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    DATA_TYPE_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    shape: _containers.RepeatedScalarFieldContainer[int]
    data_type: _bundle_pb2.DataType
    data: bytes
    def __init__(self, shape: _Optional[_Iterable[int]] = ..., data_type: _Optional[_Union[_bundle_pb2.DataType, str]] = ..., data: _Optional[bytes] = ...) -> None: ...

class Geometry(_message.Message):
    __slots__ = ("rows", "columns", "orientation", "box", "pixel_spacing", "pixel_aspect", "frame")
    ROWS_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    ORIENTATION_FIELD_NUMBER: _ClassVar[int]
    BOX_FIELD_NUMBER: _ClassVar[int]
    PIXEL_SPACING_FIELD_NUMBER: _ClassVar[int]
    PIXEL_ASPECT_FIELD_NUMBER: _ClassVar[int]
    FRAME_FIELD_NUMBER: _ClassVar[int]
    rows: int
    columns: int
    orientation: Orientation
    box: Box
    pixel_spacing: PixelSpacing
    pixel_aspect: float
    frame: int
    def __init__(self, rows: _Optional[int] = ..., columns: _Optional[int] = ..., orientation: _Optional[_Union[Orientation, str]] = ..., box: _Optional[_Union[Box, _Mapping]] = ..., pixel_spacing: _Optional[_Union[PixelSpacing, _Mapping]] = ..., pixel_aspect: _Optional[float] = ..., frame: _Optional[int] = ...) -> None: ...

class Box(_message.Message):
    __slots__ = ("top", "left", "bottom", "right")
    TOP_FIELD_NUMBER: _ClassVar[int]
    LEFT_FIELD_NUMBER: _ClassVar[int]
    BOTTOM_FIELD_NUMBER: _ClassVar[int]
    RIGHT_FIELD_NUMBER: _ClassVar[int]
    top: float
    left: float
    bottom: float
    right: float
    def __init__(self, top: _Optional[float] = ..., left: _Optional[float] = ..., bottom: _Optional[float] = ..., right: _Optional[float] = ...) -> None: ...

class ExplainRequest(_message.Message):
    __slots__ = ("model", "image", "maps", "settings", "trajectory", "priority")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    MAPS_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    TRAJECTORY_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    model: ModelSelector
    image: Image
    maps: _containers.RepeatedCompositeFieldContainer[MapRequest]
    settings: ExplainSettings
    trajectory: TrajectoryRequest
    priority: Priority
    def __init__(self, model: _Optional[_Union[ModelSelector, _Mapping]] = ..., image: _Optional[_Union[Image, _Mapping]] = ..., maps: _Optional[_Iterable[_Union[MapRequest, _Mapping]]] = ..., settings: _Optional[_Union[ExplainSettings, _Mapping]] = ..., trajectory: _Optional[_Union[TrajectoryRequest, _Mapping]] = ..., priority: _Optional[_Union[Priority, str]] = ...) -> None: ...

class MapRequest(_message.Message):
    __slots__ = ("kind", "form")
    KIND_FIELD_NUMBER: _ClassVar[int]
    FORM_FIELD_NUMBER: _ClassVar[int]
    kind: MapKind
    form: MapForm
    def __init__(self, kind: _Optional[_Union[MapKind, str]] = ..., form: _Optional[_Union[MapForm, str]] = ...) -> None: ...

class ExplainSettings(_message.Message):
    __slots__ = ("target_class", "seed", "inversion", "integrated_gradients", "occlusion")
    TARGET_CLASS_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    INVERSION_FIELD_NUMBER: _ClassVar[int]
    INTEGRATED_GRADIENTS_FIELD_NUMBER: _ClassVar[int]
    OCCLUSION_FIELD_NUMBER: _ClassVar[int]
    target_class: str
    seed: int
    inversion: InversionSettings
    integrated_gradients: IntegratedGradientsSettings
    occlusion: OcclusionSettings
    def __init__(self, target_class: _Optional[str] = ..., seed: _Optional[int] = ..., inversion: _Optional[_Union[InversionSettings, _Mapping]] = ..., integrated_gradients: _Optional[_Union[IntegratedGradientsSettings, _Mapping]] = ..., occlusion: _Optional[_Union[OcclusionSettings, _Mapping]] = ...) -> None: ...

class InversionSettings(_message.Message):
    __slots__ = ("steps", "learning_rate", "reconstruction_weight", "restarts", "solver")
    STEPS_FIELD_NUMBER: _ClassVar[int]
    LEARNING_RATE_FIELD_NUMBER: _ClassVar[int]
    RECONSTRUCTION_WEIGHT_FIELD_NUMBER: _ClassVar[int]
    RESTARTS_FIELD_NUMBER: _ClassVar[int]
    SOLVER_FIELD_NUMBER: _ClassVar[int]
    steps: int
    learning_rate: float
    reconstruction_weight: float
    restarts: int
    solver: _bundle_pb2.Solver
    def __init__(self, steps: _Optional[int] = ..., learning_rate: _Optional[float] = ..., reconstruction_weight: _Optional[float] = ..., restarts: _Optional[int] = ..., solver: _Optional[_Union[_bundle_pb2.Solver, str]] = ...) -> None: ...

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

class TrajectoryRequest(_message.Message):
    __slots__ = ("frames", "form")
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    FORM_FIELD_NUMBER: _ClassVar[int]
    frames: int
    form: MapForm
    def __init__(self, frames: _Optional[int] = ..., form: _Optional[_Union[MapForm, str]] = ...) -> None: ...

class ExplainResponse(_message.Message):
    __slots__ = ("model", "execution", "settings", "scores", "verdict", "image_checks", "outcome", "positive_realization", "target", "maps", "trajectory", "geometry", "timing", "notes")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    SCORES_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    IMAGE_CHECKS_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    POSITIVE_REALIZATION_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    MAPS_FIELD_NUMBER: _ClassVar[int]
    TRAJECTORY_FIELD_NUMBER: _ClassVar[int]
    GEOMETRY_FIELD_NUMBER: _ClassVar[int]
    TIMING_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    model: ModelIdentity
    execution: Execution
    settings: ExplainSettings
    scores: Scores
    verdict: Verdict
    image_checks: _containers.RepeatedCompositeFieldContainer[ImageCheck]
    outcome: InversionOutcome
    positive_realization: PositiveRealizationOutcome
    target: TargetScore
    maps: _containers.RepeatedCompositeFieldContainer[Map]
    trajectory: _containers.RepeatedCompositeFieldContainer[TrajectoryFrame]
    geometry: Geometry
    timing: Timing
    notes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, model: _Optional[_Union[ModelIdentity, _Mapping]] = ..., execution: _Optional[_Union[Execution, _Mapping]] = ..., settings: _Optional[_Union[ExplainSettings, _Mapping]] = ..., scores: _Optional[_Union[Scores, _Mapping]] = ..., verdict: _Optional[_Union[Verdict, _Mapping]] = ..., image_checks: _Optional[_Iterable[_Union[ImageCheck, _Mapping]]] = ..., outcome: _Optional[_Union[InversionOutcome, _Mapping]] = ..., positive_realization: _Optional[_Union[PositiveRealizationOutcome, _Mapping]] = ..., target: _Optional[_Union[TargetScore, _Mapping]] = ..., maps: _Optional[_Iterable[_Union[Map, _Mapping]]] = ..., trajectory: _Optional[_Iterable[_Union[TrajectoryFrame, _Mapping]]] = ..., geometry: _Optional[_Union[Geometry, _Mapping]] = ..., timing: _Optional[_Union[Timing, _Mapping]] = ..., notes: _Optional[_Iterable[str]] = ...) -> None: ...

class Map(_message.Message):
    __slots__ = ("kind", "tensor", "png", "range", "completeness", "elapsed_ms")
    KIND_FIELD_NUMBER: _ClassVar[int]
    TENSOR_FIELD_NUMBER: _ClassVar[int]
    PNG_FIELD_NUMBER: _ClassVar[int]
    RANGE_FIELD_NUMBER: _ClassVar[int]
    COMPLETENESS_FIELD_NUMBER: _ClassVar[int]
    ELAPSED_MS_FIELD_NUMBER: _ClassVar[int]
    kind: MapKind
    tensor: Tensor
    png: bytes
    range: _bundle_pb2.Interval
    completeness: Completeness
    elapsed_ms: float
    def __init__(self, kind: _Optional[_Union[MapKind, str]] = ..., tensor: _Optional[_Union[Tensor, _Mapping]] = ..., png: _Optional[bytes] = ..., range: _Optional[_Union[_bundle_pb2.Interval, _Mapping]] = ..., completeness: _Optional[_Union[Completeness, _Mapping]] = ..., elapsed_ms: _Optional[float] = ...) -> None: ...

class Completeness(_message.Message):
    __slots__ = ("attributed", "change", "error")
    ATTRIBUTED_FIELD_NUMBER: _ClassVar[int]
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    attributed: float
    change: float
    error: float
    def __init__(self, attributed: _Optional[float] = ..., change: _Optional[float] = ..., error: _Optional[float] = ...) -> None: ...

class TrajectoryFrame(_message.Message):
    __slots__ = ("position", "score", "tensor", "png")
    POSITION_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    TENSOR_FIELD_NUMBER: _ClassVar[int]
    PNG_FIELD_NUMBER: _ClassVar[int]
    position: float
    score: Score
    tensor: Tensor
    png: bytes
    def __init__(self, position: _Optional[float] = ..., score: _Optional[_Union[Score, _Mapping]] = ..., tensor: _Optional[_Union[Tensor, _Mapping]] = ..., png: _Optional[bytes] = ...) -> None: ...

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

class Score(_message.Message):
    __slots__ = ("probability", "positive")
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    POSITIVE_FIELD_NUMBER: _ClassVar[int]
    probability: float
    positive: bool
    def __init__(self, probability: _Optional[float] = ..., positive: _Optional[bool] = ...) -> None: ...

class Scores(_message.Message):
    __slots__ = ("original", "reconstruction", "negative_realization", "applied_negative", "positive_realization", "decision_threshold")
    ORIGINAL_FIELD_NUMBER: _ClassVar[int]
    RECONSTRUCTION_FIELD_NUMBER: _ClassVar[int]
    NEGATIVE_REALIZATION_FIELD_NUMBER: _ClassVar[int]
    APPLIED_NEGATIVE_FIELD_NUMBER: _ClassVar[int]
    POSITIVE_REALIZATION_FIELD_NUMBER: _ClassVar[int]
    DECISION_THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    original: Score
    reconstruction: Score
    negative_realization: Score
    applied_negative: Score
    positive_realization: Score
    decision_threshold: float
    def __init__(self, original: _Optional[_Union[Score, _Mapping]] = ..., reconstruction: _Optional[_Union[Score, _Mapping]] = ..., negative_realization: _Optional[_Union[Score, _Mapping]] = ..., applied_negative: _Optional[_Union[Score, _Mapping]] = ..., positive_realization: _Optional[_Union[Score, _Mapping]] = ..., decision_threshold: _Optional[float] = ...) -> None: ...

class TargetScore(_message.Message):
    __slots__ = ("class_name", "logit")
    CLASS_NAME_FIELD_NUMBER: _ClassVar[int]
    LOGIT_FIELD_NUMBER: _ClassVar[int]
    class_name: str
    logit: float
    def __init__(self, class_name: _Optional[str] = ..., logit: _Optional[float] = ...) -> None: ...

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

class ImageCheck(_message.Message):
    __slots__ = ("name", "measured", "maximum", "passed")
    NAME_FIELD_NUMBER: _ClassVar[int]
    MEASURED_FIELD_NUMBER: _ClassVar[int]
    MAXIMUM_FIELD_NUMBER: _ClassVar[int]
    PASSED_FIELD_NUMBER: _ClassVar[int]
    name: str
    measured: float
    maximum: float
    passed: bool
    def __init__(self, name: _Optional[str] = ..., measured: _Optional[float] = ..., maximum: _Optional[float] = ..., passed: _Optional[bool] = ...) -> None: ...

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
    __slots__ = ("queued_ms", "preprocess_ms", "inversion_ms", "positive_realization_ms", "maps_ms", "total_ms")
    QUEUED_MS_FIELD_NUMBER: _ClassVar[int]
    PREPROCESS_MS_FIELD_NUMBER: _ClassVar[int]
    INVERSION_MS_FIELD_NUMBER: _ClassVar[int]
    POSITIVE_REALIZATION_MS_FIELD_NUMBER: _ClassVar[int]
    MAPS_MS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_MS_FIELD_NUMBER: _ClassVar[int]
    queued_ms: float
    preprocess_ms: float
    inversion_ms: float
    positive_realization_ms: float
    maps_ms: float
    total_ms: float
    def __init__(self, queued_ms: _Optional[float] = ..., preprocess_ms: _Optional[float] = ..., inversion_ms: _Optional[float] = ..., positive_realization_ms: _Optional[float] = ..., maps_ms: _Optional[float] = ..., total_ms: _Optional[float] = ...) -> None: ...

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
    __slots__ = ("model", "execution", "score", "decision_threshold", "predicted_class", "familiar", "image_checks", "geometry", "notes")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    DECISION_THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    PREDICTED_CLASS_FIELD_NUMBER: _ClassVar[int]
    FAMILIAR_FIELD_NUMBER: _ClassVar[int]
    IMAGE_CHECKS_FIELD_NUMBER: _ClassVar[int]
    GEOMETRY_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    model: ModelIdentity
    execution: Execution
    score: Score
    decision_threshold: float
    predicted_class: str
    familiar: bool
    image_checks: _containers.RepeatedCompositeFieldContainer[ImageCheck]
    geometry: Geometry
    notes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, model: _Optional[_Union[ModelIdentity, _Mapping]] = ..., execution: _Optional[_Union[Execution, _Mapping]] = ..., score: _Optional[_Union[Score, _Mapping]] = ..., decision_threshold: _Optional[float] = ..., predicted_class: _Optional[str] = ..., familiar: _Optional[bool] = ..., image_checks: _Optional[_Iterable[_Union[ImageCheck, _Mapping]]] = ..., geometry: _Optional[_Union[Geometry, _Mapping]] = ..., notes: _Optional[_Iterable[str]] = ...) -> None: ...

class ListModelsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListModelsResponse(_message.Message):
    __slots__ = ("models", "server")
    MODELS_FIELD_NUMBER: _ClassVar[int]
    SERVER_FIELD_NUMBER: _ClassVar[int]
    models: _containers.RepeatedCompositeFieldContainer[ModelSummary]
    server: ServerDescription
    def __init__(self, models: _Optional[_Iterable[_Union[ModelSummary, _Mapping]]] = ..., server: _Optional[_Union[ServerDescription, _Mapping]] = ...) -> None: ...

class ModelSummary(_message.Message):
    __slots__ = ("model", "modality", "positive_class", "negative_class", "license", "execution", "has_generator", "is_default")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    MODALITY_FIELD_NUMBER: _ClassVar[int]
    POSITIVE_CLASS_FIELD_NUMBER: _ClassVar[int]
    NEGATIVE_CLASS_FIELD_NUMBER: _ClassVar[int]
    LICENSE_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_FIELD_NUMBER: _ClassVar[int]
    HAS_GENERATOR_FIELD_NUMBER: _ClassVar[int]
    IS_DEFAULT_FIELD_NUMBER: _ClassVar[int]
    model: ModelIdentity
    modality: str
    positive_class: str
    negative_class: str
    license: str
    execution: Execution
    has_generator: bool
    is_default: bool
    def __init__(self, model: _Optional[_Union[ModelIdentity, _Mapping]] = ..., modality: _Optional[str] = ..., positive_class: _Optional[str] = ..., negative_class: _Optional[str] = ..., license: _Optional[str] = ..., execution: _Optional[_Union[Execution, _Mapping]] = ..., has_generator: _Optional[bool] = ..., is_default: _Optional[bool] = ...) -> None: ...

class ServerDescription(_message.Message):
    __slots__ = ("version", "limits", "image_forms")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FORMS_FIELD_NUMBER: _ClassVar[int]
    version: str
    limits: Limits
    image_forms: _containers.RepeatedScalarFieldContainer[ImageForm]
    def __init__(self, version: _Optional[str] = ..., limits: _Optional[_Union[Limits, _Mapping]] = ..., image_forms: _Optional[_Iterable[_Union[ImageForm, str]]] = ...) -> None: ...

class Limits(_message.Message):
    __slots__ = ("message_bytes", "image_side", "image_pixels", "decompressed_bytes", "maps", "restarts", "path_steps", "occlusion_windows", "trajectory_frames")
    MESSAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    IMAGE_SIDE_FIELD_NUMBER: _ClassVar[int]
    IMAGE_PIXELS_FIELD_NUMBER: _ClassVar[int]
    DECOMPRESSED_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAPS_FIELD_NUMBER: _ClassVar[int]
    RESTARTS_FIELD_NUMBER: _ClassVar[int]
    PATH_STEPS_FIELD_NUMBER: _ClassVar[int]
    OCCLUSION_WINDOWS_FIELD_NUMBER: _ClassVar[int]
    TRAJECTORY_FRAMES_FIELD_NUMBER: _ClassVar[int]
    message_bytes: int
    image_side: int
    image_pixels: int
    decompressed_bytes: int
    maps: int
    restarts: int
    path_steps: int
    occlusion_windows: int
    trajectory_frames: int
    def __init__(self, message_bytes: _Optional[int] = ..., image_side: _Optional[int] = ..., image_pixels: _Optional[int] = ..., decompressed_bytes: _Optional[int] = ..., maps: _Optional[int] = ..., restarts: _Optional[int] = ..., path_steps: _Optional[int] = ..., occlusion_windows: _Optional[int] = ..., trajectory_frames: _Optional[int] = ...) -> None: ...

class GetModelRequest(_message.Message):
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: ModelSelector
    def __init__(self, model: _Optional[_Union[ModelSelector, _Mapping]] = ...) -> None: ...

class GetModelResponse(_message.Message):
    __slots__ = ("model", "bundle", "execution", "maps", "default_settings", "server")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    BUNDLE_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_FIELD_NUMBER: _ClassVar[int]
    MAPS_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_SETTINGS_FIELD_NUMBER: _ClassVar[int]
    SERVER_FIELD_NUMBER: _ClassVar[int]
    model: ModelIdentity
    bundle: _bundle_pb2.Bundle
    execution: Execution
    maps: _containers.RepeatedCompositeFieldContainer[MapDescription]
    default_settings: ExplainSettings
    server: ServerDescription
    def __init__(self, model: _Optional[_Union[ModelIdentity, _Mapping]] = ..., bundle: _Optional[_Union[_bundle_pb2.Bundle, _Mapping]] = ..., execution: _Optional[_Union[Execution, _Mapping]] = ..., maps: _Optional[_Iterable[_Union[MapDescription, _Mapping]]] = ..., default_settings: _Optional[_Union[ExplainSettings, _Mapping]] = ..., server: _Optional[_Union[ServerDescription, _Mapping]] = ...) -> None: ...

class MapDescription(_message.Message):
    __slots__ = ("kind", "name", "title", "unit", "range", "channels", "needs", "cost", "is_default", "any_class")
    KIND_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    RANGE_FIELD_NUMBER: _ClassVar[int]
    CHANNELS_FIELD_NUMBER: _ClassVar[int]
    NEEDS_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    IS_DEFAULT_FIELD_NUMBER: _ClassVar[int]
    ANY_CLASS_FIELD_NUMBER: _ClassVar[int]
    kind: MapKind
    name: str
    title: str
    unit: str
    range: _bundle_pb2.Interval
    channels: int
    needs: _containers.RepeatedScalarFieldContainer[MapNeed]
    cost: int
    is_default: bool
    any_class: bool
    def __init__(self, kind: _Optional[_Union[MapKind, str]] = ..., name: _Optional[str] = ..., title: _Optional[str] = ..., unit: _Optional[str] = ..., range: _Optional[_Union[_bundle_pb2.Interval, _Mapping]] = ..., channels: _Optional[int] = ..., needs: _Optional[_Iterable[_Union[MapNeed, str]]] = ..., cost: _Optional[int] = ..., is_default: _Optional[bool] = ..., any_class: _Optional[bool] = ...) -> None: ...
