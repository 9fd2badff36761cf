"""The bound on the work that a model takes on, and on one caller's part of it."""

from contextlib import ExitStack, suppress
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medxgan.server.errors import BusyError
from medxgan.server.explanation.request import resolve_settings
from medxgan.server.models.admission import Admission, ModelCapacity, request_cost
from medxgan.v1.explanation_pb2 import (
    MAP_KIND_INTEGRATED_GRADIENTS,
    MAP_KIND_OCCLUSION,
    MAP_KIND_ORIGINAL,
    MAP_KIND_POSITIVE_REALIZATION,
    ExplainRequest,
    ExplainSettings,
    InversionSettings,
    MapKind,
    MapRequest,
)


def admission(places: int, share: float = 1.0) -> Admission:
    return Admission(ModelCapacity(1, places - 1, share, retry_delay_seconds=1.5))


@given(st.integers(1, 5), st.lists(st.booleans(), max_size=40))
def test_it_never_holds_more_than_there_is_room_for(places: int, arrivals: list[bool]) -> None:
    admitted = admission(places)
    inside: list[ExitStack] = []
    for arrives in arrivals:
        if not arrives:
            if inside:
                inside.pop().close()
        elif len(inside) < places:
            place = ExitStack()
            place.enter_context(admitted.enter("caller"))
            inside.append(place)
        else:
            with pytest.raises(BusyError) as refusal, admitted.enter("caller"):
                pytest.fail("let in beside a full model")
            assert refusal.value.retry_delay == 1.5
        assert admitted.inside == len(inside)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(1, 4)), max_size=12), st.sampled_from("abcd"))
def test_what_is_refused_before_its_cost_is_known_would_be_refused_at_any_cost(
    holders: list[tuple[str, float]], caller: str
) -> None:
    admitted = admission(6, share=0.5)
    with ExitStack() as held:
        for holder, cost in holders:
            with suppress(BusyError):
                held.enter_context(admitted.enter(holder, cost))
        before = admitted.inside
        refusals = []
        for ask in (lambda: admitted.check(caller), lambda: held.enter_context(admitted.enter(caller))):
            assert admitted.inside == before, "who is only checked holds nothing"
            try:
                ask()
            except BusyError as busy:
                refusals.append((str(busy), busy.retry_delay))
        assert len(refusals) in (0, 2)
        assert len(set(refusals)) <= 1


def test_a_request_that_fails_gives_its_place_back() -> None:
    admitted = admission(1)
    with pytest.raises(ZeroDivisionError), admitted.enter("caller"):
        raise ZeroDivisionError
    assert admitted.inside == 0


@given(st.lists(st.floats(1, 5, allow_nan=False), min_size=1, max_size=12), st.randoms())
def test_nothing_stays_of_requests_that_have_left(costs: list[float], chance: Random) -> None:
    admitted = admission(1000)
    inside = []
    for cost in costs:
        place = ExitStack()
        place.enter_context(admitted.enter("caller", cost))
        inside.append(place)
    chance.shuffle(inside)
    for place in inside:
        place.close()
    assert admitted.inside == 0
    with admitted.enter("caller", 1e9):
        assert admitted.inside == 1000


def test_one_caller_leaves_room_for_others() -> None:
    admitted = admission(8, share=0.75)
    with admitted.enter("greedy", 6):
        with pytest.raises(BusyError, match="one caller"), admitted.enter("greedy"):
            pytest.fail("let in beyond its share")
        with admitted.enter("modest", 2), pytest.raises(BusyError, match="the model"), admitted.enter("third"):
            pytest.fail("let in beside a full model")
    assert admitted.inside == 0


def test_what_costs_more_than_a_share_is_let_in_alone() -> None:
    admitted = admission(8, share=0.5)
    with admitted.enter("caller", 1000):
        assert admitted.inside == 4
        with pytest.raises(BusyError), admitted.enter("caller"):
            pytest.fail("let in beside it")
    with admitted.enter("caller"), pytest.raises(BusyError), admitted.enter("caller", 1000):
        pytest.fail("let in beside another")


def cost(bundle, *kinds: MapKind, **inversion: int) -> float:
    settings = ExplainSettings(inversion=InversionSettings(**inversion))
    request = ExplainRequest(maps=[MapRequest(kind=kind) for kind in kinds], settings=settings)
    return request_cost(resolve_settings(request, bundle), bundle)


def test_restarts_times_steps_count(linear_engine) -> None:
    bundle = linear_engine.bundle
    default = bundle.inversion.default_steps
    assert cost(bundle) == 1
    assert cost(bundle, steps=default, restarts=4) == 4
    assert cost(bundle, steps=3 * default, restarts=2) == 6
    assert cost(bundle, MAP_KIND_POSITIVE_REALIZATION, steps=default) == 2, "the search may take as many steps again"
    assert cost(bundle, steps=1) == 1, "the least request holds a place too"


def test_maps_count_by_their_passes(linear_engine) -> None:
    bundle = linear_engine.bundle
    assert cost(bundle, MAP_KIND_ORIGINAL) == 1
    request = ExplainRequest(maps=[MapRequest(kind=MAP_KIND_INTEGRATED_GRADIENTS)])
    settings = resolve_settings(request, bundle)
    few, many = (request_cost(replace(settings, path_steps=steps), bundle) for steps in (500, 1000))
    assert many == pytest.approx(2 * few)
    bundle.inversion.default_steps = 1
    windows = resolve_settings(ExplainRequest(maps=[MapRequest(kind=MAP_KIND_OCCLUSION)]), bundle)
    many, few = (request_cost(replace(windows, window=side, stride=side), bundle) for side in (1, 2))
    assert (many, few) == pytest.approx((6.5, 1.7)), "64 windows and 16, and the image itself"
