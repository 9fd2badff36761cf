from buf.validate import validate_pb2 as _validate_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Aspect(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ASPECT_UNSPECIFIED: _ClassVar[Aspect]
    ASPECT_CROP: _ClassVar[Aspect]
    ASPECT_PAD: _ClassVar[Aspect]
    ASPECT_STRETCH: _ClassVar[Aspect]

class OutputActivation(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OUTPUT_ACTIVATION_UNSPECIFIED: _ClassVar[OutputActivation]
    OUTPUT_ACTIVATION_LOGISTIC: _ClassVar[OutputActivation]
    OUTPUT_ACTIVATION_SOFTMAX: _ClassVar[OutputActivation]

class GraphRole(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    GRAPH_ROLE_UNSPECIFIED: _ClassVar[GraphRole]
    GRAPH_ROLE_OPEN: _ClassVar[GraphRole]
    GRAPH_ROLE_CLASSIFIER: _ClassVar[GraphRole]
    GRAPH_ROLE_GENERATOR: _ClassVar[GraphRole]
    GRAPH_ROLE_INVERSION_STEP: _ClassVar[GraphRole]
    GRAPH_ROLE_CLOSE: _ClassVar[GraphRole]
    GRAPH_ROLE_ATTRIBUTION: _ClassVar[GraphRole]

class GraphFormat(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    GRAPH_FORMAT_UNSPECIFIED: _ClassVar[GraphFormat]
    GRAPH_FORMAT_ONNX: _ClassVar[GraphFormat]
    GRAPH_FORMAT_TORCH_EXPORT: _ClassVar[GraphFormat]

class DataType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DATA_TYPE_UNSPECIFIED: _ClassVar[DataType]
    DATA_TYPE_UINT8: _ClassVar[DataType]
    DATA_TYPE_UINT16: _ClassVar[DataType]
    DATA_TYPE_FLOAT32: _ClassVar[DataType]

class Solver(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SOLVER_UNSPECIFIED: _ClassVar[Solver]
    SOLVER_ADAM: _ClassVar[Solver]
    SOLVER_LBFGS: _ClassVar[Solver]
ASPECT_UNSPECIFIED: Aspect
ASPECT_CROP: Aspect
ASPECT_PAD: Aspect
ASPECT_STRETCH: Aspect
OUTPUT_ACTIVATION_UNSPECIFIED: OutputActivation
OUTPUT_ACTIVATION_LOGISTIC: OutputActivation
OUTPUT_ACTIVATION_SOFTMAX: OutputActivation
GRAPH_ROLE_UNSPECIFIED: GraphRole
GRAPH_ROLE_OPEN: GraphRole
GRAPH_ROLE_CLASSIFIER: GraphRole
GRAPH_ROLE_GENERATOR: GraphRole
GRAPH_ROLE_INVERSION_STEP: GraphRole
GRAPH_ROLE_CLOSE: GraphRole
GRAPH_ROLE_ATTRIBUTION: GraphRole
GRAPH_FORMAT_UNSPECIFIED: GraphFormat
GRAPH_FORMAT_ONNX: GraphFormat
GRAPH_FORMAT_TORCH_EXPORT: GraphFormat
DATA_TYPE_UNSPECIFIED: DataType
DATA_TYPE_UINT8: DataType
DATA_TYPE_UINT16: DataType
DATA_TYPE_FLOAT32: DataType
SOLVER_UNSPECIFIED: Solver
SOLVER_ADAM: Solver
SOLVER_LBFGS: Solver

class Bundle(_message.Message):
    __slots__ = ("schema_version", "name", "version", "image", "classification", "latent", "graphs", "inversion", "reliability", "provenance", "metrics", "familiarity", "data_files")
    SCHEMA_VERSION_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    CLASSIFICATION_FIELD_NUMBER: _ClassVar[int]
    LATENT_FIELD_NUMBER: _ClassVar[int]
    GRAPHS_FIELD_NUMBER: _ClassVar[int]
    INVERSION_FIELD_NUMBER: _ClassVar[int]
    RELIABILITY_FIELD_NUMBER: _ClassVar[int]
    PROVENANCE_FIELD_NUMBER: _ClassVar[int]
    METRICS_FIELD_NUMBER: _ClassVar[int]
    FAMILIARITY_FIELD_NUMBER: _ClassVar[int]
    DATA_FILES_FIELD_NUMBER: _ClassVar[int]
    schema_version: int
    name: str
    version: str
    image: ImageSpecification
    classification: Classification
    latent: LatentSpecification
    graphs: _containers.RepeatedCompositeFieldContainer[Graph]
    inversion: InversionSpecification
    reliability: Reliability
    provenance: Provenance
    metrics: _containers.RepeatedCompositeFieldContainer[Metric]
    familiarity: Familiarity
    data_files: _containers.RepeatedCompositeFieldContainer[DataFile]
    def __init__(self, schema_version: _Optional[int] = ..., name: _Optional[str] = ..., version: _Optional[str] = ..., image: _Optional[_Union[ImageSpecification, _Mapping]] = ..., classification: _Optional[_Union[Classification, _Mapping]] = ..., latent: _Optional[_Union[LatentSpecification, _Mapping]] = ..., graphs: _Optional[_Iterable[_Union[Graph, _Mapping]]] = ..., inversion: _Optional[_Union[InversionSpecification, _Mapping]] = ..., reliability: _Optional[_Union[Reliability, _Mapping]] = ..., provenance: _Optional[_Union[Provenance, _Mapping]] = ..., metrics: _Optional[_Iterable[_Union[Metric, _Mapping]]] = ..., familiarity: _Optional[_Union[Familiarity, _Mapping]] = ..., data_files: _Optional[_Iterable[_Union[DataFile, _Mapping]]] = ...) -> None: ...

class ImageSpecification(_message.Message):
    __slots__ = ("height", "width", "channels", "lower_percentile", "upper_percentile", "aspect", "modality")
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    CHANNELS_FIELD_NUMBER: _ClassVar[int]
    LOWER_PERCENTILE_FIELD_NUMBER: _ClassVar[int]
    UPPER_PERCENTILE_FIELD_NUMBER: _ClassVar[int]
    ASPECT_FIELD_NUMBER: _ClassVar[int]
    MODALITY_FIELD_NUMBER: _ClassVar[int]
    height: int
    width: int
    channels: int
    lower_percentile: float
    upper_percentile: float
    aspect: Aspect
    modality: str
    def __init__(self, height: _Optional[int] = ..., width: _Optional[int] = ..., channels: _Optional[int] = ..., lower_percentile: _Optional[float] = ..., upper_percentile: _Optional[float] = ..., aspect: _Optional[_Union[Aspect, str]] = ..., modality: _Optional[str] = ...) -> None: ...

class Classification(_message.Message):
    __slots__ = ("outputs", "activation", "positive_class", "negative_class", "decision_threshold")
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    ACTIVATION_FIELD_NUMBER: _ClassVar[int]
    POSITIVE_CLASS_FIELD_NUMBER: _ClassVar[int]
    NEGATIVE_CLASS_FIELD_NUMBER: _ClassVar[int]
    DECISION_THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    outputs: _containers.RepeatedCompositeFieldContainer[ClassifierOutput]
    activation: OutputActivation
    positive_class: str
    negative_class: str
    decision_threshold: float
    def __init__(self, outputs: _Optional[_Iterable[_Union[ClassifierOutput, _Mapping]]] = ..., activation: _Optional[_Union[OutputActivation, str]] = ..., positive_class: _Optional[str] = ..., negative_class: _Optional[str] = ..., decision_threshold: _Optional[float] = ...) -> None: ...

class ClassifierOutput(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class LatentSpecification(_message.Message):
    __slots__ = ("z1_size", "z2_size")
    Z1_SIZE_FIELD_NUMBER: _ClassVar[int]
    Z2_SIZE_FIELD_NUMBER: _ClassVar[int]
    z1_size: int
    z2_size: int
    def __init__(self, z1_size: _Optional[int] = ..., z2_size: _Optional[int] = ...) -> None: ...

class Graph(_message.Message):
    __slots__ = ("role", "format", "file", "sha256", "opset", "inputs", "outputs", "weights")
    ROLE_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    FILE_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    OPSET_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    role: GraphRole
    format: GraphFormat
    file: str
    sha256: str
    opset: int
    inputs: _containers.RepeatedCompositeFieldContainer[TensorSpecification]
    outputs: _containers.RepeatedCompositeFieldContainer[TensorSpecification]
    weights: _containers.RepeatedCompositeFieldContainer[StoredWeight]
    def __init__(self, role: _Optional[_Union[GraphRole, str]] = ..., format: _Optional[_Union[GraphFormat, str]] = ..., file: _Optional[str] = ..., sha256: _Optional[str] = ..., opset: _Optional[int] = ..., inputs: _Optional[_Iterable[_Union[TensorSpecification, _Mapping]]] = ..., outputs: _Optional[_Iterable[_Union[TensorSpecification, _Mapping]]] = ..., weights: _Optional[_Iterable[_Union[StoredWeight, _Mapping]]] = ...) -> None: ...

class DataFile(_message.Message):
    __slots__ = ("file", "sha256")
    FILE_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    file: str
    sha256: str
    def __init__(self, file: _Optional[str] = ..., sha256: _Optional[str] = ...) -> None: ...

class StoredWeight(_message.Message):
    __slots__ = ("name", "shape", "file", "offset")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    FILE_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    name: str
    shape: _containers.RepeatedScalarFieldContainer[int]
    file: str
    offset: int
    def __init__(self, name: _Optional[str] = ..., shape: _Optional[_Iterable[int]] = ..., file: _Optional[str] = ..., offset: _Optional[int] = ...) -> None: ...

class TensorSpecification(_message.Message):
    __slots__ = ("name", "data_type", "shape")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DATA_TYPE_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    name: str
    data_type: DataType
    shape: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, name: _Optional[str] = ..., data_type: _Optional[_Union[DataType, str]] = ..., shape: _Optional[_Iterable[int]] = ...) -> None: ...

class InversionSpecification(_message.Message):
    __slots__ = ("default_steps", "maximum_steps", "default_learning_rate", "learning_rate_range", "default_reconstruction_weight", "reconstruction_weight_range", "tolerance", "check_interval", "beta1", "beta2", "epsilon", "pathology_rate", "default_solver")
    DEFAULT_STEPS_FIELD_NUMBER: _ClassVar[int]
    MAXIMUM_STEPS_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_LEARNING_RATE_FIELD_NUMBER: _ClassVar[int]
    LEARNING_RATE_RANGE_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_RECONSTRUCTION_WEIGHT_FIELD_NUMBER: _ClassVar[int]
    RECONSTRUCTION_WEIGHT_RANGE_FIELD_NUMBER: _ClassVar[int]
    TOLERANCE_FIELD_NUMBER: _ClassVar[int]
    CHECK_INTERVAL_FIELD_NUMBER: _ClassVar[int]
    BETA1_FIELD_NUMBER: _ClassVar[int]
    BETA2_FIELD_NUMBER: _ClassVar[int]
    EPSILON_FIELD_NUMBER: _ClassVar[int]
    PATHOLOGY_RATE_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_SOLVER_FIELD_NUMBER: _ClassVar[int]
    default_steps: int
    maximum_steps: int
    default_learning_rate: float
    learning_rate_range: Interval
    default_reconstruction_weight: float
    reconstruction_weight_range: Interval
    tolerance: float
    check_interval: int
    beta1: float
    beta2: float
    epsilon: float
    pathology_rate: float
    default_solver: Solver
    def __init__(self, default_steps: _Optional[int] = ..., maximum_steps: _Optional[int] = ..., default_learning_rate: _Optional[float] = ..., learning_rate_range: _Optional[_Union[Interval, _Mapping]] = ..., default_reconstruction_weight: _Optional[float] = ..., reconstruction_weight_range: _Optional[_Union[Interval, _Mapping]] = ..., tolerance: _Optional[float] = ..., check_interval: _Optional[int] = ..., beta1: _Optional[float] = ..., beta2: _Optional[float] = ..., epsilon: _Optional[float] = ..., pathology_rate: _Optional[float] = ..., default_solver: _Optional[_Union[Solver, str]] = ...) -> None: ...

class Interval(_message.Message):
    __slots__ = ("minimum", "maximum")
    MINIMUM_FIELD_NUMBER: _ClassVar[int]
    MAXIMUM_FIELD_NUMBER: _ClassVar[int]
    minimum: float
    maximum: float
    def __init__(self, minimum: _Optional[float] = ..., maximum: _Optional[float] = ...) -> None: ...

class Familiarity(_message.Message):
    __slots__ = ("measures", "method", "false_alarm_rate", "measured_on")
    MEASURES_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    FALSE_ALARM_RATE_FIELD_NUMBER: _ClassVar[int]
    MEASURED_ON_FIELD_NUMBER: _ClassVar[int]
    measures: _containers.RepeatedCompositeFieldContainer[FamiliarityMeasure]
    method: str
    false_alarm_rate: float
    measured_on: str
    def __init__(self, measures: _Optional[_Iterable[_Union[FamiliarityMeasure, _Mapping]]] = ..., method: _Optional[str] = ..., false_alarm_rate: _Optional[float] = ..., measured_on: _Optional[str] = ...) -> None: ...

class FamiliarityMeasure(_message.Message):
    __slots__ = ("name", "maximum", "description")
    NAME_FIELD_NUMBER: _ClassVar[int]
    MAXIMUM_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    name: str
    maximum: float
    description: str
    def __init__(self, name: _Optional[str] = ..., maximum: _Optional[float] = ..., description: _Optional[str] = ...) -> None: ...

class Reliability(_message.Message):
    __slots__ = ("maximum_reconstruction_mse", "method", "promise", "curve", "minimum_difference_peak")
    MAXIMUM_RECONSTRUCTION_MSE_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    PROMISE_FIELD_NUMBER: _ClassVar[int]
    CURVE_FIELD_NUMBER: _ClassVar[int]
    MINIMUM_DIFFERENCE_PEAK_FIELD_NUMBER: _ClassVar[int]
    maximum_reconstruction_mse: float
    method: str
    promise: ReliabilityPromise
    curve: _containers.RepeatedCompositeFieldContainer[CoveragePoint]
    minimum_difference_peak: float
    def __init__(self, maximum_reconstruction_mse: _Optional[float] = ..., method: _Optional[str] = ..., promise: _Optional[_Union[ReliabilityPromise, _Mapping]] = ..., curve: _Optional[_Iterable[_Union[CoveragePoint, _Mapping]]] = ..., minimum_difference_peak: _Optional[float] = ...) -> None: ...

class ReliabilityPromise(_message.Message):
    __slots__ = ("measured_on", "images", "patients", "coverage", "applied_negative_called_negative", "lower_bound", "difference_pointing", "difference_pointing_lower_bound")
    MEASURED_ON_FIELD_NUMBER: _ClassVar[int]
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    PATIENTS_FIELD_NUMBER: _ClassVar[int]
    COVERAGE_FIELD_NUMBER: _ClassVar[int]
    APPLIED_NEGATIVE_CALLED_NEGATIVE_FIELD_NUMBER: _ClassVar[int]
    LOWER_BOUND_FIELD_NUMBER: _ClassVar[int]
    DIFFERENCE_POINTING_FIELD_NUMBER: _ClassVar[int]
    DIFFERENCE_POINTING_LOWER_BOUND_FIELD_NUMBER: _ClassVar[int]
    measured_on: str
    images: int
    patients: int
    coverage: float
    applied_negative_called_negative: float
    lower_bound: float
    difference_pointing: float
    difference_pointing_lower_bound: float
    def __init__(self, measured_on: _Optional[str] = ..., images: _Optional[int] = ..., patients: _Optional[int] = ..., coverage: _Optional[float] = ..., applied_negative_called_negative: _Optional[float] = ..., lower_bound: _Optional[float] = ..., difference_pointing: _Optional[float] = ..., difference_pointing_lower_bound: _Optional[float] = ...) -> None: ...

class CoveragePoint(_message.Message):
    __slots__ = ("coverage", "images", "maximum_reconstruction_mse", "negative_called_negative", "applied_negative_called_negative", "residual_average_precision", "residual_pointing")
    COVERAGE_FIELD_NUMBER: _ClassVar[int]
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    MAXIMUM_RECONSTRUCTION_MSE_FIELD_NUMBER: _ClassVar[int]
    NEGATIVE_CALLED_NEGATIVE_FIELD_NUMBER: _ClassVar[int]
    APPLIED_NEGATIVE_CALLED_NEGATIVE_FIELD_NUMBER: _ClassVar[int]
    RESIDUAL_AVERAGE_PRECISION_FIELD_NUMBER: _ClassVar[int]
    RESIDUAL_POINTING_FIELD_NUMBER: _ClassVar[int]
    coverage: float
    images: int
    maximum_reconstruction_mse: float
    negative_called_negative: float
    applied_negative_called_negative: float
    residual_average_precision: float
    residual_pointing: float
    def __init__(self, coverage: _Optional[float] = ..., images: _Optional[int] = ..., maximum_reconstruction_mse: _Optional[float] = ..., negative_called_negative: _Optional[float] = ..., applied_negative_called_negative: _Optional[float] = ..., residual_average_precision: _Optional[float] = ..., residual_pointing: _Optional[float] = ...) -> None: ...

class Provenance(_message.Message):
    __slots__ = ("data", "license", "attribution", "configuration", "seed", "versions", "limitations")
    class ConfigurationEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class VersionsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    DATA_FIELD_NUMBER: _ClassVar[int]
    LICENSE_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTION_FIELD_NUMBER: _ClassVar[int]
    CONFIGURATION_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    LIMITATIONS_FIELD_NUMBER: _ClassVar[int]
    data: _containers.RepeatedScalarFieldContainer[str]
    license: str
    attribution: _containers.RepeatedScalarFieldContainer[str]
    configuration: _containers.ScalarMap[str, str]
    seed: int
    versions: _containers.ScalarMap[str, str]
    limitations: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, data: _Optional[_Iterable[str]] = ..., license: _Optional[str] = ..., attribution: _Optional[_Iterable[str]] = ..., configuration: _Optional[_Mapping[str, str]] = ..., seed: _Optional[int] = ..., versions: _Optional[_Mapping[str, str]] = ..., limitations: _Optional[_Iterable[str]] = ...) -> None: ...

class Metric(_message.Message):
    __slots__ = ("name", "value", "measured_on", "description", "images", "patients")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    MEASURED_ON_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    PATIENTS_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: float
    measured_on: str
    description: str
    images: int
    patients: int
    def __init__(self, name: _Optional[str] = ..., value: _Optional[float] = ..., measured_on: _Optional[str] = ..., description: _Optional[str] = ..., images: _Optional[int] = ..., patients: _Optional[int] = ...) -> None: ...
