"""What a refusal for want of room costs a server: processor time of its process for each call that it refuses.

    python benchmarks/refusals.py [--against CHECKOUT] [--rounds N] [--calls N]

A server of one model, or of two, whose places are all taken though nothing is computed, and a flood of 16 callers in a
process of its own, with a small tensor or a file of 1 MB. --against measures another checkout of this repository as
well. "gRPC alone" is a server of gRPC's asyncio that reads the message and refuses the call. All stand ready and are
flooded one after the other in every round, since a shared machine is not as fast in one minute as in the next.
"""

import argparse
import asyncio
import os
import secrets
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import grpc
from attacks import MEGABYTE, tensor

from medxgan.v1.explanation_pb2 import ExplainRequest, Image, ModelSelector

ROOT = Path(__file__).parents[1]
ROOMS = ("protos", "bundle", "server")
MODELS = ("phantom", "brain-lgg")
CALLERS = 16
CONNECTIONS = 4
WARM_UP_CALLS = 200
METHOD = "/medxgan.v1.ExplanationService/Explain"


async def serve(models: Path) -> None:
    """Serve models that are full, with a log like that of `medxgan serve`, and print the port."""
    from medxgan.server.errors import BusyError
    from medxgan.server.services import loaded_models
    from medxgan.server.serving import Server
    from medxgan.server.settings import ServerSettings

    settings = ServerSettings(models=models, address="127.0.0.1:0", threads=1)
    repository = loaded_models(settings)
    server = Server(settings, repository)
    port = await server.listen()
    await server.warm_up()
    with ExitStack() as held:
        for model in repository:
            for holder in range(10_000):
                try:
                    held.enter_context(model.admission.enter(f"holder {holder}"))
                except BusyError:
                    break
        print(port, flush=True)
        await asyncio.Event().wait()


async def serve_floor() -> None:
    """Refuse whatever comes once it is read, and print the port."""

    async def refuse(messages: AsyncIterator[bytes], context: grpc.aio.ServicerContext) -> None:
        await anext(messages)
        await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "the model has as many requests as it takes")

    server = grpc.aio.server(options=[("grpc.max_receive_message_length", -1)])
    service, _, name = METHOD.removeprefix("/").partition("/")
    handlers = {name: grpc.stream_unary_rpc_method_handler(refuse)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await server.wait_for_termination()


async def flood(port: int, calls: int, file_bytes: int) -> None:
    """Have so many calls refused."""
    image = Image(encoded=secrets.token_bytes(file_bytes)) if file_bytes else tensor(32)
    request = ExplainRequest(model=ModelSelector(name=MODELS[0]), image=image).SerializeToString()
    left = iter(range(calls))

    async def ask(channel: grpc.aio.Channel) -> None:
        call = channel.unary_unary(METHOD)
        for _ in left:
            code = await call(request).code()
            if code is not grpc.StatusCode.RESOURCE_EXHAUSTED:
                sys.exit(f"expected RESOURCE_EXHAUSTED, got {code.name}")

    async with asyncio.timeout(300):
        options = [("grpc.use_local_subchannel_pool", 1)]
        channels = [grpc.aio.insecure_channel(f"127.0.0.1:{port}", options) for _ in range(CONNECTIONS)]
        await asyncio.gather(*(ask(channels[number % CONNECTIONS]) for number in range(CALLERS)))
        for channel in channels:
            await channel.close()


class Target:
    """A server under a flood."""

    def __init__(self, name: str, process: "subprocess.Popen[str]") -> None:
        self.name, self._process = name, process
        self._port = int(process.stdout.readline())

    def milliseconds(self, calls: int, file_bytes: int) -> float:
        """Of a core, for each call refused."""
        before = self._seconds()
        command = [sys.executable, __file__, "flood", str(self._port), str(calls), str(file_bytes)]
        subprocess.run(command, check=True)
        return 1000 * (self._seconds() - before) / calls

    def _seconds(self) -> float:
        # Without its workers, which have nothing to decode.
        fields = Path(f"/proc/{self._process.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def started(name: str, checkout: Path, *arguments: object) -> Iterator[Target]:
    """This file as a server, of the code of a checkout."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(str(checkout / room) for room in ROOMS)}
    command = [sys.executable, __file__, *map(str, arguments)]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, env=environment, text=True, **streams) as process:
        try:
            yield Target(name, process)
        finally:
            process.terminate()


def measure(checkouts: dict[str, Path], rounds: int, calls: int) -> None:
    """Print the figures of all checkouts and of the floor."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as running:
        targets = [running.enter_context(started("gRPC alone", ROOT, "floor"))]
        for number in range(1, len(MODELS) + 1):
            models = Path(folder) / str(number)
            for model in MODELS[:number]:
                shutil.copytree(ROOT / "models" / model, models / model)
            for name, checkout in checkouts.items():
                title = f"{name}, {number} model{'s' * (number > 1)}"
                targets.append(running.enter_context(started(title, checkout, "serve", models)))
        print("| server | message | ms of a core a refusal, median | from | to |\n|---|---|---:|---:|---:|")
        for file_bytes in (0, MEGABYTE):
            for target in targets:
                target.milliseconds(WARM_UP_CALLS, file_bytes)
            taken = [[target.milliseconds(calls, file_bytes) for target in targets] for _ in range(rounds)]
            for target, figures in zip(targets, zip(*taken, strict=True), strict=True):
                message = "file of 1 MB" if file_bytes else "small tensor"
                median, least, most = statistics.median(figures), min(figures), max(figures)
                print(f"| {target.name} | {message} | {median:.2f} | {least:.2f} | {most:.2f} |", flush=True)


def main() -> None:
    """Measure, or be one of the processes that are measured."""
    match sys.argv[1:]:
        case ["serve", models]:
            from medxgan.server.log import logging_to_standard_error

            with logging_to_standard_error("json", "info"):
                asyncio.run(serve(Path(models)))
        case ["floor"]:
            asyncio.run(serve_floor())
        case ["flood", port, calls, file_bytes]:
            asyncio.run(flood(int(port), int(calls), int(file_bytes)))
        case _:
            parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
            parser.add_argument("--against", type=Path, help="another checkout of this repository")
            parser.add_argument("--rounds", type=int, default=5)
            parser.add_argument("--calls", type=int, default=1000, help="of a round")
            stated = parser.parse_args()
            others = {} if stated.against is None else {"the other": stated.against.resolve()}
            measure({"medxgan": ROOT} | others, stated.rounds, stated.calls)


if __name__ == "__main__":
    main()
