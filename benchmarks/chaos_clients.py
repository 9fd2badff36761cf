"""Clients that die, stay silent, do not read, or open and reset: what a bystander feels, and what stays behind."""

import argparse
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import grpc
from bystander import Bystander
from chaos_callers import percentiles, request
from chaos_page import Finding
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes
from serving import Server, served

from medxgan.v1.explanation_pb2 import ListModelsRequest
from medxgan.v1.explanation_pb2_grpc import ExplanationServiceStub

EXPLAIN = "/medxgan.v1.ExplanationService/Explain"
DYING, CALLS_OF_EACH = 4, 4
IDLE = 1000
SLOW = 50
CEILING = 200
KEEPALIVE_SECONDS = 80 + 15
"""After which the server has found out that a peer does not answer: 60 and 20, and what is between two looks."""


class Raw:
    """A connection that speaks HTTP/2 as no client of gRPC would.

    Args:
        address: HOST:PORT.
        window: bytes of a response that the server may send before it is told to go on.
    """

    def __init__(self, address: str, window: int = 65_535) -> None:
        host, _, port = address.rpartition(":")
        self.socket = socket.create_connection((host, int(port)), timeout=60)
        self.h2 = H2Connection(H2Configuration(client_side=True, validate_outbound_headers=False))
        self.h2.initiate_connection()
        self.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: window})
        self._address = address
        self.send()

    def send(self) -> None:
        """What is to be sent."""
        self.socket.sendall(self.h2.data_to_send())

    def begin(self, path: str = EXPLAIN) -> int:
        """The stream of a new call, without its message."""
        stream: int = self.h2.get_next_available_stream_id()
        headers = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", self._address)]
        self.h2.send_headers(stream, [*headers, ("te", "trailers"), ("content-type", "application/grpc")])
        return stream

    def ask(self, message: bytes) -> int:
        """A whole call."""
        stream = self.begin()
        self.h2.send_data(stream, b"\0" + len(message).to_bytes(4, "big") + message, end_stream=True)
        self.send()
        return stream

    def is_open(self) -> bool:
        """Whether the server has the connection open still; what it has sent is read and left unanswered."""
        self.socket.setblocking(False)
        try:
            while heard := self.socket.recv(65_536):
                del heard
        except BlockingIOError:
            return True
        except OSError:
            pass
        return False

    def close(self) -> None:
        """Close it."""
        self.socket.close()


@contextmanager
def _raw(address: str, count: int, window: int = 65_535) -> Iterator[list[Raw]]:
    with ExitStack() as opened:
        made = [Raw(address, window) for _ in range(count)]
        for each in made:
            opened.callback(each.close)
        yield made


def _felt(bystander: Bystander, alone: Bystander) -> str:
    (now50, now99), (before50, before99) = (percentiles(each.milliseconds) for each in (bystander, alone))
    return (
        f"{len(bystander.milliseconds)} answers, p50 {now50:.0f}, p99 {now99:.0f} ms "
        f"(alone p50 {before50:.0f}, p99 {before99:.0f})"
    )


def _alone(server: Server, seconds: float) -> Bystander:
    with Bystander(server.address) as alone:
        time.sleep(seconds)
    return alone


def _empty(server: Server, limit: float = 60) -> float:
    """Seconds until nothing is under way any more."""
    began = time.perf_counter()
    while server.work_inside() > 0 and time.perf_counter() - began < limit:
        time.sleep(0.02)
    return time.perf_counter() - began


def dying(seconds: float) -> list[Finding]:
    """Processes that ask for long inversions and are killed while these run."""
    with served("--telemetry", "127.0.0.1:0") as server:
        alone = _alone(server, min(3.0, seconds))
        command = [sys.executable, __file__, server.address]
        with Bystander(server.address) as bystander:
            clients = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(DYING)]
            for client in clients:
                client.stdout.readline()
            while server.work_inside() < DYING * CALLS_OF_EACH / 2:
                time.sleep(0.1)
            inside = server.work_inside()
            for client in clients:
                client.kill()
            empty = _empty(server)
            for client in clients:
                client.communicate()
            time.sleep(1)
    return [
        Finding(
            "clients killed",
            "their compute ends within 2 s",
            f"{DYING} processes, work of {inside:.0f} explanations inside; none {empty:.2f} s after the kill",
            empty < 2,
        ),
        Finding("clients killed", "a bystander is answered", _felt(bystander, alone), bool(bystander.milliseconds)),
    ]


def silent(seconds: float) -> list[Finding]:
    """A thousand connections that greet and say nothing more, not even to keepalive: half-open ones look like that."""
    name = f"{IDLE} half-open connections"
    with served() as server:
        alone, before, free = _alone(server, min(3.0, seconds)), server.memory_megabytes().server, server.descriptors()
        with _raw(server.address, IDLE) as connections:
            began = time.perf_counter()
            with Bystander(server.address) as bystander:
                time.sleep(min(10.0, seconds))
            memory, taken = server.memory_megabytes().server, server.descriptors()
            opened = sum(each.is_open() for each in connections)
            while time.perf_counter() - began < KEEPALIVE_SECONDS and any(each.is_open() for each in connections):
                time.sleep(1)
            closed = time.perf_counter() - began
            left = sum(each.is_open() for each in connections)
        after = server.descriptors()
    return [
        Finding(name, "others are answered", _felt(bystander, alone), bool(bystander.milliseconds)),
        Finding(
            name,
            "they cost little",
            f"{opened} open: {memory - before:.0f} MB and {taken - free} descriptors more",
            memory - before < 256,
        ),
        Finding(
            name,
            f"closed within {KEEPALIVE_SECONDS} s",
            f"{IDLE - left} of {IDLE} after {closed:.0f} s; descriptors {free} before, {after} after",
            left == 0,
        ),
    ]


def too_many(seconds: float) -> list[Finding]:
    """More connections than the server takes."""
    with served("--maximum-connections", CEILING) as server, grpc.insecure_channel(server.address) as channel:
        stub = ExplanationServiceStub(channel)
        stub.ListModels(ListModelsRequest(), timeout=60)
        with _raw(server.address, 2 * CEILING) as connections:
            time.sleep(min(2.0, seconds))
            opened = sum(each.is_open() for each in connections)
            stub.ListModels(ListModelsRequest(), timeout=60)
        began = time.perf_counter()
        while not _answers(server.address):
            time.sleep(0.02)
        again = time.perf_counter() - began
    return [
        Finding(
            f"{2 * CEILING} connections where {CEILING} are allowed",
            "the rest is closed, those that there were are answered, and newcomers once there is room",
            f"{opened} stay open beside the one that was there, which is answered; a new one {again:.2f} s after the "
            "others have left",
            opened == CEILING - 1,
        )
    ]


def _answers(address: str) -> bool:
    with grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
        try:
            ExplanationServiceStub(channel).ListModels(ListModelsRequest(), timeout=10)
        except grpc.RpcError:
            return False
    return True


def slow_readers(seconds: float) -> list[Finding]:
    """Callers who ask and let the server send nothing, so that it keeps their answers."""
    with served("--telemetry", "127.0.0.1:0") as server:
        alone, before = _alone(server, min(3.0, seconds)), server.memory_megabytes().server
        with _raw(server.address, SLOW, window=0) as connections:
            for each in connections:
                each.ask(request().SerializeToString())
            empty = _empty(server)
            with Bystander(server.address) as bystander:
                time.sleep(min(5.0, seconds))
            kept = server.memory_megabytes().server - before
    return [
        Finding(
            f"{SLOW} callers who do not read",
            "they hold no place, and little memory",
            f"no work inside after {empty:.1f} s; {kept:.0f} MB more, with their answers",
            empty < 60 and kept < 64,
        ),
        Finding(
            f"{SLOW} callers who do not read",
            "others are answered",
            _felt(bystander, alone),
            bool(bystander.milliseconds),
        ),
    ]


def rapid_resets(seconds: float) -> list[Finding]:
    """Streams opened and reset at once, as many as go into the time, on several connections."""

    def reset(number: int) -> tuple[int, int]:  # noqa: ARG001 - one of several alike
        done = reconnected = 0
        ends = time.perf_counter() + seconds
        while time.perf_counter() < ends:
            connection = Raw(server.address)
            try:
                while time.perf_counter() < ends:
                    for _ in range(50):
                        connection.h2.reset_stream(connection.begin(), ErrorCodes.CANCEL)
                        done += 1
                    connection.send()
                    if not connection.is_open():
                        break
                    connection.socket.setblocking(True)
            except (OSError, ProtocolError):
                pass
            finally:
                connection.close()
            reconnected += 1
        return done, reconnected

    with served() as server:
        alone, before = _alone(server, min(3.0, seconds)), server.memory_megabytes().server
        with Bystander(server.address) as bystander, ThreadPoolExecutor(2) as pool:
            sent = list(pool.map(reset, range(2)))
        memory = server.memory_megabytes().server
        with Bystander(server.address) as after:
            time.sleep(min(3.0, seconds))
    streams, connections = (sum(column) for column in zip(*sent, strict=True))
    return [
        Finding(
            "rapid resets",
            "others are answered meanwhile and afterwards",
            f"{streams} streams reset in {seconds:g} s over {connections} connections; bystander: "
            f"{_felt(bystander, alone)}; afterwards p50 {percentiles(after.milliseconds)[0]:.0f} ms; "
            f"{memory - before:.0f} MB more",
            bool(bystander.milliseconds) and bool(after.milliseconds),
        )
    ]


SCENARIOS: tuple[Callable[[float], list[Finding]], ...] = (dying, silent, too_many, slow_readers, rapid_resets)


def main() -> None:
    """A client that will be killed: asks for long inversions until then."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address")
    with grpc.insecure_channel(parser.parse_args().address) as channel:
        stub = ExplanationServiceStub(channel)
        calls = [stub.Explain.future(request(steps=150)) for _ in range(CALLS_OF_EACH)]
        print("asked", flush=True)
        for call in calls:
            call.exception()


if __name__ == "__main__":
    main()
