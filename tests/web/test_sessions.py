"""Sessions end by themselves, and hold no more than they may."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medxgan.web.decoding import Film
from medxgan.web.errors import FullError, MissingError
from medxgan.web.sessions import HeldExplanation, HeldFilm, Sessions
from medxgan.web.settings import Limits


def film(size: int) -> HeldFilm:
    return HeldFilm(b"", Film(np.zeros((1, size), np.uint8), inverted=False, low=0, high=1))


def test_a_session_ends_when_nobody_uses_it() -> None:
    now = 0.0
    sessions = Sessions(Limits(session_seconds=10), clock=lambda: now)
    session = sessions.open()
    now = 9
    assert sessions.find(session.id) is session  # used: ten seconds more
    now = 18
    assert sessions.find(session.id) is session
    now = 29
    assert sessions.find(session.id) is None
    assert len(sessions) == 0


def test_films_of_all_sessions_together_are_bounded() -> None:
    sessions = Sessions(Limits(held_bytes=100))
    one, other = sessions.open(), sessions.open()
    sessions.add_film(one, film(60))
    with pytest.raises(FullError):
        sessions.add_film(other, film(50))
    sessions.add_film(other, film(40))
    sessions.end(one.id)
    sessions.add_film(other, film(60))


def explained(size: int) -> HeldExplanation:
    map_ = SimpleNamespace(values=np.zeros((1, size), np.float32))
    return HeldExplanation(SimpleNamespace(maps={"difference": map_}, trajectory=()), "positive")  # type: ignore[arg-type]


def test_explanations_are_bounded_as_films_are() -> None:
    sessions = Sessions(Limits(held_bytes=100, explanations=2))
    held = film(10)
    sessions.add_film(sessions.open(), held)
    for size in (5, 6, 10):  # 20, 24, 40 bytes; the first one leaves
        sessions.add_explanation(held, explained(size))
    assert held.bytes == 10 + 24 + 40
    with pytest.raises(FullError):
        sessions.add_explanation(held, explained(17))  # 68 bytes, of which 24 leave
    assert [each.bytes for each in held.explanations.values()] == [24, 40]
    sessions.add_explanation(held, explained(12))
    assert held.bytes == 10 + 40 + 48


def test_films_on_their_way_are_counted() -> None:
    sessions = Sessions(Limits(held_bytes=100))
    session = sessions.open()
    with sessions.arriving(60):
        with pytest.raises(FullError), sessions.arriving(50):
            pass
        with pytest.raises(FullError):
            sessions.add_film(session, film(50))
        sessions.add_film(session, film(40))
    with sessions.arriving(60):
        pass


@given(st.lists(st.sampled_from(["open", "end", "add", "wait"]), max_size=40))
def test_limits_hold_whatever_happens(steps: list[str]) -> None:
    now = 0.0
    limits = Limits(sessions=3, films=2, session_seconds=5)
    sessions = Sessions(limits, clock=lambda: now)
    opened = []
    for step in steps:
        try:
            if step == "open":
                opened.append(sessions.open())
            elif step == "wait":
                now += 3
            elif opened and step == "end":
                sessions.end(opened.pop().id)
            elif opened and (session := sessions.find(opened[-1].id)) is not None:
                sessions.check_room(session)
                sessions.add_film(session, film(1))
        except FullError:
            pass
        assert len(sessions) <= limits.sessions
        assert all(len(each.films) <= limits.films for each in opened)


def test_a_film_is_found_by_its_own_session_alone() -> None:
    sessions = Sessions(Limits())
    one, other = sessions.open(), sessions.open()
    held = film(1)
    sessions.add_film(one, held)
    assert one.film(held.id) is held
    with pytest.raises(MissingError):
        other.film(held.id)
