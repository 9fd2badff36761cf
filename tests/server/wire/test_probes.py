"""Probes are received in places of their own, and in little time."""

import asyncio
from collections.abc import AsyncIterator

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub, add_HealthServicer_to_server

from medxgan.server.identity.limits import CallerLimits
from medxgan.server.wire.health import Health
from medxgan.server.wire.probes import ARRIVAL_SECONDS, AT_ONCE, ProbeInterceptor

CHECK, WATCH = "/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"


async def nothing() -> AsyncIterator[bytes]:
    await asyncio.Event().wait()
    yield b""


async def serving(arrival_seconds: float, maximum_requests: int = 100) -> tuple[grpc.aio.Server, str]:
    """A server of health alone, and its address."""
    server = grpc.aio.server(interceptors=[ProbeInterceptor(CallerLimits(maximum_requests, 0, 1), arrival_seconds)])
    health = Health(["models"])
    health.set("models", True)
    add_HealthServicer_to_server(health, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    return server, f"127.0.0.1:{port}"


def test_who_sends_nothing_gives_the_place_to_the_next() -> None:
    async def scenario() -> None:
        server, address = await serving(arrival_seconds=0.02)
        async with grpc.aio.insecure_channel(address) as channel:
            calls = [channel.stream_stream(method)(nothing()) for method in (CHECK, WATCH) for _ in range(2 * AT_ONCE)]
            for call in calls:
                assert await call.code() is grpc.StatusCode.DEADLINE_EXCEEDED
                assert await call.details() == "the request did not arrive within 0.02 seconds"
        await server.stop(None)

    asyncio.run(asyncio.wait_for(scenario(), 60))


def test_what_is_no_message_is_refused_and_what_is_is_answered() -> None:
    async def scenario() -> None:
        server, address = await serving(ARRIVAL_SECONDS)
        async with grpc.aio.insecure_channel(address) as channel:
            wrong = channel.unary_unary(CHECK)(b"\xff")
            assert await wrong.code() is grpc.StatusCode.INVALID_ARGUMENT
            unknown = HealthStub(channel).Check(HealthCheckRequest(service="unknown"))
            assert await unknown.code() is grpc.StatusCode.NOT_FOUND
            known = HealthCheckRequest(service="models")
            assert (await HealthStub(channel).Check(known)).status == HealthCheckResponse.SERVING
            watch = HealthStub(channel).Watch(known)
            assert (await watch.read()).status == HealthCheckResponse.SERVING
            watch.cancel()
        await server.stop(None)

    asyncio.run(asyncio.wait_for(scenario(), 60))
