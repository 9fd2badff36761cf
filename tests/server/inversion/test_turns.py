"""Whose turn it is: callers share by steps, long rows give way, nobody starves and no row is lost or doubled."""

import asyncio

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


def test_the_caller_who_was_given_least_is_next() -> None:
    turns = Turns(QUANTUM)
    busy, new = flow("busy", 3), flow("new")
    joined(turns, busy)
    first = turns.next()
    turns.count(first, 50)
    joined(turns, new)
    second = turns.next()
    assert second.flow is new, "level with the busy caller, by a request that was given nothing yet"
    turns.count(second, 10)
    assert turns.next().flow is busy


def test_an_idle_caller_has_saved_nothing_up() -> None:
    turns = Turns(QUANTUM)
    busy = flow("busy", 8)
    joined(turns, busy)
    advancing = [turns.next() for _ in range(4)]
    for ticket in advancing:
        turns.count(ticket, 1000)
    late = flow("late", 8)
    joined(turns, late)
    order = []
    for _ in range(8):
        ticket = turns.next()
        turns.count(ticket, 100)
        order.append(ticket.flow.caller)
    assert order.count("busy") == order.count("late") == 4, "they start level and alternate"


def test_requests_of_one_caller_get_a_row_in_each_before_any_gets_two() -> None:
    turns = Turns(QUANTUM)
    first, second = flow("caller", 3), flow("caller", 3)
    joined(turns, first, second)
    assert [turns.next().flow for _ in range(4)] == [first, second, first, second]


def test_a_row_gives_way_after_its_quantum_and_not_before() -> None:
    turns = Turns(QUANTUM)
    long, short = flow("caller"), flow("caller")
    joined(turns, long)
    ticket = turns.next()
    joined(turns, short)
    turns.count(ticket, QUANTUM)
    assert turns.gives_way([ticket]) is None, "a request of a quantum is never interrupted"
    turns.count(ticket, 10)
    assert turns.gives_way([ticket]) is ticket
    turns.hand_back(ticket, None)
    assert turns.next().flow is short
    assert turns.next() is ticket


def test_nobody_gives_way_to_nobody() -> None:
    turns = Turns(QUANTUM)
    joined(turns, flow("caller"))
    ticket = turns.next()
    turns.count(ticket, 1000)
    assert turns.gives_way([ticket]) is None


def test_who_left_is_not_called_up() -> None:
    turns = Turns(QUANTUM)
    leaving = flow("caller", 2)
    joined(turns, leaving)
    turns.leave(leaving)
    turns.leave(leaving)
    assert turns.next() is None


@given(st.lists(st.integers(1, 4), min_size=1, max_size=12))
def test_no_row_is_lost_or_doubled(requests: list[int]) -> None:
    turns = Turns(QUANTUM)
    flows = [flow(f"caller {number}", rows) for number, rows in enumerate(requests)]
    joined(turns, *flows)
    waiting = [ticket for each in flows for ticket in each.waiting]
    drawn = [turns.next() for _ in waiting]
    assert set(map(id, drawn)) == set(map(id, waiting))
    assert turns.next() is None
    assert not turns.has_waiting


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
