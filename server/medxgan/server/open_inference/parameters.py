"""The parameters of a request: settings of the explanation by short names, and what the protocol itself states."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import reduce

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from medxgan.server.errors import InvalidRequestError, shown
from medxgan.server.open_inference.messages import inference
from medxgan.v1 import explanation_pb2

SETTINGS: Mapping[str, str] = {
    "steps": "settings.inversion.steps",
    "learning_rate": "settings.inversion.learning_rate",
    "reconstruction_weight": "settings.inversion.reconstruction_weight",
    "restarts": "settings.inversion.restarts",
    "solver": "settings.inversion.solver",
    "seed": "settings.seed",
    "target_class": "settings.target_class",
    "integrated_gradients_steps": "settings.integrated_gradients.steps",
    "integrated_gradients_baseline": "settings.integrated_gradients.baseline",
    "occlusion_window": "settings.occlusion.window",
    "occlusion_stride": "settings.occlusion.stride",
    "occlusion_level": "settings.occlusion.level",
    "frame": "image.frame",
    "pixel_spacing_row_mm": "image.pixel_spacing.row_mm",
    "pixel_spacing_column_mm": "image.pixel_spacing.column_mm",
}
"""The field of `ExplainRequest` that a parameter sets."""

PRIORITY = "priority"
TIMEOUT = "timeout"
EMPTY_FINAL_RESPONSE = "triton_enable_empty_final_response"
FINAL_RESPONSE = "triton_final_response"

PRIORITIES = (
    explanation_pb2.PRIORITY_UNSPECIFIED,
    explanation_pb2.PRIORITY_STAT,
    explanation_pb2.PRIORITY_ROUTINE,
)
"""By level: 0 is the default, 1 the most urgent."""

Parameters = Mapping[str, inference.InferParameter]


def set_settings(parameters: Parameters, request: explanation_pb2.ExplainRequest) -> None:
    """Set the settings that parameters state, and the priority.

    Args:
        parameters: of the request.
        request: is changed.

    Raises:
        InvalidRequestError: naming a parameter that is unknown, or not of the type that it has to be.
    """
    for name, parameter in parameters.items():
        if name in SETTINGS:
            *parents, field = SETTINGS[name].split(".")
            _set(reduce(getattr, parents, request), field, name, parameter)
        elif name == PRIORITY:
            level = whole_number(f"parameters.{name}", parameter)
            if level >= len(PRIORITIES):
                raise InvalidRequestError(f"parameters.{name}", f"expected 0 to {len(PRIORITIES) - 1}, got {level}")
            request.priority = PRIORITIES[level]
        elif name not in (TIMEOUT, EMPTY_FINAL_RESPONSE):
            known = ", ".join([*SETTINGS, PRIORITY, TIMEOUT, EMPTY_FINAL_RESPONSE])
            raise InvalidRequestError(f"parameters.{shown(name)}", f"unknown; there is {known}")


def timeout_seconds(parameters: Parameters) -> float | None:
    """Seconds in which the answer has to be there, which the protocol states in microseconds; None: any time will do.

    Raises:
        InvalidRequestError: it is no whole number.
    """
    if TIMEOUT not in parameters:
        return None
    return whole_number(f"parameters.{TIMEOUT}", parameters[TIMEOUT]) / 1e6 or None


def wants_empty_final_response(parameters: Parameters) -> bool:
    """Whether a stream shall end with a response without outputs that says so.

    Raises:
        InvalidRequestError: it is no truth value.
    """
    if EMPTY_FINAL_RESPONSE not in parameters:
        return False
    parameter = parameters[EMPTY_FINAL_RESPONSE]
    if parameter.WhichOneof("parameter_choice") != "bool_param":
        raise InvalidRequestError(f"parameters.{EMPTY_FINAL_RESPONSE}", "expected a bool")
    return parameter.bool_param


@contextmanager
def named_as_sent() -> Iterator[None]:
    """Name fields of `ExplainRequest`, in errors, as the caller of this protocol knows them."""
    try:
        yield
    except InvalidRequestError as error:
        raise type(error)(_sent_name(error.field), error.expected) from error


def _sent_name(field: str) -> str:
    for name, path in SETTINGS.items():
        # Of a message that several parameters set, the first one.
        if path == field or (path.startswith(f"{field}.") and field != "image"):
            return f"parameters.{name}"
    if field.startswith("image"):
        return "inputs.image"
    return "model_name" if field.startswith("maps") else field


def _set(message: Message, field: str, name: str, parameter: inference.InferParameter) -> None:
    descriptor = message.DESCRIPTOR.fields_by_name[field]
    sent = f"parameters.{name}"
    value: str | int | float
    match descriptor.cpp_type:
        case FieldDescriptor.CPPTYPE_STRING:
            value = text(sent, parameter)
        case FieldDescriptor.CPPTYPE_ENUM:
            values = {
                each.name.partition("_")[2].lower(): each.number for each in descriptor.enum_type.values if each.number
            }
            chosen = text(sent, parameter)
            if chosen not in values:
                raise InvalidRequestError(sent, f"expected one of {', '.join(values)}, got {shown(chosen)}")
            value = values[chosen]
        case FieldDescriptor.CPPTYPE_DOUBLE:
            value = _number(sent, parameter)
        case _:
            value = whole_number(sent, parameter)
    try:
        setattr(message, field, value)
    except ValueError:
        raise InvalidRequestError(sent, f"{value} is out of range") from None


def text(field: str, parameter: inference.InferParameter) -> str:
    """The text that a parameter holds.

    Raises:
        InvalidRequestError: naming the field, where it holds something else.
    """
    if parameter.WhichOneof("parameter_choice") != "string_param":
        raise InvalidRequestError(field, "expected a string")
    return parameter.string_param


def whole_number(field: str, parameter: inference.InferParameter) -> int:
    """The whole number, 0 or more, that a parameter holds.

    Raises:
        InvalidRequestError: naming the field, where it holds something else.
    """
    value = _integer(field, parameter, "expected a whole number")
    if value < 0:
        raise InvalidRequestError(field, f"expected 0 or more, got {value}")
    return value


def _number(field: str, parameter: inference.InferParameter) -> float:
    if parameter.WhichOneof("parameter_choice") == "double_param":
        return parameter.double_param
    return float(_integer(field, parameter, "expected a number"))


def _integer(field: str, parameter: inference.InferParameter, expected: str) -> int:
    match parameter.WhichOneof("parameter_choice"):
        case "int64_param":
            return parameter.int64_param
        case "uint64_param":
            return parameter.uint64_param
        case _:
            raise InvalidRequestError(field, expected)
