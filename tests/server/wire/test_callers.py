"""Who calls, and whose share a call takes."""

import asyncio
from ipaddress import IPv6Address

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medxgan.server.wire.callers import caller_of, counted_as


@pytest.mark.parametrize(
    ("caller", "counted"),
    [
        ("viewer", "viewer"),
        ("ipv4:192.0.2.7", "ipv4:192.0.2.7"),
        ("unix:", "unix:"),
        ("ipv6:%5B::1%5D", "ipv6:%5B::1%5D"),
        ("ipv6:[2001:db8:0:7:1:2:3:4]", "ipv6:2001:db8:0:7::/64"),
        ("ipv6:%5B2001:db8:0:7:ffff::%5D", "ipv6:2001:db8:0:7::/64"),
        ("ipv6:%5B2001:db8:0:8::1%5D", "ipv6:2001:db8:0:8::/64"),
        ("ipv6:%5B::ffff:192.0.2.7%5D", "ipv4:192.0.2.7"),
        ("ipv6:%5Bfe80::1%25eth0%5D", "ipv6:%5Bfe80::1%25eth0%5D"),
        ("ipv6:nonsense", "ipv6:nonsense"),
    ],
)
def test_addresses_of_one_network_are_one_caller(caller: str, counted: str) -> None:
    assert counted_as(caller) == counted


@given(st.integers(0x20 << 120, (0x40 << 120) - 1), st.integers(0, 2**64 - 1))
def test_no_other_part_of_an_address_counts(address: int, host: int) -> None:
    neighbour = address >> 64 << 64 | host
    one, other, stranger = (
        counted_as(f"ipv6:[{IPv6Address(each)}]") for each in (address, neighbour, address ^ 1 << 64)
    )
    assert one == other != stranger


def test_a_call_over_ipv6_has_its_address_without_the_port() -> None:
    seen: list[str] = []

    async def note(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
        seen.append(caller_of(context))
        return request

    async def scenario() -> None:
        server = grpc.aio.server()
        handlers = {"Note": grpc.unary_unary_rpc_method_handler(note)}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Service", handlers),))
        try:
            port = server.add_insecure_port("[::1]:0")
        except RuntimeError:
            pytest.skip("this machine has no IPv6")
        await server.start()
        async with grpc.aio.insecure_channel(f"[::1]:{port}") as channel:
            await channel.unary_unary("/test.Service/Note")(b"")
        await server.stop(None)

    asyncio.run(scenario())
    assert seen == ["ipv6:%5B::1%5D"]
