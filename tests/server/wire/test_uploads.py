"""Requests are received within bounds: in number and bytes, per caller and in all, and in time."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial

import pytest

from medxgan.server.errors import BusyError, InvalidRequestError, SlowUploadError
from medxgan.server.wire.uploads import UploadLimits, Uploads


def limits(**changed: float) -> UploadLimits:
    usual = {
        "maximum_receiving": 3,
        "maximum_receiving_per_caller": 2,
        "maximum_bytes": 100,
        "maximum_bytes_per_caller": 60,
        "timeout_seconds": 30.0,
        "slow_seconds": 0.0,
    }
    return UploadLimits(**(usual | changed))


async def message(content: bytes, comes: asyncio.Event | None = None) -> AsyncIterator[bytes]:
    """A call with one message, which arrives once `comes` is set."""
    if comes is not None:
        await comes.wait()
    yield content


async def nothing() -> AsyncIterator[bytes]:
    """A call without a message."""
    for content in ():
        yield content


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(scenario(), timeout=60))


async def settled() -> None:
    """Let whatever can go on go on."""
    for _ in range(20):
        await asyncio.sleep(0.001)


class Caller:
    """A call that stays until it is told to go."""

    def __init__(
        self,
        uploads: Uploads,
        name: str,
        content: bytes,
        comes: asyncio.Event | None = None,
        connection: str = "",
    ) -> None:
        self.uploads = uploads
        self.received = False
        self.release, self.go = asyncio.Event(), asyncio.Event()
        self.task = asyncio.create_task(self._call(name, content, comes, connection))

    async def _call(self, name: str, content: bytes, comes: asyncio.Event | None, connection: str) -> None:
        async with self.uploads.received(message(content, comes), name, connection) as upload:
            assert upload.take() == content
            assert upload.take() == b""
            self.received = True
            await self.release.wait()
            self.uploads.release()
            self.uploads.release()
            await self.go.wait()

    async def leave(self) -> None:
        self.release.set()
        self.go.set()
        await self.task


def test_a_caller_receives_so_many_at_once_and_all_of_them_so_many() -> None:
    async def scenario() -> None:
        uploads, comes = Uploads(limits()), asyncio.Event()
        slow = [Caller(uploads, "a", b"x", comes) for _ in range(2)]
        third, other = Caller(uploads, "a", b"x"), Caller(uploads, "b", b"x")
        await settled()
        assert not third.received, "the caller's places are taken"
        assert other.received
        comes.set()
        await settled()
        assert third.received
        for caller in (*slow, third, other):
            await caller.leave()

    run(scenario)


def test_bytes_are_held_until_the_image_has_been_read() -> None:
    async def scenario() -> None:
        uploads = Uploads(limits())
        large = Caller(uploads, "a", bytes(60))
        await settled()
        same, other = Caller(uploads, "a", b"x"), Caller(uploads, "b", bytes(50))
        await settled()
        assert (large.received, same.received, other.received) == (True, False, True)
        third = Caller(uploads, "c", b"x")
        await settled()
        assert not third.received, "as many bytes as may be are held"
        large.release.set()
        await settled()
        assert same.received
        assert third.received
        for caller in (large, same, other, third):
            await caller.leave()

    run(scenario)


def test_one_who_leaves_while_waiting_or_sending_takes_nothing_along() -> None:
    async def scenario() -> None:
        uploads, never = Uploads(limits(maximum_receiving=1)), asyncio.Event()
        stalled = Caller(uploads, "a", b"x", never)
        waiting = Caller(uploads, "b", b"x")
        await settled()
        waiting.task.cancel()
        stalled.task.cancel()
        await asyncio.gather(waiting.task, stalled.task, return_exceptions=True)
        last = Caller(uploads, "c", b"x")
        await settled()
        assert last.received
        await last.leave()

    run(scenario)


def test_what_does_not_arrive_in_time_is_ended_and_makes_room() -> None:
    async def scenario() -> None:
        uploads = Uploads(limits(timeout_seconds=0.05, maximum_receiving=1))
        stalled = Caller(uploads, "a", b"x", asyncio.Event())
        after = Caller(uploads, "b", b"x")
        with pytest.raises(SlowUploadError, match=r"within 0\.05 seconds"):
            await stalled.task
        await settled()
        assert after.received
        await after.leave()

    run(scenario)


def test_a_call_without_a_message_is_refused() -> None:
    async def scenario() -> None:
        with pytest.raises(InvalidRequestError, match="one message"):
            async with Uploads(limits()).received(nothing(), "a"):
                pytest.fail("received nothing")

    run(scenario)


def test_a_message_is_not_kept_by_the_stream_that_it_came_in() -> None:
    """gRPC's generator keeps the message that it gave last until the call has ended and is collected."""

    async def scenario() -> None:
        ended = asyncio.Event()

        async def kept() -> AsyncIterator[bytes]:
            try:
                yield b"x"
            finally:
                ended.set()

        async with Uploads(limits()).received(kept(), "a") as upload:
            assert upload.take() == b"x"
            assert ended.is_set()

    run(scenario)


def test_one_who_holds_more_than_its_share_takes_nothing_from_others() -> None:
    async def scenario() -> None:
        uploads, comes = Uploads(limits()), asyncio.Event()
        large = [Caller(uploads, "a", bytes(90), comes) for _ in range(2)]
        await settled()
        comes.set()
        await settled()
        assert all(caller.received for caller in large), "together they are more than there may be in all"
        other = Caller(uploads, "b", b"x")
        await settled()
        assert other.received
        for caller in (*large, other):
            await caller.leave()

    run(scenario)


def test_the_messages_of_a_caller_come_one_after_the_other_but_for_slow_ones() -> None:
    async def scenario(slow_seconds: float) -> None:
        uploads, comes = Uploads(limits(slow_seconds=slow_seconds)), asyncio.Event()
        slow, next_one = Caller(uploads, "a", b"x", comes), Caller(uploads, "a", b"x")
        other = Caller(uploads, "b", b"x")
        if slow_seconds < 1:
            while not next_one.received:
                await settled()
            assert not slow.received
        else:
            await settled()
            assert not next_one.received, "two large messages at once take twice the memory"
        assert other.received
        comes.set()
        for caller in (slow, next_one, other):
            await caller.leave()

    for slow_seconds in (0.01, 3600):
        run(partial(scenario, slow_seconds))


def test_who_sent_a_small_message_last_does_not_wait_behind_large_ones() -> None:
    async def scenario() -> None:
        uploads = Uploads(limits())
        await Caller(uploads, "a", b"x", connection="known").leave()
        large = Caller(uploads, "a", bytes(60), connection="large")
        await settled()
        waiting = [Caller(uploads, "a", b"x", connection="new") for _ in range(3)]
        await settled()
        known = Caller(uploads, "a", b"x", connection="known")
        await settled()
        assert [known.received, *(caller.received for caller in waiting)] == [True, False, False, False]
        for caller in (large, *waiting, known):
            await caller.leave()

    run(scenario)


def test_one_message_at_a_time_of_a_connection_is_taken_to_be_small() -> None:
    async def scenario() -> None:
        uploads, comes = Uploads(limits()), asyncio.Event()
        await Caller(uploads, "a", b"x", connection="known").leave()
        large = Caller(uploads, "a", bytes(60))
        await settled()
        known = [Caller(uploads, "a", bytes(2**20 + 1), comes, "known") for _ in range(2)]
        await settled()
        comes.set()
        await settled()
        assert [caller.received for caller in known] == [True, False]
        await known[0].leave()
        again = Caller(uploads, "a", b"x", connection="known")
        await settled()
        assert not again.received, "it was large"
        for caller in (large, known[1], again):
            await caller.leave()

    run(scenario)


def test_streams_are_bounded_in_number_in_all_and_of_one_caller() -> None:
    uploads = Uploads(limits(maximum_streams=3, maximum_streams_per_caller=2, retry_delay_seconds=1.5))
    with uploads.stream("a"), uploads.stream("a"):
        with pytest.raises(BusyError) as refusal, uploads.stream("a"):
            pass
        assert refusal.value.retry_delay == 1.5
        with uploads.stream("b"), pytest.raises(BusyError), uploads.stream("c"):
            pass
        with uploads.stream("c"):
            pass


def test_a_message_of_a_stream_waits_for_room_in_bytes_and_for_no_place() -> None:
    async def scenario() -> None:
        uploads, comes, go = Uploads(limits(maximum_receiving=1)), asyncio.Event(), asyncio.Event()
        slow = Caller(uploads, "a", b"x", comes)
        large = asyncio.create_task(in_stream(uploads, "b", bytes(60), go))
        await settled()
        assert uploads_hold(uploads, "b") == 60, "received beside the one that takes the only place"
        next_one = asyncio.create_task(in_stream(uploads, "b", bytes(10), go))
        await settled()
        assert uploads_hold(uploads, "b") == 60, "the caller holds its share"
        go.set()
        comes.set()
        assert await large == 60
        assert await next_one == 10
        await slow.leave()
        async with uploads.received_in_stream(ended, "b") as upload:
            assert upload is None

    run(scenario)


def test_what_is_fetched_from_elsewhere_counts_too() -> None:
    async def scenario() -> None:
        uploads, go = Uploads(limits()), asyncio.Event()
        first = asyncio.create_task(in_stream(uploads, "a", b"x", go, fetched=99))
        await settled()
        assert uploads_hold(uploads, "a") == 100
        second = asyncio.create_task(in_stream(uploads, "a", b"x", asyncio.Event(), fetched=99))
        await settled()
        assert uploads_hold(uploads, "a") == 100, "it waits"
        go.set()
        await first
        await settled()
        assert uploads_hold(uploads, "a") == 100
        second.cancel()
        await asyncio.gather(second, return_exceptions=True)
        assert uploads_hold(uploads, "a") == 0

    run(scenario)


def test_what_is_to_be_fetched_waits_neither_for_its_own_bytes_nor_for_those_of_who_waits_like_it() -> None:
    async def scenario() -> None:
        uploads, comes, go = Uploads(limits(maximum_bytes_per_caller=10)), asyncio.Event(), asyncio.Event()
        alone = in_stream(uploads, "a", bytes(10), go, fetched=50)
        go.set()
        assert await alone == 10

        async def fetch() -> None:
            async with uploads.received(message(bytes(10), comes), "a"):
                await uploads.hold(50)

        several = [asyncio.create_task(fetch()) for _ in range(2)]
        await settled()
        comes.set()
        await asyncio.gather(*several)
        assert uploads_hold(uploads, "a") == 0

    run(scenario)


async def ended() -> bytes | None:
    """A stream without a further message."""
    return None


async def in_stream(uploads: Uploads, caller: str, content: bytes, go: asyncio.Event, fetched: int = 0) -> int:
    """Receive one message of a stream and hold it until it is told to go."""

    async def message_of_stream() -> bytes | None:
        return content

    async with uploads.received_in_stream(message_of_stream, caller) as upload:
        assert upload is not None
        if fetched:
            await uploads.hold(fetched)
        await go.wait()
        return len(upload.take())


def uploads_hold(uploads: Uploads, caller: str) -> int:
    """Bytes of a caller that count against the limits."""
    return uploads._bytes[caller]
