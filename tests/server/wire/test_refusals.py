"""A flood of refusals is no flood of log lines."""

import asyncio
import logging
import threading
from collections import Counter

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from medxgan.server.errors import BusyError, UnauthenticatedError
from medxgan.server.identity.limits import CallerLimits
from medxgan.server.telemetry.metrics import Metrics
from medxgan.server.wire import refusals
from medxgan.server.wire.access import Access
from medxgan.server.wire.refusals import LINES, RefusalLog

CALLER = "ipv4:127.0.0.1"


def lines(caplog: pytest.LogCaptureFixture, event: str) -> list[dict[str, object]]:
    """The lines of this test, whatever servers in other threads say meanwhile."""
    here = [record.msg for record in caplog.records if record.thread == threading.get_ident()]
    return [line for line in here if isinstance(line, dict) and line["event"] == event]


@given(callers=st.lists(st.integers(0, 2 * LINES), max_size=200))
def test_a_caller_has_one_line_and_every_refusal_is_counted(
    callers: list[int], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusals, "WINDOW_SECONDS", 3600.0)
    caplog.set_level(logging.INFO, "medxgan")
    caplog.clear()

    async def refuse_all() -> None:
        log = RefusalLog()
        for caller in callers:
            log.write(str(caller), "refused_by_test", caller=caller)
        log.tell()
        log.tell()

    asyncio.run(refuse_all())
    written = Counter(line["caller"] for line in lines(caplog, "refused_by_test"))
    assert list(written) == list(dict.fromkeys(callers))[:LINES], "those who came first"
    assert set(written.values()) <= {1}
    left_out = [line["count"] for line in lines(caplog, "refusals_left_out")]
    assert left_out == [len(callers) - written.total()] * (len(callers) > written.total())


def test_what_is_left_out_is_told_after_a_while_as_nobodys(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusals, "WINDOW_SECONDS", 0.02)
    caplog.set_level(logging.INFO, "medxgan")

    async def refuse_all() -> None:
        log = RefusalLog()
        with structlog.contextvars.bound_contextvars(identity="flood", model="chest/7"):
            for _ in range(50):
                log.write("flood", "refused_by_test")
        async with asyncio.timeout(60):
            while len(lines(caplog, "refused_by_test")) + sum(line["count"] for line in told()) < 50:
                await asyncio.sleep(0.01)
            # In a later second its first is written again.
            before = len(lines(caplog, "refused_by_test"))
            while len(lines(caplog, "refused_by_test")) == before:
                await asyncio.sleep(0.03)
                log.write("flood", "refused_by_test")

    def told() -> list[dict[str, object]]:
        return lines(caplog, "refusals_left_out")

    asyncio.run(refuse_all())
    assert all(line["identity"] == "flood" for line in lines(caplog, "refused_by_test")[:1])
    assert told()
    assert all(line.keys() & {"identity", "model"} == set() for line in told())


def test_who_asks_too_often_floods_no_log_and_who_is_nobody_is_always_in_it(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "medxgan")

    class Context:
        def peer(self) -> str:
            return "ipv4:127.0.0.1:50000"

    async def refuse_all() -> Metrics:
        metrics, log = Metrics(), RefusalLog()
        access = Access(None, CallerLimits(8, 0, 1), metrics, log)
        for _ in range(100):
            access.refused("/a.Service/Method", Context(), BusyError("full", 1.0))
        for _ in range(3):
            access.refused("/a.Service/Method", Context(), UnauthenticatedError("expected a token"))
        log.tell()
        return metrics

    metrics = asyncio.run(refuse_all())
    assert metrics.registry.get_sample_value("medxgan_refused_total", {"reason": "BusyError"}) == 100
    by_code = Counter(line["code"] for line in lines(caplog, "refused") if line["caller"] == CALLER)
    assert by_code["UNAUTHENTICATED"] == 3
    left_out = sum(line["count"] for line in lines(caplog, "refusals_left_out"))
    assert by_code["RESOURCE_EXHAUSTED"] + left_out == 100
    assert left_out > 0
