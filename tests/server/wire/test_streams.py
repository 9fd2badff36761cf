"""A stream of requests: several are answered at once, and one that says nothing does not stay for ever."""

import asyncio

import pytest

from medxgan.server.errors import SlowUploadError
from medxgan.server.wire.streams import MAXIMUM_AT_ONCE, answer_each

SOON, NEVER = 0.5, 3600.0


class Sender:
    """Sends some requests, each at its time, and then ends the stream or says nothing.

    Args:
        pauses: seconds before each request.
        answer_seconds: that each takes to be answered.
        ends: whether the stream ends.
    """

    def __init__(self, *pauses: float, answer_seconds: float = 0.0, ends: bool = True) -> None:
        self._pauses = list(pauses)
        self._answer_seconds = answer_seconds
        self._ends = ends
        self.answered = self.at_once = self.most_at_once = 0
        self.left = False

    async def answer(self, arrived: "asyncio.Future[bool]") -> None:
        if not self._pauses and self._ends:
            arrived.set_result(False)
            return
        try:
            await asyncio.sleep(self._pauses.pop(0) if self._pauses else NEVER)
        except asyncio.CancelledError:
            self.left = True
            raise
        arrived.set_result(True)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(self._answer_seconds)
        self.at_once -= 1
        self.answered += 1


def answered(sender: Sender, idle_seconds: float) -> None:
    asyncio.run(asyncio.wait_for(answer_each(sender.answer, idle_seconds), 60))


def test_all_are_answered_and_some_at_once() -> None:
    sender = Sender(*[0.0] * 30, answer_seconds=0.05)
    answered(sender, NEVER)
    assert (sender.answered, sender.at_once) == (30, 0)
    assert 1 < sender.most_at_once <= MAXIMUM_AT_ONCE


def test_who_says_nothing_is_left() -> None:
    for sender in (Sender(ends=False), Sender(0.0, 0.0, ends=False)):
        with pytest.raises(SlowUploadError, match=r"sent no request for 0\.05 seconds"):
            answered(sender, 0.05)
        assert sender.left


def test_who_waits_for_an_answer_is_not_silent() -> None:
    sender = Sender(0.0, answer_seconds=2 * SOON, ends=False)
    with pytest.raises(SlowUploadError):
        answered(sender, SOON)
    assert sender.answered == 1


def test_an_error_of_one_ends_all() -> None:
    async def fail(arrived: "asyncio.Future[bool]") -> None:
        raise ConnectionError

    with pytest.raises(ExceptionGroup) as raised:
        asyncio.run(answer_each(fail, NEVER))
    assert raised.group_contains(ConnectionError)
