"""The table of maps: complete, in order, and true about what each map needs and costs."""

import math

import numpy as np
import pytest

from medxgan.server.explanation.explanation import Explanation
from medxgan.server.explanation.request import resolve_settings
from medxgan.server.explanation.table import MAPS, map_name, served_maps
from medxgan.v1.explanation_pb2 import (
    MAP_KIND_GRAD_CAM,
    MAP_KIND_OCCLUSION,
    MAP_KIND_UNSPECIFIED,
    MAP_NEED_INVERSION,
    MAP_NEED_PATH,
    MAP_NEED_POSITIVE_SEARCH,
    MAP_NEED_RESTARTS,
    MAP_NEED_WINDOWS,
    ExplainRequest,
    MapKind,
)

CODE = (0.1, -0.3, 0.25, 0.2, 0.4, 0.3)
KINDS = pytest.mark.parametrize("kind", MAPS, ids=MapKind.Name)


def test_every_kind_of_the_contract_has_a_row_in_its_order() -> None:
    assert list(MAPS) == [kind for kind in MapKind.values() if kind != MAP_KIND_UNSPECIFIED]


@KINDS
def test_every_row_says_what_the_map_is(kind) -> None:
    method = MAPS[kind]
    assert method.title[0].isupper()
    assert method.unit
    assert method.channels in (1, 3)
    assert method.range is None or method.range[0] < method.range[1]
    assert set(method.needs) <= set(range(1, 6))
    if {MAP_NEED_RESTARTS, MAP_NEED_POSITIVE_SEARCH} & set(method.needs):
        assert MAP_NEED_INVERSION in method.needs
    if method.any_class:
        assert MAP_NEED_INVERSION not in method.needs, "an inversion is about the positive class"


def test_names_and_titles_are_unique() -> None:
    assert map_name(MAP_KIND_GRAD_CAM) == "grad_cam"
    assert len({map_name(kind) for kind in MAPS}) == len({method.title for method in MAPS.values()}) == len(MAPS)


@pytest.fixture
def make(explain, linear_loaded, linear_engine):
    """Makes one map with the default settings, of which it needs as few steps as may be."""

    def make_map(kind: int) -> Explanation:
        inversion = {"steps": 1, "restarts": 2 if MAP_NEED_RESTARTS in MAPS[kind].needs else 1}
        return explain(linear_loaded, linear_engine.image(*CODE), [kind], engine=linear_engine, inversion=inversion)

    return make_map


@KINDS
def test_a_map_costs_the_passes_that_the_table_says(kind, make, linear_loaded, linear_engine) -> None:
    make(kind)
    # One pass scored the image; OPEN does so for a film.
    bundle = linear_loaded.description
    settings = resolve_settings(ExplainRequest(), bundle)
    assert linear_engine.passes - 1 == MAPS[kind].passes(settings, bundle.image.height)


@KINDS
def test_an_inversion_is_made_for_the_maps_that_need_one_and_no_others(kind, make, linear_engine) -> None:
    explanation = make(kind)
    assert bool(linear_engine.blocks) == (explanation.inverted is not None) == (MAP_NEED_INVERSION in MAPS[kind].needs)
    assert (explanation.positive_realization is not None) == (MAP_NEED_POSITIVE_SEARCH in MAPS[kind].needs)


@KINDS
def test_a_map_has_the_shape_and_keeps_to_the_range_of_its_row(kind, make, linear_loaded) -> None:
    values = make(kind).maps[kind].values
    side, method = linear_loaded.description.image.height, MAPS[kind]
    assert values.shape == ((side, side) if method.channels == 1 else (side, side, method.channels))
    assert values.dtype == np.float32
    low, high = method.range or (-math.inf, math.inf)
    assert low <= values.min() <= values.max() <= high


@KINDS
def test_the_settings_that_a_row_names_change_the_map_and_others_do_not(
    kind, explain, linear_loaded, linear_engine
) -> None:
    def values(**settings: object) -> np.ndarray:
        inversion = {"steps": 3, "restarts": 2}
        explanation = explain(
            linear_loaded, linear_engine.image(*CODE), [kind], engine=linear_engine, inversion=inversion, **settings
        )
        return explanation.maps[kind].values

    plain, path = values(), values(integrated_gradients={"baseline": 1.0, "steps": 3})
    windows = values(occlusion={"window": 3, "level": 0.5})
    # Latent integrated gradients has no baseline, and the linear classifier's gradient is the same at every point.
    latent = MAP_NEED_INVERSION in MAPS[kind].needs and MapKind.Name(kind).endswith("INTEGRATED_GRADIENTS")
    assert (np.abs(path - plain).max() > 1e-6) == (MAP_NEED_PATH in MAPS[kind].needs and not latent)
    assert (np.abs(windows - plain).max() > 1e-6) == (MAP_NEED_WINDOWS in MAPS[kind].needs)


def test_a_bundle_serves_what_it_has_the_graphs_for(linear_engine) -> None:
    bundle = linear_engine.bundle
    assert served_maps(bundle) == tuple(MAPS)
    bundle.ClearField("latent")
    without = served_maps(bundle)
    assert without == tuple(kind for kind in MAPS if MAP_NEED_INVERSION not in MAPS[kind].needs)
    assert MAP_KIND_OCCLUSION in without


@pytest.mark.parametrize(("steps", "window", "stride"), [(1, 8, 8), (7, 3, 2), (100, 2, 1)])
def test_other_settings_cost_in_proportion(linear_engine, steps, window, stride) -> None:
    request = ExplainRequest()
    request.settings.integrated_gradients.steps = steps
    request.settings.occlusion.window, request.settings.occlusion.stride = window, stride
    settings = resolve_settings(request, linear_engine.bundle)
    windows = (-(-(8 - window) // stride) + 1) ** 2
    assert MAPS[MAP_KIND_OCCLUSION].passes(settings, 8) == windows + 1
    for method in MAPS.values():
        if MAP_NEED_PATH in method.needs:
            assert method.passes(settings, 8) == pytest.approx(method.cost * steps / 50)
