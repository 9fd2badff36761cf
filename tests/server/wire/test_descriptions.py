"""What the server says of itself is what it does: limits, maps and settings."""

from importlib.metadata import version

import pytest

from medxgan.server.errors import InvalidRequestError, SettingsError
from medxgan.server.explanation.request import resolve_settings
from medxgan.server.explanation.table import MAPS
from medxgan.server.settings import ServerSettings
from medxgan.server.wire.descriptions import server_description
from medxgan.server.wire.validation import validate
from medxgan.v1 import bundle_pb2
from medxgan.v1.explanation_pb2 import (
    MAP_KIND_GRADIENT,
    MAP_KIND_OCCLUSION,
    MAP_NEED_INVERSION,
    ExplainRequest,
    ExplainResponse,
    ExplainSettings,
    GetModelRequest,
    GetModelResponse,
    Image,
    Limits,
    ListModelsRequest,
    MapKind,
    MapRequest,
    Tensor,
    TrajectoryRequest,
)

IMAGE = Image(tensor=Tensor(shape=[8, 8], data_type=bundle_pb2.DATA_TYPE_UINT8, data=bytes(range(64))))


@pytest.fixture
def described(answer, linear_loaded, linear_engine) -> GetModelResponse:
    return answer(linear_loaded, GetModelRequest(), linear_engine)


@pytest.fixture
def limits() -> Limits:
    return server_description(ServerSettings()).limits


def test_every_map_is_described_as_the_table_has_it(described, linear_loaded) -> None:
    assert [each.kind for each in described.maps] == list(MAPS)
    for each in described.maps:
        method = MAPS[each.kind]
        assert f"MAP_KIND_{each.name.upper()}" == MapKind.Name(each.kind)
        assert (each.title, each.unit, each.channels) == (method.title, method.unit, method.channels)
        assert tuple(each.needs) == method.needs
        assert each.any_class == (each.cost > 0 and MAP_NEED_INVERSION not in each.needs)
        if method.range is None:
            assert not each.HasField("range")
        else:
            assert (each.range.minimum, each.range.maximum) == method.range


def test_the_costs_are_those_at_the_default_settings(described, linear_loaded) -> None:
    settings = resolve_settings(ExplainRequest(), linear_loaded.description)
    costs = {each.kind: each.cost for each in described.maps}
    assert costs == {kind: method.passes(settings, 8) for kind, method in MAPS.items()}
    assert costs[MAP_KIND_GRADIENT] == 3
    assert costs[MAP_KIND_OCCLUSION] == 64 + 1, "a window of one pixel is the default for 8 x 8"


def test_the_default_maps_are_those_that_a_request_without_maps_gets(
    answer, described, linear_loaded, linear_engine
) -> None:
    response: ExplainResponse = answer(linear_loaded, ExplainRequest(image=IMAGE), linear_engine)
    assert [each.kind for each in response.maps] == [each.kind for each in described.maps if each.is_default]


def test_the_default_settings_are_whole_and_those_in_force(answer, described, linear_loaded, linear_engine) -> None:
    defaults = described.default_settings
    for message in (defaults, defaults.inversion, defaults.integrated_gradients, defaults.occlusion):
        assert [field.name for field, _ in message.ListFields()] == [field.name for field in message.DESCRIPTOR.fields]
    wanted = [MapRequest(kind=kind) for kind in MAPS if kind != MapKind.MAP_KIND_UNCERTAINTY]
    plain: ExplainResponse = answer(linear_loaded, ExplainRequest(image=IMAGE, maps=wanted), linear_engine)
    assert plain.settings == defaults
    named = answer(linear_loaded, ExplainRequest(image=IMAGE, maps=wanted, settings=defaults), linear_engine)
    assert named.settings == defaults
    for one, other in zip(plain.maps, named.maps, strict=True):
        assert one.tensor == other.tensor, "naming the defaults changes nothing"


@pytest.mark.parametrize(
    ("limit", "ask"),
    [
        ("maps", lambda n: ExplainRequest(image=IMAGE, maps=[MapRequest(kind=MAP_KIND_GRADIENT)] * n)),
        ("restarts", lambda n: ExplainRequest(image=IMAGE, settings=ExplainSettings(inversion={"restarts": n}))),
        (
            "path_steps",
            lambda n: ExplainRequest(image=IMAGE, settings=ExplainSettings(integrated_gradients={"steps": n})),
        ),
        ("trajectory_frames", lambda n: ExplainRequest(image=IMAGE, trajectory=TrajectoryRequest(frames=n))),
    ],
)
def test_what_a_limit_allows_is_taken_and_one_more_is_not(linear_loaded, limits, limit, ask) -> None:
    stated = getattr(limits, limit)
    validate(ask(stated))
    resolve_settings(ask(stated), linear_loaded.description)
    with pytest.raises(InvalidRequestError):
        validate(ask(stated + 1))


def test_the_limit_on_windows_is_the_one_in_force(linear_loaded, limits) -> None:
    image = linear_loaded.description.image
    image.height = image.width = 128

    def windows(window: int) -> ExplainRequest:
        settings = ExplainSettings(occlusion={"window": window, "stride": 1})
        return ExplainRequest(maps=[MapRequest(kind=MAP_KIND_OCCLUSION)], settings=settings)

    assert limits.occlusion_windows == 128 * 128
    resolve_settings(windows(1), linear_loaded.description)
    image.height = image.width = 129
    with pytest.raises(SettingsError):
        resolve_settings(windows(1), linear_loaded.description)


def test_the_server_states_its_own_settings() -> None:
    settings = ServerSettings(
        maximum_message_bytes=2048, maximum_side=7, maximum_pixels=8, maximum_decompressed_bytes=9
    )
    described = server_description(settings)
    found = described.limits
    assert (found.message_bytes, found.image_side, found.image_pixels, found.decompressed_bytes) == (2048, 7, 8, 9)
    assert described.version == version("medxgan")
    assert len(described.image_forms) == 3, "the tests have readers for all"


def test_the_list_and_the_description_agree(answer, described, linear_loaded, linear_engine) -> None:
    response = answer(linear_loaded, ListModelsRequest(), linear_engine)
    (summary,) = response.models
    assert (summary.model, summary.execution) == (described.model, described.execution)
    assert response.server == described.server
    assert described.bundle == linear_loaded.description
    assert described.model.bundle_sha256 == "0" * 64
    assert summary.has_generator
    assert summary.is_default
    assert (summary.modality, summary.positive_class, summary.negative_class, summary.license) == (
        "linear pattern",
        "lesion",
        "no lesion",
        "Apache-2.0",
    )
    assert (described.execution.engine, described.execution.fallback) == ("numpy", False)
