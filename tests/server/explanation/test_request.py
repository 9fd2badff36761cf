"""The settings of an explanation: what is in force, and what is refused by name."""

import pytest

from medxgan.server.errors import InvalidRequestError, SettingsError
from medxgan.server.explanation.request import default_maps, resolve_settings
from medxgan.server.explanation.settings import ExplanationSettings
from medxgan.server.explanation.table import MAPS
from medxgan.server.inversion.settings import InversionSettings
from medxgan.v1 import bundle_pb2
from medxgan.v1.explanation_pb2 import (
    MAP_KIND_COLORIZED,
    MAP_KIND_DIFFERENCE,
    MAP_KIND_EVIDENCE,
    MAP_KIND_GRAD_CAM,
    MAP_KIND_GRADIENT,
    MAP_KIND_GUIDED_BACKPROPAGATION,
    MAP_KIND_GUIDED_GRAD_CAM,
    MAP_KIND_NEGATIVE_REALIZATION,
    MAP_KIND_ORIGINAL,
    MAP_KIND_POSITIVE_REALIZATION,
    MAP_KIND_RECONSTRUCTION,
    MAP_KIND_UNCERTAINTY,
    ExplainRequest,
    ExplainSettings,
    MapRequest,
    TrajectoryRequest,
)

INVERTED = [kind for kind, method in MAPS.items() if 1 in method.needs]


@pytest.fixture
def bundle(linear_engine) -> bundle_pb2.Bundle:
    """Three outputs, the second of which is the positive class; images of 32 x 32."""
    bundle = linear_engine.bundle
    bundle.image.height = bundle.image.width = 32
    del bundle.classification.outputs[:]
    for name in ("effusion", "lesion", "clear"):
        bundle.classification.outputs.add(name=name)
    return bundle


@pytest.fixture
def bare(bundle) -> bundle_pb2.Bundle:
    """The same without a generator."""
    for part in ("latent", "inversion", "reliability"):
        bundle.ClearField(part)
    return bundle


def request(*kinds: int, trajectory: int = 0, **settings: object) -> ExplainRequest:
    return ExplainRequest(
        maps=[MapRequest(kind=kind) for kind in kinds],
        settings=ExplainSettings(**settings),
        trajectory=TrajectoryRequest(frames=trajectory) if trajectory else None,
    )


def test_what_is_left_out_takes_its_default(bundle) -> None:
    pictures = (
        MAP_KIND_ORIGINAL,
        MAP_KIND_RECONSTRUCTION,
        MAP_KIND_NEGATIVE_REALIZATION,
        MAP_KIND_DIFFERENCE,
        MAP_KIND_COLORIZED,
    )
    assert resolve_settings(ExplainRequest(), bundle) == ExplanationSettings(
        maps=pictures,
        target="lesion",
        seed=0,
        inversion=InversionSettings(100, 0.05, 4.0, 1),
        path_steps=50,
        baseline=-1,
        window=4,
        stride=2,
        level=-1,
        frames=0,
        positive_end=False,
    )


def test_without_a_generator_the_default_is_what_one_pass_over_the_image_gives(bare) -> None:
    settings = resolve_settings(ExplainRequest(), bare)
    assert settings.inversion is None
    assert list(settings.maps) == [
        MAP_KIND_GRADIENT,
        MAP_KIND_GUIDED_BACKPROPAGATION,
        MAP_KIND_GRAD_CAM,
        MAP_KIND_GUIDED_GRAD_CAM,
    ]
    assert default_maps(bare) == list(settings.maps)


def test_what_is_set_is_in_force(bundle) -> None:
    settings = resolve_settings(
        request(
            MAP_KIND_GRADIENT,
            target_class="effusion",
            integrated_gradients={"steps": 7, "baseline": 0},
            occlusion={"window": 9, "stride": 3, "level": 0},
            seed=5,
        ),
        bundle,
    )
    assert (settings.maps, settings.target, settings.seed) == ((MAP_KIND_GRADIENT,), "effusion", 5)
    assert (settings.path_steps, settings.baseline) == (7, 0)
    assert (settings.window, settings.stride, settings.level) == (9, 3, 0)
    assert settings.inversion is None, "nothing that is wanted needs one"


def test_the_inversions_settings_are_resolved_where_something_needs_it(bundle) -> None:
    inversion = {"steps": 11, "restarts": 2}
    for wanted in ({"trajectory": 2}, {}):
        settings = resolve_settings(request(MAP_KIND_DIFFERENCE, inversion=inversion, **wanted), bundle)
        assert settings.inversion == InversionSettings(11, 0.05, 4.0, 2)
        assert settings.positive_end == (settings.frames == 2) == bool(wanted)
    assert resolve_settings(request(MAP_KIND_GRADIENT, trajectory=3), bundle).inversion is not None
    assert resolve_settings(request(MAP_KIND_POSITIVE_REALIZATION), bundle).positive_end
    with pytest.raises(SettingsError, match=r"settings\.inversion\.steps: expected 1 to 500, got 999"):
        resolve_settings(request(MAP_KIND_DIFFERENCE, inversion={"steps": 999}), bundle)


def test_a_map_asked_for_twice_is_made_once(bundle) -> None:
    kinds = [MAP_KIND_GRAD_CAM, MAP_KIND_GRADIENT, MAP_KIND_GRAD_CAM]
    assert resolve_settings(request(*kinds), bundle).maps == (MAP_KIND_GRAD_CAM, MAP_KIND_GRADIENT)


@pytest.mark.parametrize(
    ("fields", "field", "expected"),
    [
        ({"target_class": "cat"}, "settings.target_class", "expected one of effusion, lesion, clear, got cat"),
        ({"occlusion": {"window": 33}}, "settings.occlusion.window", "expected 1 to 32, got 33"),
        ({"occlusion": {"window": 6, "stride": 7}}, "settings.occlusion.stride", "expected 1 to 6, got 7"),
        ({"occlusion": {"stride": 5}}, "settings.occlusion.stride", "expected 1 to 4, got 5"),
    ],
)
def test_what_does_not_suit_the_bundle_is_refused(bundle, fields, field, expected) -> None:
    with pytest.raises(SettingsError) as refusal:
        resolve_settings(request(MAP_KIND_GRADIENT, **fields), bundle)
    assert (refusal.value.field, refusal.value.expected) == (field, expected)


@pytest.mark.parametrize("kind", INVERTED)
def test_what_the_inversion_shows_explains_the_positive_class_alone(bundle, kind) -> None:
    kinds, inversion = (MAP_KIND_GRADIENT, kind), {"restarts": 2}
    assert resolve_settings(request(*kinds, target_class="lesion", inversion=inversion), bundle).target == "lesion"
    with pytest.raises(SettingsError) as refusal:
        resolve_settings(request(*kinds, target_class="effusion", inversion=inversion), bundle)
    assert refusal.value.field == "settings.target_class"
    assert refusal.value.expected.startswith("expected lesion, the class that MAP_KIND_")
    assert refusal.value.expected.endswith("got effusion")


def test_a_class_that_is_no_name_is_cut(bundle) -> None:
    with pytest.raises(SettingsError, match=r"^settings\.target_class: expected one of .*, got xxx") as refusal:
        resolve_settings(request(MAP_KIND_GRADIENT, target_class="x" * 20_000), bundle)
    assert len(str(refusal.value)) < 200


@pytest.mark.parametrize("kind", INVERTED)
def test_a_map_that_needs_the_generator_is_refused_by_place_and_name_without_one(bare, kind) -> None:
    with pytest.raises(InvalidRequestError) as refusal:
        resolve_settings(request(MAP_KIND_GRADIENT, kind), bare)
    assert refusal.value.field == "maps[1].kind"
    assert refusal.value.expected.endswith("needs a generator, which linear/1 does not have")


def test_a_trajectory_without_a_generator_is_refused(bare) -> None:
    with pytest.raises(InvalidRequestError, match=r"^trajectory: linear/1 has no generator to invert"):
        resolve_settings(request(MAP_KIND_GRADIENT, trajectory=3), bare)


@pytest.mark.parametrize("restarts", [{}, {"restarts": 1}])
def test_an_uncertainty_of_one_start_is_refused(bundle, restarts) -> None:
    with pytest.raises(SettingsError) as refusal:
        resolve_settings(request(MAP_KIND_EVIDENCE, MAP_KIND_UNCERTAINTY, inversion=restarts), bundle)
    assert refusal.value.field == "settings.inversion.restarts"
    assert refusal.value.expected == "expected 2 or more for MAP_KIND_UNCERTAINTY"
    resolve_settings(request(MAP_KIND_UNCERTAINTY, inversion={"restarts": 2}), bundle)


@pytest.mark.parametrize(
    ("side", "window", "stride", "windows"),
    [(512, 8, 1, 255_025), (512, 8, 4, None), (516, 8, 4, None), (517, 8, 4, 16_641)],
)
def test_an_occlusion_map_of_too_many_windows_is_refused(bundle, side, window, stride, windows) -> None:
    """The last window counts where the border cuts it off too."""
    bundle.image.height = bundle.image.width = side
    wanted = request(MAP_KIND_GRADIENT, occlusion={"window": window, "stride": stride})
    if windows is None:
        resolve_settings(wanted, bundle)
    else:
        with pytest.raises(SettingsError, match=rf"settings\.occlusion\.stride.*16384 windows, got {windows}$"):
            resolve_settings(wanted, bundle)
