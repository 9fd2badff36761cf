"""The bound on requests in the house."""

from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medxgan.server.admission import Admission
from medxgan.server.errors import BusyError, SettingsError


@given(st.integers(1, 5), st.lists(st.booleans(), max_size=40))
def test_it_never_holds_more_than_there_is_room_for(capacity: int, arrivals: list[bool]) -> None:
    admission = Admission(capacity, retry_delay=1.5)
    inside: list[ExitStack] = []
    for arrives in arrivals:
        if not arrives:
            if inside:
                inside.pop().close()
        elif len(inside) < capacity:
            place = ExitStack()
            place.enter_context(admission.enter())
            inside.append(place)
        else:
            with pytest.raises(BusyError) as refusal, admission.enter():
                pytest.fail("let in beside a full house")
            assert refusal.value.retry_delay == 1.5
        assert admission.inside == len(inside)


def test_a_request_that_fails_gives_its_place_back() -> None:
    admission = Admission(1, retry_delay=1)
    with pytest.raises(ZeroDivisionError), admission.enter():
        raise ZeroDivisionError
    assert admission.inside == 0


def test_a_request_takes_a_place_for_each_of_its_restarts() -> None:
    admission = Admission(4, retry_delay=1)
    with admission.enter(3):
        assert admission.inside == 3
        with pytest.raises(BusyError, match="2 are needed"), admission.enter(2):
            pytest.fail("let in where there is room for one")
        with admission.enter():
            assert admission.inside == 4
    assert admission.inside == 0


def test_what_never_fits_is_not_asked_to_come_back() -> None:
    with pytest.raises(SettingsError) as refusal, Admission(4, retry_delay=1).enter(5):
        pytest.fail("let in")
    assert refusal.value.field == "inversion.restarts"
