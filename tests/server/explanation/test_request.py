"""The settings of Attribute: what is in force, and what is refused by name."""

from pathlib import Path

import pytest

from medxgan.server.bundle import load_bundle
from medxgan.server.errors import InvalidRequestError, SettingsError
from medxgan.server.explainers.settings import AttributionSettings, resolve_attribution_settings
from medxgan.server.explainers.table import EXPLAINERS, check_methods, served_methods
from medxgan.server.inversion import InversionSettings
from medxgan.v1 import bundle_pb2
from medxgan.v1.explanation_pb2 import (
    ATTRIBUTION_METHOD_DIFFERENCE_MAP,
    ATTRIBUTION_METHOD_GRADIENT,
    AttributeRequest,
)


@pytest.fixture(scope="module")
def tiny(tiny_bundle: Path) -> bundle_pb2.Bundle:
    return load_bundle(tiny_bundle).description


@pytest.fixture(scope="module")
def several(several_folder: Path) -> bundle_pb2.Bundle:
    return load_bundle(several_folder).description


def request(**fields: object) -> AttributeRequest:
    return AttributeRequest(**fields)


def test_what_is_left_out_takes_its_default(tiny, several) -> None:
    assert resolve_attribution_settings(request(), tiny) == AttributionSettings(
        target=0,
        path_steps=50,
        baseline=-1,
        window=4,
        stride=2,
        level=-1,
        inversion=InversionSettings(40, tiny.inversion.default_learning_rate, 4),
        seed=0,
    )
    without = resolve_attribution_settings(request(), several)
    assert without.inversion is None
    assert without.target == 1, "the positive class"


def test_what_is_set_is_in_force(tiny, several) -> None:
    settings = resolve_attribution_settings(
        request(
            integrated_gradients={"steps": 7, "baseline": 0},
            occlusion={"window": 9, "stride": 3, "level": 0},
            inversion={"steps": 11},
            seed=5,
        ),
        tiny,
    )
    assert (settings.path_steps, settings.baseline) == (7, 0)
    assert (settings.window, settings.stride, settings.level) == (9, 3, 0)
    assert settings.inversion.steps == 11
    assert settings.seed == 5
    assert resolve_attribution_settings(request(target=0), several).target == 0


@pytest.mark.parametrize(
    ("fields", "field", "expected"),
    [
        ({"target": 3}, "target", "expected 0 to 2, got 3"),
        ({"occlusion": {"window": 33}}, "occlusion.window", "expected 1 to 32, got 33"),
        ({"occlusion": {"window": 6, "stride": 7}}, "occlusion.stride", "expected 1 to 6, got 7"),
        ({"occlusion": {"stride": 5}}, "occlusion.stride", "expected 1 to 4, got 5"),
    ],
)
def test_what_does_not_suit_the_bundle_is_refused(several, fields, field, expected) -> None:
    with pytest.raises(SettingsError) as refusal:
        resolve_attribution_settings(request(**fields), several)
    assert (refusal.value.field, refusal.value.expected) == (field, expected)


def test_a_classifier_with_one_output_has_one_target(tiny) -> None:
    assert resolve_attribution_settings(request(target=0), tiny).target == 0
    with pytest.raises(SettingsError, match="target: expected 0 to 0, got 1"):
        resolve_attribution_settings(request(target=1), tiny)


def test_the_inversions_settings_are_checked_as_those_of_explain(tiny) -> None:
    with pytest.raises(SettingsError, match=r"inversion\.steps: expected 1 to 200, got 999"):
        resolve_attribution_settings(request(inversion={"steps": 999}), tiny)


def test_a_bundle_serves_what_it_has_the_graphs_for(tiny, several) -> None:
    assert served_methods(tiny) == tuple(EXPLAINERS)
    assert served_methods(several) == tuple(
        method for method, explainer in EXPLAINERS.items() if not explainer.needs_generator
    )
    check_methods(served_methods(several), 2, several)
    with pytest.raises(InvalidRequestError) as refusal:
        check_methods([ATTRIBUTION_METHOD_GRADIENT, ATTRIBUTION_METHOD_DIFFERENCE_MAP], 1, several)
    assert refusal.value.field == "methods[1]"
    assert refusal.value.expected == (
        "ATTRIBUTION_METHOD_DIFFERENCE_MAP needs a generator, which several/1 does not have"
    )


def test_an_occlusion_map_of_too_many_windows_is_refused(several) -> None:
    large = bundle_pb2.Bundle()
    large.CopyFrom(several)
    large.image.size = 512
    with pytest.raises(SettingsError, match=r"occlusion\.stride.*16384 windows, got 255025"):
        resolve_attribution_settings(request(occlusion={"window": 8, "stride": 1}), large)
