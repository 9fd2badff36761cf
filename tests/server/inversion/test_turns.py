"""Whose turn it is: callers share by steps, long rows give way, nobody starves and no row is lost or doubled."""

import asyncio
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medxgan.server.engine.device_thread import DeviceThread
from medxgan.server.inversion.batch import InversionBatch
from medxgan.server.inversion.lane import Ended
from medxgan.server.inversion.solver import Row, Solver, Start
from medxgan.server.inversion.turns import Flow, Ticket, Turns

QUANTUM = 20


def flow(caller: str, rows: int = 1) -> Flow:
    """A request whose rows wait; their states are of no account here."""
    waiting = Flow(caller)
    waiting.waiting.extend(Ticket(waiting, index, None) for index in range(rows))
    return waiting


def joined(turns: Turns, *flows: Flow) -> None:
    for each in flows:
        turns.join(each)


def joins(turns: Turns, *advancing: Ticket) -> Ticket:
    """The row that joins where there is one place more."""
    (ticket,) = turns.regroup(advancing, len(advancing) + 1).joining
    return ticket


def test_the_caller_who_was_given_least_is_next() -> None:
    turns = Turns(QUANTUM)
    busy, new = flow("busy", 3), flow("new")
    joined(turns, busy)
    first = joins(turns)
    turns.count(first, 50)
    joined(turns, new)
    second = joins(turns, first)
    assert second.flow is new, "level with the busy caller, by a request that was given nothing yet"
    turns.count(second, 10)
    assert joins(turns, first, second).flow is busy


def test_an_idle_caller_has_saved_nothing_up() -> None:
    turns = Turns(QUANTUM)
    joined(turns, flow("busy", 8))
    for ticket in turns.regroup([], 4).joining:
        turns.count(ticket, 1000)
    joined(turns, flow("late", 8))
    order = []
    for _ in range(8):
        ticket = joins(turns)
        turns.count(ticket, 100)
        order.append(ticket.flow.caller)
    assert order.count("busy") == order.count("late") == 4, "they start level and alternate"


def test_requests_of_one_caller_get_a_row_in_each_before_any_gets_two() -> None:
    turns = Turns(QUANTUM)
    first, second = flow("caller", 3), flow("caller", 3)
    joined(turns, first, second)
    assert [ticket.flow for ticket in turns.regroup([], 4).joining] == [first, second, first, second]


def test_a_row_gives_way_after_its_quantum_and_not_before() -> None:
    turns = Turns(QUANTUM)
    long, short = flow("caller"), flow("caller")
    joined(turns, long)
    ticket = joins(turns)
    joined(turns, short)
    turns.count(ticket, QUANTUM)
    assert turns.regroup([ticket], 1).leaving == [], "a request of a quantum is not interrupted for the same caller's"
    turns.count(ticket, 10)
    regrouping = turns.regroup([ticket], 1)
    assert regrouping.leaving == [ticket]
    assert [each.flow for each in regrouping.advancing] == [short]
    turns.hand_back(ticket, None)
    assert joins(turns, *regrouping.advancing) is ticket


def test_nobody_gives_way_to_nobody() -> None:
    turns = Turns(QUANTUM)
    joined(turns, flow("caller"))
    ticket = joins(turns)
    turns.count(ticket, 1000)
    assert turns.regroup([ticket], 1).leaving == []


def test_who_left_is_not_called_up() -> None:
    turns = Turns(QUANTUM)
    leaving = flow("caller", 2)
    joined(turns, leaving)
    turns.leave(leaving)
    turns.leave(leaving)
    assert turns.regroup([], 8).advancing == []


def test_a_caller_who_is_alone_may_have_all_places() -> None:
    turns = Turns(QUANTUM)
    joined(turns, *(flow("flood") for _ in range(12)))
    assert len(turns.regroup([], 8).joining) == 8


def test_who_comes_beside_a_flood_has_a_place_at_once_and_shares_with_no_more_than_half_of_them() -> None:
    turns = Turns(QUANTUM)
    joined(turns, *(flow("flood") for _ in range(12)))
    flood = turns.regroup([], 8).joining
    for steps, ticket in enumerate(flood):
        turns.count(ticket, steps)
    joined(turns, flow("ward"))
    regrouping = turns.regroup(flood, 8)
    assert regrouping.staying == flood[4:], "those that are furthest"
    assert regrouping.leaving == flood[:4]
    assert [ticket.flow.caller for ticket in regrouping.joining] == ["ward"], "and no fifth of the flood's"


def test_who_was_interrupted_goes_on_before_the_callers_other_rows() -> None:
    turns = Turns(QUANTUM)
    joined(turns, *(flow("flood") for _ in range(2)))
    flood = turns.regroup([], 2).joining
    for ticket in flood:
        turns.count(ticket, 5)
    ward = flow("ward")
    joined(turns, ward)
    (interrupted,) = turns.regroup(flood, 2).leaving
    turns.hand_back(interrupted, None)
    joined(turns, *(flow("flood") for _ in range(3)))
    turns.leave(ward)
    regrouping = turns.regroup([each for each in flood if each is not interrupted], 2)
    assert regrouping.joining == [interrupted]
    turns.count(interrupted, QUANTUM - 5)
    turns.hand_back(interrupted, None)
    assert joins(turns) is not interrupted, "what it had before counts towards its quantum"


@given(st.lists(st.integers(1, 4), min_size=1, max_size=12))
def test_no_row_is_lost_or_doubled(requests: list[int]) -> None:
    turns = Turns(QUANTUM)
    flows = [flow(f"caller {number}", rows) for number, rows in enumerate(requests)]
    joined(turns, *flows)
    waiting = [ticket for each in flows for ticket in each.waiting]
    drawn = [joins(turns) for _ in waiting]
    assert set(map(id, drawn)) == set(map(id, waiting))
    assert turns.regroup([], 8).joining == []
    assert not turns.has_waiting


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(1, 5)), min_size=1, max_size=10), st.integers(1, 9))
def test_places_are_shared_equally_and_not_left_empty_for_want_of_callers(
    requests: list[tuple[str, int]], places: int
) -> None:
    turns = Turns(QUANTUM)
    joined(turns, *(flow(caller, rows) for caller, rows in requests))
    callers = {caller for caller, _ in requests}
    share = math.ceil(places / len(callers))
    wanted = {caller: sum(rows for asked, rows in requests if asked == caller) for caller in callers}
    held = Counter(ticket.flow.caller for ticket in turns.regroup([], places).advancing)
    assert all(held[caller] <= share for caller in callers)
    assert held.total() == min(places, sum(min(share, wanted[caller]) for caller in callers))


def start(engine, index: int, steps: int) -> Start:
    z = np.random.default_rng(index).standard_normal((1, 6), np.float32)
    row = Row(steps, 4.0)
    image = engine.image(0.5, -1.0, 0.25, 2.0, 0.1 * index, 0.3)
    return Solver(engine.bundle.inversion).init(row, z, image, 0.6, np.full((1, 6), 0.05, np.float32))


def alone(engine, index: int, steps: int) -> np.ndarray:
    solver = Solver(engine.bundle.inversion)
    row, state = start(engine, index, steps)
    run = engine.start(state)
    while not solver.terminate(row):
        (row,) = solver.step([row], run)
    return run.state().z


@given(
    requests=st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(1, 90), st.integers(1, 3), st.booleans(), st.booleans()),
        min_size=1,
        max_size=8,
    ),
    places=st.integers(1, 4),
)
@settings(max_examples=15)
def test_every_row_gets_its_steps_once_whoever_gives_way(linear_engine, requests, places: int) -> None:
    async def serve() -> list[list[Ended] | None]:
        thread = DeviceThread()
        batch = InversionBatch(Solver(linear_engine.bundle.inversion), linear_engine, thread, places, QUANTUM)
        thread.start()
        batch.start()

        async def ask(
            number: int, caller: str, steps: int, rows: int, leaves: bool, urgent: bool
        ) -> list[Ended] | None:
            starts = [start(linear_engine, 3 * number + row, steps) for row in range(rows)]
            asking = asyncio.create_task(batch.run(starts, caller, urgent=urgent))
            if leaves:
                for _ in range(number):
                    await asyncio.sleep(0)
                asking.cancel()
                return None
            return await asking

        try:
            asked = [ask(number, *request) for number, request in enumerate(requests)]
            return await asyncio.wait_for(asyncio.gather(*asked), timeout=60)
        finally:
            await batch.stop()
            await thread.stop()

    linear_engine.blocks.clear()
    answers = asyncio.run(serve())
    for number, ((_, steps, rows, leaves, _), answer) in enumerate(zip(requests, answers, strict=True)):
        if leaves:
            continue
        assert [ended.row.steps_taken for ended in answer] == [steps] * rows
        for row, ended in enumerate(answer):
            # To the bit: the engine of the tests rounds each row as if it were alone.
            np.testing.assert_array_equal(ended.state.z, alone(linear_engine, 3 * number + row, steps))


def test_a_short_request_does_not_wait_for_long_ones(linear_engine) -> None:
    """Four long rows fill the batch; a request of a quantum, of another caller, is through long before any ends."""

    async def scenario() -> tuple[int, int]:
        thread = DeviceThread()
        batch = InversionBatch(Solver(linear_engine.bundle.inversion), linear_engine, thread, 4, QUANTUM)
        thread.start()
        batch.start()
        told = []
        long = [
            asyncio.create_task(
                batch.run([start(linear_engine, index, 400)], "long", lambda rows: told.append(rows[0].steps_taken))
            )
            for index in range(4)
        ]
        while len(told) < 4:
            await asyncio.sleep(0)
        before = max(told)
        await batch.run([start(linear_engine, 5, QUANTUM)], "short")
        after = max(told)
        await asyncio.gather(*long)
        await batch.stop()
        await thread.stop()
        return before, after

    before, after = asyncio.run(asyncio.wait_for(scenario(), timeout=60))
    interval = linear_engine.bundle.inversion.check_interval
    assert after - before <= QUANTUM + QUANTUM + 2 * interval, "until a row has had its quantum, and then its own steps"


@pytest.mark.parametrize("caller", ["same", "other"])
def test_a_row_that_gave_way_goes_on_from_where_it_was(linear_engine, caller: str) -> None:
    async def scenario() -> list[Ended]:
        thread = DeviceThread()
        batch = InversionBatch(Solver(linear_engine.bundle.inversion), linear_engine, thread, 1, QUANTUM)
        thread.start()
        batch.start()
        asked = [batch.run([start(linear_engine, 0, 200)], "same"), batch.run([start(linear_engine, 1, 60)], caller)]
        (long,), (short,) = await asyncio.wait_for(asyncio.gather(*asked), timeout=60)
        await batch.stop()
        await thread.stop()
        return [long, short]

    long, short = asyncio.run(scenario())
    assert short.ended < long.ended
    assert short.began < long.ended, "they took turns"
    np.testing.assert_array_equal(long.state.z, alone(linear_engine, 0, 200))
    np.testing.assert_array_equal(short.state.z, alone(linear_engine, 1, 60))


def test_a_row_does_not_give_way_to_one_whose_caller_has_just_gone(linear_engine) -> None:
    """The caller goes after the block in which the row's quantum ends, and before the next: its place stays taken."""

    async def scenario() -> Ended:
        thread = DeviceThread()
        batch = InversionBatch(Solver(linear_engine.bundle.inversion), linear_engine, thread, 1, QUANTUM)
        thread.start()
        batch.start()

        def on_rows(rows) -> None:
            if rows[0].steps_taken > QUANTUM:
                leaving.cancel()

        staying = asyncio.create_task(batch.run([start(linear_engine, 0, 100)], "caller", on_rows))
        leaving = asyncio.create_task(batch.run([start(linear_engine, 1, 100)], "caller"))
        (ended,) = await asyncio.wait_for(staying, timeout=30)
        await batch.stop()
        await thread.stop()
        return ended

    np.testing.assert_array_equal(asyncio.run(scenario()).state.z, alone(linear_engine, 0, 100))
