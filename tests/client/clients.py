"""Both clients by the same calls, and what a server of the tests says to them."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from typing import Any, Self

from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2

from medxgan.client import AsyncClient, CredentialsError, Explanation
from medxgan.v1 import explanation_pb2

PHASE = explanation_pb2.PROGRESS_PHASE_INVERSION


def retry_after(seconds: float) -> error_details_pb2.RetryInfo:
    delay = Duration()
    delay.FromMilliseconds(round(seconds * 1000))
    return error_details_pb2.RetryInfo(retry_delay=delay)


class Blocking:
    """An `AsyncClient` that is used as a `Client`, so that one test runs with both."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.loop = asyncio.new_event_loop()
        try:
            self.client = self.loop.run_until_complete(self._made(*arguments, **options))
        except CredentialsError:
            self.loop.close()
            raise

    async def _made(self, *arguments: Any, **options: Any) -> AsyncClient:
        return AsyncClient(*arguments, **options)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.loop.run_until_complete(self.client.close())
        self.loop.close()

    def __getattr__(self, method: str) -> Any:
        return lambda *arguments, **options: self.loop.run_until_complete(
            getattr(self.client, method)(*arguments, **options)
        )

    def explain_stream(self, *arguments: Any, on_progress: Any, **options: Any) -> Any:
        async def follow() -> Any:
            async with contextlib.aclosing(self.client.explain_stream(*arguments, **options)) as events:
                async for event in events:
                    if isinstance(event, Explanation):
                        return event
                    on_progress(event)
            raise AssertionError("the stream ended in silence")

        return self.loop.run_until_complete(follow())


def waiting_events(released: threading.Event) -> Iterator[explanation_pb2.ExplainStreamResponse]:
    yield explanation_pb2.ExplainStreamResponse(
        progress=explanation_pb2.Progress(steps_taken=1, steps_total=2, phase=PHASE)
    )
    released.wait(60)
