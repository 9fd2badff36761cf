"""Concurrent inversions on one engine: joining, leaving, cancelling, failing, stopping."""

import asyncio
import math
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.server.linear import LinearRun

from medxgan.server.engine.device_thread import DeviceThread
from medxgan.server.engine.port import InversionState
from medxgan.server.errors import BusyError
from medxgan.server.inversion.batch import InversionBatch
from medxgan.server.inversion.lane import Ended, Lane
from medxgan.server.inversion.solver import Row, Solver, Start

CODES = [(0.5, -1.0, 0.25, 2.0, 0.1 * i, 0.3) for i in range(8)]


def started(engine, index: int, steps: int = 30, seed: int | None = None) -> Start:
    """A row with the image of that number, from a code drawn by the seed."""
    z = np.random.default_rng(index if seed is None else seed).standard_normal((1, 6), np.float32)
    rates = np.full((1, 6), 0.05, np.float32)
    return Solver(engine.bundle.inversion).init(Row(steps, 4.0), z, engine.image(*CODES[index]), 0.6, rates)


class Bench:
    """A batch on the engine, and short ways to use it."""

    def __init__(self, engine, maximum_rows: int) -> None:
        self.engine = engine
        self.thread = DeviceThread()
        self.batch = InversionBatch(Solver(engine.bundle.inversion), engine, self.thread, maximum_rows, quantum=1000)

    async def invert(self, index: int, steps: int = 30, on_rows=None, *, urgent: bool = False) -> Ended:
        (ended,) = await self.batch.run([started(self.engine, index, steps)], "caller", on_rows, urgent=urgent)
        return ended

    async def blocks(self) -> list[tuple[int, int]]:
        """The blocks taken so far, after whatever runs."""
        return await self.thread.call(lambda: list(self.engine.blocks))

    async def at_gate(self) -> None:
        """Wait until the engine is about to take a block, with the gate shut."""
        await asyncio.to_thread(self.engine.at_gate.wait)


def serve(engine, maximum_rows: int, scenario: Callable[[Bench], Awaitable[None]]) -> None:
    async def run() -> None:
        bench = Bench(engine, maximum_rows)
        bench.thread.start()
        bench.batch.start()
        try:
            await asyncio.wait_for(scenario(bench), timeout=30)
        finally:
            engine.gate.set()
            await bench.batch.stop()
            await bench.thread.stop()

    asyncio.run(run())


@pytest.mark.parametrize("step", ["prepare", "take", "settle"])
def test_a_fault_in_the_books_is_told_to_all_who_are_in_them_and_to_nobody_else(
    linear_engine, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(bench: Bench) -> None:
        def fail(lane: Lane, *arguments: object) -> None:
            raise ZeroDivisionError

        linear_engine.gate.clear()
        waiting = [asyncio.create_task(bench.invert(index, urgent=index == 2)) for index in range(3)]
        await bench.at_gate()
        with monkeypatch.context() as patched:
            patched.setattr(Lane, step, fail)
            linear_engine.gate.set()
            assert [type(each) for each in await asyncio.gather(*waiting, return_exceptions=True)] == [
                ZeroDivisionError
            ] * 3
        assert (await bench.invert(0)).row.steps_taken == 30

    serve(linear_engine, 1, scenario)


def alone(engine, index: int, steps: int = 30) -> np.ndarray:
    solver = Solver(engine.bundle.inversion)
    row, state = started(engine, index, steps)
    run = engine.start(state)
    while not solver.terminate(row):
        (row,) = solver.step([row], run)
    return run.state().z


def test_rows_are_told_on_the_event_loop_after_every_block(linear_engine):
    async def scenario(bench: Bench) -> None:
        told: list[Row] = []
        threads: set[int] = set()

        def on_rows(rows: Sequence[Row]) -> None:
            told.extend(rows)
            threads.add(threading.get_ident())

        inverted = await bench.invert(0, 25, on_rows)
        assert [row.steps_taken for row in told] == [10, 20, 25]
        assert told[-1] == inverted.row
        assert threads == {threading.get_ident()}
        assert inverted.began < inverted.ended

    serve(linear_engine, 8, scenario)


def test_only_one_thread_calls_the_engine_and_it_is_not_the_event_loops(linear_engine):
    async def scenario(bench: Bench) -> None:
        await asyncio.gather(*(bench.invert(index) for index in range(5)))
        assert len(linear_engine.threads) == 1
        assert threading.get_ident() not in linear_engine.threads

    serve(linear_engine, 3, scenario)


def test_concurrent_rows_share_blocks_up_to_the_maximum_rows(linear_engine):
    async def scenario(bench: Bench) -> None:
        inverted = await asyncio.gather(*(bench.invert(index) for index in range(7)))
        assert max(rows for rows, _ in linear_engine.blocks) == 3
        assert [each.row.steps_taken for each in inverted] == [30] * 7

    serve(linear_engine, 3, scenario)


@given(
    steps=st.lists(st.integers(1, 45), min_size=1, max_size=8),
    maximum_rows=st.integers(1, 8),
    ticks=st.lists(st.integers(0, 40), min_size=8, max_size=8),
)
@settings(max_examples=50)
def test_a_rows_result_does_not_depend_on_its_batch(linear_engine, steps, maximum_rows, ticks):
    expected = [alone(linear_engine, index, count) for index, count in enumerate(steps)]

    async def late(bench: Bench, index: int) -> Ended:
        for _ in range(ticks[index]):
            await asyncio.sleep(0)
        return await bench.invert(index, steps[index])

    async def scenario(bench: Bench) -> None:
        inverted = await asyncio.gather(*(late(bench, index) for index in range(len(steps))))
        for each, z, count in zip(inverted, expected, steps, strict=True):
            assert each.row.steps_taken == count
            np.testing.assert_array_equal(each.state.z, z)

    serve(linear_engine, maximum_rows, scenario)


def test_a_row_joins_a_batch_that_is_under_way_and_neither_notices(linear_engine):
    expected = [alone(linear_engine, 0, 200), alone(linear_engine, 1, 30)]
    linear_engine.blocks.clear()

    async def scenario(bench: Bench) -> None:
        second: list[asyncio.Task[Ended]] = []

        def on_rows(rows: Sequence[Row]) -> None:
            if rows[0].steps_taken == 50:
                second.append(asyncio.create_task(bench.invert(1)))

        first = await bench.invert(0, 200, on_rows)
        assert {rows for rows, _ in linear_engine.blocks} == {1, 2}
        assert second[0].done()
        for inverted, z in zip([first, await second[0]], expected, strict=True):
            np.testing.assert_array_equal(inverted.state.z, z)

    serve(linear_engine, 8, scenario)


def test_cancelling_stops_the_compute_at_the_next_block_and_leaves_the_others_alone(linear_engine):
    expected = alone(linear_engine, 1, 100)
    linear_engine.blocks.clear()

    async def scenario(bench: Bench) -> None:
        told: list[int] = []

        def on_rows(rows: Sequence[Row]) -> None:
            told.append(rows[0].steps_taken)
            if rows[0].steps_taken == 20:
                gone.cancel()

        gone = asyncio.create_task(bench.invert(0, 500, on_rows))
        stays = asyncio.create_task(bench.invert(1, 100))
        with pytest.raises(asyncio.CancelledError):
            await gone
        np.testing.assert_array_equal((await stays).state.z, expected)
        assert told == [10, 20]
        # Whichever of the two came first was alone for a block at most.
        assert sum(steps for _, steps in linear_engine.blocks) <= 120

    serve(linear_engine, 8, scenario)


def test_a_row_cancelled_on_hearing_of_a_block_takes_no_other(linear_engine):
    async def scenario(bench: Bench) -> None:
        def on_rows(rows: Sequence[Row]) -> None:
            if rows[0].steps_taken == 20:
                gone.cancel()

        gone = asyncio.create_task(bench.invert(0, 500, on_rows))
        with pytest.raises(asyncio.CancelledError):
            await gone
        assert await bench.blocks() == [(1, 10), (1, 10)]

    serve(linear_engine, 8, scenario)


def test_a_row_cancelled_while_it_waits_never_joins(linear_engine):
    async def scenario(bench: Bench) -> None:
        linear_engine.gate.clear()
        first = asyncio.create_task(bench.invert(0))
        await bench.at_gate()
        second = asyncio.create_task(bench.invert(1))
        await asyncio.sleep(0)
        second.cancel()
        linear_engine.gate.set()
        await first
        assert {rows for rows, _ in linear_engine.blocks} == {1}
        assert second.cancelled()

    serve(linear_engine, 8, scenario)


def test_a_fault_of_the_engine_reaches_its_batch_only_and_the_batch_survives(linear_engine):
    async def scenario(bench: Bench) -> None:
        linear_engine.gate.clear()
        doomed = asyncio.create_task(bench.invert(0))
        await bench.at_gate()
        waiting = asyncio.create_task(bench.invert(1))
        await asyncio.sleep(0)
        linear_engine.fault = RuntimeError("out of memory")
        linear_engine.gate.set()
        with pytest.raises(RuntimeError, match="out of memory"):
            await doomed
        assert (await waiting).row.steps_taken == 30
        assert (await bench.invert(2)).row.steps_taken == 30

    serve(linear_engine, 1, scenario)


@pytest.mark.parametrize("spoils", [0, 10, 20])
def test_a_row_that_the_engine_can_not_take_fails_alone_wherever_that_is(linear_engine, spoils: int):
    """The row of one image makes every block fail from its step `spoils` on, whoever is in it."""
    marked = linear_engine.image(*CODES[3])
    faults = []

    def check(state: InversionState) -> None:
        of_marked = [bool((image == marked[0]).all()) for image in state.image]
        if any(at >= spoils and is_marked for at, is_marked in zip(state.step, of_marked, strict=True)):
            faults.append(len(state.z))
            raise RuntimeError("too much")

    async def scenario(bench: Bench) -> None:
        expected = [await bench.invert(index) for index in range(3)]
        linear_engine.on_block = check
        ended = await asyncio.gather(*(bench.invert(index) for index in (0, 3, 1, 2)), return_exceptions=True)
        assert isinstance(ended.pop(1), RuntimeError)
        assert faults == [4, 1]
        for ours, alone in zip(ended, expected, strict=True):
            assert ours.row == alone.row
            np.testing.assert_array_equal(ours.state.z, alone.state.z)
        assert (await bench.invert(0)).row == expected[0].row

    serve(linear_engine, 8, scenario)


def test_a_row_that_is_no_number_any_more_harms_no_other_and_ends_by_its_steps(linear_engine):
    async def scenario(bench: Bench) -> None:
        expected = [await bench.invert(index) for index in range(3)]
        row, state = started(linear_engine, 3)
        lost = bench.batch.run([(row, replace(state, z=np.full_like(state.z, np.nan)))], "caller")
        (spoilt,), *ended = await asyncio.gather(lost, *(bench.invert(index) for index in range(3)))
        assert spoilt.row.steps_taken == 30
        assert math.isnan(spoilt.row.reconstruction_mse)
        for ours, alone in zip(ended, expected, strict=True):
            assert ours.row == alone.row
            np.testing.assert_array_equal(ours.state.z, alone.state.z)

    serve(linear_engine, 8, scenario)


def test_a_fault_that_passes_is_felt_by_nobody_who_shared_the_block(linear_engine):
    async def scenario(bench: Bench) -> None:
        expected = [await bench.invert(index) for index in range(3)]
        linear_engine.fault = RuntimeError("once")
        ended = await asyncio.gather(*(bench.invert(index) for index in range(3)))
        assert [each.row for each in ended] == [each.row for each in expected]

    serve(linear_engine, 8, scenario)


def test_who_leaves_while_rows_go_on_apart_is_not_waited_for(linear_engine):
    async def scenario(bench: Bench) -> None:
        linear_engine.gate.clear()
        first, second = (asyncio.create_task(bench.invert(index, 500)) for index in (0, 1))
        await bench.at_gate()
        linear_engine.fault = RuntimeError("once")
        linear_engine.at_gate.clear()
        linear_engine.gate.set()
        await bench.at_gate()
        second.cancel()
        assert (await first).row.steps_taken == 500
        with pytest.raises(asyncio.CancelledError):
            await second
        assert (await bench.invert(2)).row.steps_taken == 30

    serve(linear_engine, 8, scenario)


def test_a_row_that_can_not_be_brought_back_fails_alone_too(linear_engine, monkeypatch):
    brought, failures = LinearRun.state, [RuntimeError("lost")]

    def state(run: LinearRun) -> InversionState:
        if failures:
            raise failures.pop()
        return brought(run)

    async def scenario(bench: Bench) -> None:
        linear_engine.fault = RuntimeError("once")
        monkeypatch.setattr(LinearRun, "state", state)
        first, second = await asyncio.gather(bench.invert(0), bench.invert(1), return_exceptions=True)
        assert str(first) == "lost"
        assert second.row.steps_taken == 30
        assert (await bench.invert(2)).row.steps_taken == 30

    serve(linear_engine, 8, scenario)


def test_an_engine_that_is_gone_fails_all_and_nobody_waits_for_ever(linear_engine):
    def gone(state: InversionState) -> None:
        raise RuntimeError("gone")

    async def scenario(bench: Bench) -> None:
        linear_engine.on_block = gone
        ended = await asyncio.gather(*(bench.invert(index) for index in range(3)), return_exceptions=True)
        assert [str(each) for each in ended] == ["gone"] * 3
        linear_engine.on_block = lambda state: None
        assert (await bench.invert(0)).row.steps_taken == 30

    serve(linear_engine, 8, scenario)


def test_a_fault_of_a_stateless_call_reaches_its_caller_only(linear_engine):
    def fail() -> None:
        raise RuntimeError("bad graph")

    async def scenario(bench: Bench) -> None:
        inverting = asyncio.create_task(bench.invert(0))
        with pytest.raises(RuntimeError, match="bad graph"):
            await bench.thread.call(fail)
        assert (await inverting).row.steps_taken == 30

    serve(linear_engine, 8, scenario)


def test_stateless_calls_run_between_blocks(linear_engine):
    async def scenario(bench: Bench) -> None:
        linear_engine.gate.clear()
        inverting = asyncio.create_task(bench.invert(0, 500))
        await bench.at_gate()
        asked = asyncio.create_task(bench.thread.call(lambda: len(linear_engine.blocks)))
        await asyncio.sleep(0)
        linear_engine.gate.set()
        assert await asked == 1
        assert (await inverting).row.steps_taken == 500

    serve(linear_engine, 8, scenario)


def test_a_progress_callback_that_raises_does_not_end_the_batch(linear_engine):
    def on_rows(rows: Sequence[Row]) -> None:
        raise ValueError("the caller's own fault")

    async def scenario(bench: Bench) -> None:
        faults: list[str] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(str(context["exception"])))
        assert (await bench.invert(0, 30, on_rows)).row.steps_taken == 30
        assert faults == ["the caller's own fault"] * 3

    serve(linear_engine, 8, scenario)


def test_stopping_tells_those_who_wait_and_refuses_newcomers(linear_engine):
    async def scenario(bench: Bench) -> None:
        linear_engine.gate.clear()
        inverting = asyncio.create_task(bench.invert(0, 500))
        await bench.at_gate()
        stopping = asyncio.create_task(bench.batch.stop())
        with pytest.raises(BusyError):
            await inverting
        linear_engine.gate.set()
        await stopping
        assert len(linear_engine.blocks) == 1
        with pytest.raises(BusyError):
            await bench.invert(1)
        await bench.batch.stop()  # may be called again

    serve(linear_engine, 8, scenario)


def starts(bench: Bench, index: int, count: int, steps: int = 30) -> list[Start]:
    """Several rows of one request."""
    return [started(bench.engine, index, steps, index + seed) for seed in range(count)]


def test_the_rows_of_a_request_end_together_in_their_order(linear_engine):
    async def scenario(bench: Bench) -> None:
        rows = starts(bench, 0, 5)
        inverted = await bench.batch.run(rows, "caller")
        assert max(size for size, _ in linear_engine.blocks) == 3
        for each, start in zip(inverted, rows, strict=True):
            (alone_,) = await bench.batch.run([start], "caller")
            np.testing.assert_array_equal(each.state.z, alone_.state.z)

    serve(linear_engine, 3, scenario)


def test_all_the_rows_of_a_request_are_told_once_a_block(linear_engine):
    async def scenario(bench: Bench) -> None:
        told: list[list[int]] = []
        await bench.batch.run(
            starts(bench, 0, 3, 20), "caller", lambda rows: told.append([row.steps_taken for row in rows])
        )
        assert told == [[10, 10, 0], [20, 20, 0], [20, 20, 10], [20, 20, 20]]

    serve(linear_engine, 2, scenario)


def test_requests_that_wait_take_turns(linear_engine):
    async def scenario(bench: Bench) -> None:
        ended: list[str] = []

        async def invert(name: str, index: int, count: int) -> None:
            await bench.batch.run(starts(bench, index, count, 10), "caller")
            ended.append(name)

        linear_engine.gate.clear()
        first = asyncio.create_task(invert("first", 0, 1))
        await bench.at_gate()
        others = [asyncio.create_task(invert("many", 1, 6)), asyncio.create_task(invert("one", 2, 1))]
        await asyncio.sleep(0)
        linear_engine.gate.set()
        await asyncio.gather(first, *others)
        assert ended == ["first", "one", "many"]
        assert linear_engine.blocks == [(1, 10)] * 8

    serve(linear_engine, 1, scenario)


def test_cancelling_a_request_drops_all_its_rows(linear_engine):
    async def scenario(bench: Bench) -> None:
        gone = asyncio.create_task(bench.batch.run(starts(bench, 0, 5, 500), "caller", lambda _: gone.cancel()))
        with pytest.raises(asyncio.CancelledError):
            await gone
        assert await bench.blocks() == [(3, 10)]

    serve(linear_engine, 3, scenario)


def test_a_fault_ends_the_whole_request_with_one_error(linear_engine):
    def fail(state: InversionState) -> None:
        raise RuntimeError("out of memory")

    async def scenario(bench: Bench) -> None:
        linear_engine.on_block = fail
        with pytest.raises(RuntimeError, match="out of memory"):
            await bench.batch.run(starts(bench, 0, 5), "caller")
        linear_engine.on_block = lambda state: None
        blocks = len(linear_engine.blocks)
        assert (await bench.invert(1)).row.steps_taken == 30
        assert {size for size, _ in linear_engine.blocks[blocks:]} == {1}, "the rows that waited are not run any more"

    serve(linear_engine, 3, scenario)


def test_an_urgent_row_advances_alone_after_the_block_that_runs(linear_engine):
    async def scenario(bench: Bench) -> None:
        linear_engine.gate.clear()
        others = [asyncio.create_task(bench.invert(index, 60)) for index in range(3)]
        await bench.at_gate()
        urgent = asyncio.create_task(bench.invert(3, 20, urgent=True))
        await asyncio.sleep(0)
        linear_engine.gate.set()
        found = await urgent
        assert await bench.blocks() >= [(3, 10), (1, 10), (1, 10)]
        assert not any(other.done() for other in others)
        for index, other in enumerate(others):
            np.testing.assert_array_equal((await other).state.z, alone(linear_engine, index, 60))
        np.testing.assert_array_equal(found.state.z, alone(linear_engine, 3, 20))

    serve(linear_engine, 3, scenario)


def test_an_urgent_row_does_not_wait_with_a_block_that_waits_behind_other_calls(linear_engine):
    """As those of others do when many images come at once, which are all opened before the block."""

    async def scenario(bench: Bench) -> None:
        begin = threading.Event()
        calls = [asyncio.create_task(bench.thread.call(begin.wait))]
        calls += [asyncio.create_task(bench.thread.call(lambda: len(linear_engine.blocks))) for _ in range(20)]
        await asyncio.sleep(0)
        routine = asyncio.create_task(bench.invert(0, 10))
        for _ in range(10):
            await asyncio.sleep(0)  # its block is on the thread
        urgent = asyncio.create_task(bench.invert(1, 10, urgent=True))
        for _ in range(10):
            await asyncio.sleep(0)
        begin.set()
        await urgent
        blocks_before = [await call for call in calls[1:]]
        assert blocks_before == [1] * 20, "its block is done before them, and that of the others after them"
        np.testing.assert_array_equal((await routine).state.z, alone(linear_engine, 0, 10))

    serve(linear_engine, 4, scenario)


def test_every_fourth_block_is_for_those_that_are_not_urgent(linear_engine):
    async def scenario(bench: Bench) -> None:
        linear_engine.gate.clear()
        urgent = [asyncio.create_task(bench.invert(index, 50, urgent=True)) for index in range(2)]
        await bench.at_gate()
        routine = asyncio.create_task(bench.invert(2, 20))
        await asyncio.sleep(0)
        linear_engine.gate.set()
        await asyncio.gather(*urgent, routine)
        assert [rows for rows, _ in await bench.blocks()] == [2, 2, 2, 1, 2, 2, 1]

    serve(linear_engine, 4, scenario)


def test_no_block_of_others_begins_while_an_urgent_request_is_expected(linear_engine):
    async def scenario(bench: Bench) -> None:
        linear_engine.gate.clear()
        routine = asyncio.create_task(bench.invert(0, 40))
        await bench.at_gate()
        with bench.batch.expecting():
            linear_engine.gate.set()
            assert await bench.blocks() == [(1, 10)]
            for _ in range(10):
                await asyncio.sleep(0)
            assert await bench.blocks() == [(1, 10)]
        await bench.invert(1, 20, urgent=True)
        assert not routine.done()
        await routine

    serve(linear_engine, 1, scenario)


def test_expecting_requests_that_never_join_stops_nobody(linear_engine):
    """As urgent requests do that are cancelled while they are opened, one after the other without end."""

    async def scenario(bench: Bench) -> None:
        routine = asyncio.create_task(bench.invert(0, 60))
        while not routine.done():
            with bench.batch.expecting():
                await asyncio.sleep(0)
        await routine

    serve(linear_engine, 1, scenario)


def test_overlapping_expectations_stop_nobody(linear_engine):
    async def scenario(bench: Bench) -> None:
        routine = asyncio.create_task(bench.invert(0, 60))

        async def opened() -> None:
            while not routine.done():
                with bench.batch.expecting():
                    for _ in range(3):
                        await asyncio.sleep(0)

        await asyncio.gather(*(opened() for _ in range(3)))
        await routine

    serve(linear_engine, 1, scenario)
