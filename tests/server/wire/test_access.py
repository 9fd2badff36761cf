"""What stands before every method, whatever its kind: roles, and the limits of a caller."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from medxgan.server.errors import BusyError
from medxgan.server.identity.authentication import Authentication
from medxgan.server.identity.limits import CallerLimits
from medxgan.server.identity.tokens import digest
from medxgan.server.telemetry.metrics import Metrics
from medxgan.server.wire.access import Access, AccessInterceptor
from medxgan.server.wire.refusals import RefusalLog

TOKENS = {role: secrets.token_hex(32) for role in ("explain", "admin")}


async def echo(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
    return request


async def echo_all(requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext) -> bytes:
    return b"".join([request async for request in requests])


async def echo_written(request: bytes, context: grpc.aio.ServicerContext) -> None:
    await context.write(request)


async def echo_yielded(requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext) -> AsyncIterator[bytes]:
    async for request in requests:
        yield request


HANDLERS = {
    "Echo": grpc.unary_unary_rpc_method_handler(echo),
    "EchoAll": grpc.stream_unary_rpc_method_handler(echo_all),
    "EchoWritten": grpc.unary_stream_rpc_method_handler(echo_written),
    "EchoYielded": grpc.stream_stream_rpc_method_handler(echo_yielded),
}
"""Methods that the table does not have, of every kind."""


def ask(address: str, method: str, token: str) -> bytes | grpc.StatusCode:
    """What a caller hears. Not by grpc.aio, which says INTERNAL where it still sends when a call is refused."""
    handler = HANDLERS[method]
    kind = ("stream" if handler.request_streaming else "unary", "stream" if handler.response_streaming else "unary")
    with grpc.insecure_channel(address) as channel:
        request = iter([b"sent"]) if handler.request_streaming else b"sent"
        headers = [("authorization", f"Bearer {token}")]
        try:
            answer = getattr(channel, "_".join(kind))(f"/new.Service/{method}")(request, metadata=headers)
            return b"".join(answer) if handler.response_streaming else answer
        except grpc.RpcError as error:
            return error.code()


async def called(method: str, token: str, file: Path, metrics: Metrics) -> bytes | grpc.StatusCode:
    """What comes of a method of a service that is new."""
    access = Access(Authentication(file), CallerLimits(8, 0, 1), metrics, RefusalLog())
    server = grpc.aio.server(interceptors=[AccessInterceptor(access)])
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("new.Service", HANDLERS),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        return await asyncio.to_thread(ask, f"127.0.0.1:{port}", method, token)
    finally:
        await server.stop(None)


@pytest.mark.parametrize("method", HANDLERS)
def test_a_method_that_the_table_does_not_have_is_for_administrators(method: str, tmp_path: Path) -> None:
    file = tmp_path / "identities.toml"
    file.write_text(
        "".join(f'[identities.{role}]\nroles = ["{role}"]\ntokens = ["{digest(TOKENS[role])}"]\n' for role in TOKENS)
    )
    metrics = Metrics()
    assert asyncio.run(called(method, TOKENS["explain"], file, metrics)) is grpc.StatusCode.PERMISSION_DENIED
    assert asyncio.run(called(method, "", file, metrics)) is grpc.StatusCode.UNAUTHENTICATED
    assert asyncio.run(called(method, TOKENS["admin"], file, metrics)) == b"sent"
    for reason in ("ForbiddenError", "UnauthenticatedError"):
        assert metrics.registry.get_sample_value("medxgan_refused_total", {"reason": reason}) == 1
    # Alerts look at the codes of all requests.
    for code in ("PERMISSION_DENIED", "UNAUTHENTICATED"):
        assert metrics.registry.get_sample_value("medxgan_requests_total", {"method": method, "code": code}) == 1


def test_places_are_given_back_however_a_request_ends() -> None:
    limits = CallerLimits(2, 0, 1.5)

    def fail() -> None:
        with limits.request("one"), limits.request("one"):
            with pytest.raises(BusyError) as busy, limits.request("one"):
                pass
            assert busy.value.retry_delay == 1.5
            with limits.request("other"):
                raise ZeroDivisionError

    for _ in range(10):
        with pytest.raises(ZeroDivisionError):
            fail()


def test_as_many_as_a_second_brings_may_come_together() -> None:
    limits = CallerLimits(8, 0.25, 1)
    with limits.request("one"):
        pass
    with pytest.raises(BusyError) as busy, limits.request("one"):
        pass
    assert 0 < busy.value.retry_delay <= 4
    several = CallerLimits(8, 5, 1)
    for _ in range(5):
        with several.request("one"):
            pass


def test_callers_by_the_thousand_are_forgotten() -> None:
    limits = CallerLimits(8, 1e9, 1)
    for number in range(5000):
        with limits.request(str(number)):
            pass
    assert len(limits._due) < 2000
    assert not limits._answering
