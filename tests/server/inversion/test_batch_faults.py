"""Faults of the engine: whom they reach, and whom not."""

import asyncio
import math
from dataclasses import replace

import numpy as np
import pytest
from tests.server.inversion.bench import CODES, Bench, serve, started, starts
from tests.server.linear import LinearRun

from medxgan.server.engine.port import InversionState
from medxgan.server.inversion.lane import Lane


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
