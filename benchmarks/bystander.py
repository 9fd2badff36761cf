"""A caller beside an attack, in a process of its own: what sending an attack costs is not what the server costs.

    python benchmarks/bystander.py HOST:PORT

Classifies a small tensor over and over until its standard input ends, and prints the milliseconds that each answer
took, as a list of JSON. Being told to come back later is no answer. It asks from an address of its own.
"""

import json
import socket
import subprocess
import sys
import threading
import time
from typing import Self

import grpc
from attacks import tensor

from medxgan.v1.explanation_pb2 import ClassifyRequest, ModelSelector
from medxgan.v1.explanation_pb2_grpc import ExplanationServiceStub

DEADLINE = 120.0
PAUSE = 0.005
ANOTHER_ADDRESS = "127.0.0.2"


class Bystander:
    """Runs this file as a process for as long as its context lasts.

    Attributes:
        milliseconds: that each answer took; there once the context has ended.
    """

    def __init__(self, address: str) -> None:
        self._command = [sys.executable, __file__, address]
        self.milliseconds: list[float] = []

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._process.stdout.readline()  # it has had its first answer
        return self

    def __exit__(self, *_: object) -> None:
        said, _ = self._process.communicate()
        self.milliseconds = json.loads(said)


def relay(address: str) -> int:
    """Port of loopback whose connections reach the server from another address: gRPC can't choose one itself."""
    host, _, port = address.rpartition(":")
    listening = socket.create_server(("127.0.0.1", 0))

    def pump(source: socket.socket, destination: socket.socket) -> None:
        while received := source.recv(65_536):
            destination.sendall(received)

    def accept() -> None:
        while True:
            ours, _ = listening.accept()
            theirs = socket.create_connection((host, int(port)), source_address=(ANOTHER_ADDRESS, 0))
            for one, other in ((ours, theirs), (theirs, ours)):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=pump, args=(one, other), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return int(listening.getsockname()[1])


def main(address: str) -> None:
    """Ask until the input ends."""
    ends = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ends.set()), daemon=True).start()
    request = ClassifyRequest(model=ModelSelector(name="phantom"), image=tensor(32))
    milliseconds: list[float] = []
    with grpc.insecure_channel(f"127.0.0.1:{relay(address)}") as channel:
        stub = ExplanationServiceStub(channel)
        stub.Classify(request, timeout=DEADLINE)
        print("ready", flush=True)
        while not ends.wait(PAUSE):
            began = time.perf_counter()
            try:
                stub.Classify(request, timeout=DEADLINE)
            except grpc.RpcError as error:
                if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
                    raise
            else:
                milliseconds.append(1000 * (time.perf_counter() - began))
    print(json.dumps(milliseconds))


if __name__ == "__main__":
    main(sys.argv[1])
