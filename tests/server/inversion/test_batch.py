"""Concurrent inversions on one engine: joining, leaving, cancelling, stopping."""

import asyncio
import threading
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.server.inversion.bench import Bench, alone, serve, starts

from medxgan.server.errors import BusyError
from medxgan.server.inversion.lane import Ended
from medxgan.server.inversion.solver import Row


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
