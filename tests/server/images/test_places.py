"""Places are given to callers in turn, and come back however their time ends."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from medxgan.server.images.places import Places


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(scenario(), timeout=30))


async def settled() -> None:
    """Let whatever can go on go on."""
    for _ in range(5):
        await asyncio.sleep(0)


class Room:
    """Who takes places, and who has been let in, in order."""

    def __init__(self, count: int) -> None:
        self.places = Places(count)
        self.came: list[str] = []
        self.inside = 0
        self.most = 0
        self.go = asyncio.Semaphore(0)

    async def visit(self, caller: str) -> None:
        async with self.places.place(caller):
            self.came.append(caller)
            self.inside += 1
            self.most = max(self.most, self.inside)
            try:
                await self.go.acquire()
            finally:
                self.inside -= 1

    async def visits(self, callers: str) -> list["asyncio.Task[None]"]:
        tasks = [asyncio.create_task(self.visit(caller)) for caller in callers]
        await settled()
        return tasks


def test_callers_take_turns_however_many_one_of_them_asks_for() -> None:
    async def scenario() -> None:
        room = Room(2)
        tasks = await room.visits("aaaaaaaabbc")
        for _ in tasks:
            room.go.release()
            await settled()
        await asyncio.gather(*tasks)
        assert "".join(room.came) == "aa" + "abc" + "ab" + "aaaa"
        assert room.most == 2

    run(scenario)


def test_who_leaves_while_waiting_takes_no_place_and_one_who_is_inside_gives_his_back() -> None:
    async def scenario() -> None:
        room = Room(1)
        inside, first, second, third = await room.visits("abcd")
        first.cancel()
        inside.cancel()
        await settled()
        assert room.came == ["a", "c"]
        second.cancel()  # just let in
        await settled()
        assert room.came == ["a", "c", "d"]
        room.go.release()
        await third
        assert (await asyncio.gather(inside, first, second, return_exceptions=True)).count(None) == 0
        (last,) = await room.visits("e")
        assert room.came[-1] == "e"
        room.go.release()
        await last

    run(scenario)


def test_who_is_cancelled_at_the_moment_his_turn_comes_passes_it_on() -> None:
    async def scenario() -> None:
        room = Room(1)
        _, chosen, next_one = await room.visits("abc")
        room.go.release()
        while room.inside:
            await asyncio.sleep(0)
        chosen.cancel()
        await settled()
        assert room.came in (["a", "b", "c"], ["a", "c"])
        room.go.release()
        await next_one

    run(scenario)


def test_an_error_inside_gives_the_place_back() -> None:
    async def scenario() -> None:
        places = Places(1)
        for _ in range(3):
            with pytest.raises(ValueError, match="inside"):
                async with places.place("a"):
                    raise ValueError("inside")

    run(scenario)
