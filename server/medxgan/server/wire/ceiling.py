"""How long an answer may take."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from medxgan.server.errors import DeadlineError


@asynccontextmanager
async def at_most(seconds: float) -> AsyncIterator[None]:
    """The time in which one request is answered, whatever deadline its caller set.

    Raises:
        DeadlineError: it takes longer.
    """
    try:
        async with asyncio.timeout(seconds) as limit:
            yield
    except TimeoutError:
        if not limit.expired():
            raise
        raise DeadlineError(f"the answer took longer than {seconds:g} seconds, which is the most here") from None
