"""Parameters of a request are settings by short names; what is unknown or of another type is refused by name."""

import pytest

from medxgan.server.errors import ImageError, InvalidRequestError, SettingsError
from medxgan.server.open_inference.messages import inference
from medxgan.server.open_inference.parameters import (
    SETTINGS,
    named_as_sent,
    set_settings,
    timeout_seconds,
    wants_empty_final_response,
)
from medxgan.server.wire.validation import validate
from medxgan.v1.bundle_pb2 import SOLVER_LBFGS
from medxgan.v1.explanation_pb2 import PRIORITY_ROUTINE, PRIORITY_STAT, PRIORITY_UNSPECIFIED, ExplainRequest, Image


def parameters(**values: object):
    """Parameters as tritonclient sends them: whole numbers as int64."""
    request = inference.ModelInferRequest()
    for name, value in values.items():
        match value:
            case bool():
                request.parameters[name].bool_param = value
            case int():
                request.parameters[name].int64_param = value
            case float():
                request.parameters[name].double_param = value
            case str():
                request.parameters[name].string_param = value
            case inference.InferParameter():
                request.parameters[name].CopyFrom(value)
    return request.parameters


def settings(**values: object) -> ExplainRequest:
    request = ExplainRequest(image=Image(encoded=b"film"))
    set_settings(parameters(**values), request)
    return request


def test_every_setting_has_its_field() -> None:
    request = settings(
        steps=7,
        learning_rate=0.05,
        reconstruction_weight=2,
        restarts=3,
        solver="lbfgs",
        seed=5,
        target_class="lesion",
        integrated_gradients_steps=20,
        integrated_gradients_baseline=-1,
        occlusion_window=4,
        occlusion_stride=2,
        occlusion_level=0.5,
        frame=2,
        pixel_spacing_row_mm=0.3,
        pixel_spacing_column_mm=0.1,
    )
    inversion = request.settings.inversion
    assert (inversion.steps, inversion.learning_rate, inversion.reconstruction_weight) == (7, 0.05, 2)
    assert (inversion.restarts, inversion.solver) == (3, SOLVER_LBFGS)
    assert (request.settings.seed, request.settings.target_class) == (5, "lesion")
    assert (request.settings.integrated_gradients.steps, request.settings.integrated_gradients.baseline) == (20, -1)
    occlusion = request.settings.occlusion
    assert (occlusion.window, occlusion.stride, occlusion.level) == (4, 2, 0.5)
    assert (request.image.frame, request.image.pixel_spacing.row_mm) == (2, 0.3)
    assert not settings().settings.HasField("inversion"), "what is left out is left out"


@pytest.mark.parametrize(
    ("level", "priority"),
    [(0, PRIORITY_UNSPECIFIED), (1, PRIORITY_STAT), (2, PRIORITY_ROUTINE)],
)
def test_the_lowest_level_is_the_most_urgent(level: int, priority: int) -> None:
    assert settings(priority=level).priority == priority
    assert settings(priority=inference.InferParameter(uint64_param=level)).priority == priority


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("stpes", 7, "parameters.stpes: unknown; there is steps, "),
        ("sequence_id", 7, "parameters.sequence_id: unknown"),
        ("x" * 10_000, 7, "unknown; there is"),
        ("steps", "seven", "parameters.steps: expected a whole number"),
        ("steps", 7.5, "parameters.steps: expected a whole number"),
        ("steps", True, "parameters.steps: expected a whole number"),
        ("steps", -1, "parameters.steps: expected 0 or more, got -1"),
        ("steps", 2**40, "parameters.steps: 1099511627776 is out of range"),
        ("learning_rate", "fast", "parameters.learning_rate: expected a number"),
        ("solver", "newton", "parameters.solver: expected one of adam, lbfgs"),
        ("solver", 1, "parameters.solver: expected a string"),
        ("target_class", 1, "parameters.target_class: expected a string"),
        ("priority", 3, "parameters.priority: expected 0 to 2, got 3"),
    ],
)
def test_a_wrong_parameter_is_refused_by_name(name: str, value: object, text: str) -> None:
    with pytest.raises(InvalidRequestError, match=text) as refusal:
        settings(**{name: value})
    assert len(str(refusal.value)) < 600


def test_the_timeout_comes_in_microseconds() -> None:
    assert timeout_seconds(parameters()) is None
    assert timeout_seconds(parameters(timeout=0)) is None
    assert timeout_seconds(parameters(timeout=1_500_000)) == 1.5
    with pytest.raises(InvalidRequestError, match=r"parameters\.timeout"):
        timeout_seconds(parameters(timeout=1.5))


def test_an_empty_last_response_is_asked_for_by_a_truth_value() -> None:
    assert wants_empty_final_response(parameters(triton_enable_empty_final_response=True))
    assert not wants_empty_final_response(parameters())
    with pytest.raises(InvalidRequestError, match="triton_enable_empty_final_response: expected a bool"):
        wants_empty_final_response(parameters(triton_enable_empty_final_response=1))


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            SettingsError("settings.inversion.steps", "expected 1 to 200, got 999"),
            "parameters.steps: expected 1 to 200",
        ),
        (ImageError("image.frame", "expected 1 to 3, got 7"), "parameters.frame: expected 1 to 3"),
        (ImageError("image.tensor.data", "expected 12 bytes"), "inputs.image: expected 12 bytes"),
        (ImageError("image.pixel_spacing", "expected none"), "parameters.pixel_spacing_row_mm: expected none"),
        (ImageError("image", "expected one"), "inputs.image: expected one"),
        (InvalidRequestError("maps[0].kind", "expected another"), "model_name: expected another"),
        (InvalidRequestError("outputs", "expected others"), "outputs: expected others"),
    ],
)
def test_a_field_is_named_as_the_caller_knows_it(error: InvalidRequestError, text: str) -> None:
    with pytest.raises(type(error), match=text), named_as_sent():
        raise error


def test_rules_of_the_contract_hold_for_parameters() -> None:
    for name, value in {"steps": 0, "restarts": 17, "integrated_gradients_baseline": 2.0}.items():
        with pytest.raises(InvalidRequestError, match=f"parameters.{name}"), named_as_sent():
            validate(settings(**{name: value}))
    assert all(path.startswith(("settings.", "image.")) for path in SETTINGS.values())
