"""The one thread of a model's engine."""

import asyncio
import threading

import pytest

from medxgan.server.engine.device_thread import DeviceThread
from medxgan.server.errors import BusyError


def run(scenario) -> None:
    async def between_start_and_stop() -> None:
        thread = DeviceThread()
        thread.start()
        try:
            await asyncio.wait_for(scenario(thread), timeout=30)
        finally:
            await thread.stop()

    asyncio.run(between_start_and_stop())


def test_calls_run_one_by_one_in_the_order_of_arrival_on_one_other_thread() -> None:
    began: list[int] = []
    threads: set[int] = set()

    def call(number: int) -> int:
        began.append(number)
        threads.add(threading.get_ident())
        return number

    async def scenario(thread: DeviceThread) -> None:
        assert await asyncio.gather(*(thread.call(lambda n=n: call(n)) for n in range(20))) == list(range(20))
        assert began == list(range(20))
        assert len(threads) == 1
        assert threading.get_ident() not in threads

    run(scenario)


def test_a_call_that_is_cancelled_while_it_waits_is_never_made() -> None:
    gate, made = threading.Event(), []

    async def scenario(thread: DeviceThread) -> None:
        first = asyncio.create_task(thread.call(gate.wait))
        second = asyncio.create_task(thread.call(lambda: made.append("second")))
        third = asyncio.create_task(thread.call(lambda: made.append("third")))
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.sleep(0)
        gate.set()
        await asyncio.gather(first, third)
        assert second.cancelled()
        assert made == ["third"]

    run(scenario)


def test_urgent_calls_go_first_and_every_fourth_turn_is_left_to_the_others() -> None:
    gate, made = threading.Event(), []

    async def scenario(thread: DeviceThread) -> None:
        first = thread.submit(gate.wait)
        others = [thread.submit(lambda n=n: made.append(f"other {n}")) for n in range(3)]
        urgent = [thread.submit(lambda n=n: made.append(f"urgent {n}"), urgent=True) for n in range(5)]
        gate.set()
        await asyncio.gather(first, *others, *urgent)
        assert made == [
            *("urgent 0", "urgent 1", "urgent 2", "other 0"),
            *("urgent 3", "urgent 4", "other 1", "other 2"),
        ]

    run(scenario)


def test_a_fault_reaches_its_caller_and_no_other() -> None:
    async def scenario(thread: DeviceThread) -> None:
        with pytest.raises(ZeroDivisionError):
            await thread.call(lambda: 1 / 0)
        assert await thread.call(lambda: 3) == 3

    run(scenario)


def test_stopping_lets_what_came_in_end_and_refuses_what_comes_later() -> None:
    async def scenario(thread: DeviceThread) -> None:
        gate = threading.Event()
        running, waiting = thread.submit(gate.wait), thread.submit(lambda: "done")
        stopping = asyncio.create_task(thread.stop())
        await asyncio.sleep(0)
        with pytest.raises(BusyError) as refusal:
            await thread.call(lambda: None)
        assert refusal.value.retry_delay > 0
        assert not stopping.done()
        gate.set()
        await stopping
        assert await running
        assert await waiting == "done"
        await thread.stop()  # may be called again

    run(scenario)


def test_a_thread_that_was_not_started_takes_no_call() -> None:
    async def call() -> None:
        with pytest.raises(BusyError):
            await DeviceThread().call(lambda: None)

    asyncio.run(call())
