"""Urgent rows, and requests that are expected."""

import asyncio
import threading

import numpy as np
from tests.server.inversion.bench import Bench, alone, serve


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
