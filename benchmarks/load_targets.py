"""The servers that `load.py` puts under load, each explaining the same pictures with the same weights.

A target is started as a process of its own, and gives a function that asks it for one explanation: reconstruction,
negative realization and difference of a picture, by as many steps of Adam as the bundle states.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import grpc
import numpy as np
from numpy.typing import NDArray

from medxgan.v1.bundle_pb2 import DATA_TYPE_UINT8
from medxgan.v1.explanation_pb2 import (
    MAP_KIND_DIFFERENCE,
    MAP_KIND_NEGATIVE_REALIZATION,
    MAP_KIND_RECONSTRUCTION,
    PRIORITY_ROUTINE,
    PRIORITY_STAT,
    ExplainRequest,
    ExplainSettings,
    Image,
    InversionSettings,
    MapRequest,
    ModelSelector,
    Tensor,
)
from medxgan.v1.explanation_pb2_grpc import ExplanationServiceStub

ROOT = Path(__file__).parents[1]
ROOMS = ("protos", "bundle", "server", "client", "training", "export", "evaluation")
MAPS = (MAP_KIND_RECONSTRUCTION, MAP_KIND_NEGATIVE_REALIZATION, MAP_KIND_DIFFERENCE)
START_SECONDS = 60.0
PICTURES = 32

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Order:
    """How one explanation is asked for.

    Attributes:
        steps: of the inversion; None: the bundle's default.
        urgent: whether it goes before those that are not, where the server knows of that.
    """

    steps: int | None = None
    urgent: bool = False


class Ask(Protocol):
    """Asks a server for an explanation of a picture."""

    def __call__(self, picture: Picture, order: Order = ...) -> Awaitable[object]:
        """The answer."""
        ...


ROUTINE = Order()


@dataclass(frozen=True)
class Target:
    """A server under load.

    Attributes:
        name: in the report.
        process: of the server; its children count with it.
        connect: gives a function that asks it.
    """

    name: str
    process: int
    connect: Callable[[], AbstractAsyncContextManager[Ask]]


def sample_pictures() -> list[Picture]:
    """Smooth pictures with some noise, such as a film is."""
    random = np.random.default_rng(0)
    rows, columns = np.mgrid[0:256, 0:256] / 256
    made = []
    for _ in range(PICTURES):
        a, b, c = random.uniform(1, 4, 3)
        waves = np.sin(a * rows * np.pi) * np.cos(b * columns * np.pi) + 0.5 * np.sin(c * (rows + columns) * np.pi)
        made.append(np.clip(128 + 60 * waves + random.normal(0, 4, waves.shape), 0, 255).astype(np.uint8))
    return made


@contextmanager
def medxgan(
    name: str, bundle: Path, rooms: Path, threads: int, waiting: int, options: Sequence[str] = ()
) -> Iterator[Target]:
    """`medxgan serve` of the checkout in the folder `rooms`, with further options."""
    with tempfile.TemporaryDirectory() as models:
        shutil.copytree(bundle, Path(models) / bundle.parent.name / bundle.name)
        command, environment = medxgan_command(rooms, Path(models), threads)
        limits = ["--maximum-waiting", str(waiting), "--caller-share", "1"]
        with started([*command, *limits, *options], environment, '"serving"') as (process, line):
            address = line.partition('"address": "')[2].partition('"')[0]
            yield Target(name, process, lambda: asking(address, bundle.parent.name))


def medxgan_command(rooms: Path, models: Path, threads: int) -> tuple[list[object], dict[str, str]]:
    """`medxgan serve` of the checkout in the folder `rooms`: command and environment."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(str(rooms / room) for room in ROOMS)}
    where = ["--models", models, "--address", "127.0.0.1:0", "--threads", threads, "--log-format", "json"]
    return [Path(sys.executable).with_name("medxgan"), "serve", *where], environment


@contextmanager
def eager(run: Path, bundle: Path, threads: int) -> Iterator[Target]:
    """PyTorch eager behind gRPC, one image after the other: `load_eager.py`."""
    command = [sys.executable, Path(__file__).with_name("load_eager.py"), run, bundle, str(threads)]
    with started(command, dict(os.environ), "serving") as (process, line):
        yield Target("PyTorch eager", process, lambda: asking(line.split()[1], bundle.parent.name))


@contextmanager
def triton(python: Path, bundle: Path, threads: int) -> Iterator[Target]:
    """NVIDIA Triton with its dynamic batcher, the inversion being in its Python backend: `load_triton_model.py`.

    Args:
        python: of an environment with `nvidia-pytriton`, which holds a tritonserver for the CPU, and `onnxruntime`.
        bundle: that is served.
        threads: within an operator.
    """
    asked = [python, "-c", "import pytriton, sys; print(pytriton.__path__[0]); print(*sys.version_info[:2], sep='.')"]
    folder, version = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.split()
    server = Path(folder) / "tritonserver"
    with tempfile.TemporaryDirectory() as temporary:
        backends = Path(temporary) / "backends"
        shutil.copytree(server / "backends", backends)
        stub = server / "python_backend_stubs" / version / "triton_python_backend_stub"
        shutil.copy(stub, backends / "python")
        model = Path(temporary) / "models" / "inversion"
        (model / "1").mkdir(parents=True)
        shutil.copy(Path(__file__).with_name("load_triton_model.py"), model / "1" / "model.py")
        (model / "config.pbtxt").write_text(_TRITON_CONFIG.format(bundle=bundle.resolve(), threads=threads))
        site = python.parent.parent / "lib" / f"python{version}" / "site-packages"
        libraries = f"{site / 'nvidia_pytriton.libs'}:{_library_folder(python)}"
        environment = os.environ | {
            "LD_LIBRARY_PATH": libraries,
            "PYTHONPATH": str(site),
            "PATH": f"{python.parent}:{os.environ['PATH']}",
        }
        ports = ["--http-port=18080", "--grpc-port=18081", "--metrics-port=18082"]
        options = [f"--model-repository={model.parent}", f"--backend-directory={backends}", *ports]
        with started([server / "bin" / "tritonserver", *options], environment, "Started GRPCInferenceService") as (
            process,
            _,
        ):
            time.sleep(1)
            yield Target("Triton", process, lambda: asking_triton("127.0.0.1:18081"))


@asynccontextmanager
async def asking(address: str, model: str) -> AsyncIterator[Ask]:
    """Asks a server of the contract for explanations."""
    options = [("grpc.max_receive_message_length", -1)]
    async with grpc.aio.insecure_channel(address, options=options) as channel:
        stub = ExplanationServiceStub(channel)  # type: ignore[no-untyped-call]

        def ask(picture: Picture, order: Order = ROUTINE) -> Awaitable[object]:
            tensor = Tensor(shape=picture.shape, data_type=DATA_TYPE_UINT8, data=picture.tobytes())
            request = ExplainRequest(
                model=ModelSelector(name=model),
                image=Image(tensor=tensor),
                maps=[MapRequest(kind=kind) for kind in MAPS],
                settings=ExplainSettings(inversion=InversionSettings(steps=order.steps)),
                priority=PRIORITY_STAT if order.urgent else PRIORITY_ROUTINE,
            )
            return stub.Explain(request)  # type: ignore[no-any-return]

        yield ask


@asynccontextmanager
async def asking_triton(address: str) -> AsyncIterator[Ask]:
    """Asks Triton, by NVIDIA's own client."""
    from tritonclient.grpc import InferInput
    from tritonclient.grpc.aio import InferenceServerClient

    async with InferenceServerClient(address) as client:

        async def ask(picture: Picture, order: Order = ROUTINE) -> object:
            film, steps = InferInput("image", [1, *picture.shape], "UINT8"), InferInput("steps", [1, 1], "INT32")
            film.set_data_from_numpy(picture[np.newaxis])
            steps.set_data_from_numpy(np.array([[order.steps or 0]], np.int32))
            answer = await client.infer("inversion", [film, steps], priority=1 if order.urgent else 2)
            return answer.as_numpy("difference")

        yield ask


@contextmanager
def started(
    command: Sequence[object], environment: dict[str, str], ready: str, seconds: float = START_SECONDS
) -> Iterator[tuple[int, str]]:
    """A process from the line on that says that it is ready, and that line; it has these seconds for it."""
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(list(map(str, command)), env=environment, stdout=output, stderr=output)
        try:
            deadline = time.monotonic() + seconds
            while True:
                output.seek(0)
                said = output.read()
                line = next((line for line in said.splitlines() if ready in line), None)
                if line is not None:
                    break
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"{command[0]} did not start:\n{said[-2000:]}")
                time.sleep(0.01)
            yield process.pid, line
        finally:
            process.terminate()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()


def _library_folder(python: Path) -> str:
    asked = [python, "-c", "import sysconfig; print(sysconfig.get_config_var('LIBDIR'))"]
    return subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()


_TRITON_CONFIG = """
name: "inversion"
backend: "python"
max_batch_size: 8
input [
  {{ name: "image", data_type: TYPE_UINT8, dims: [-1, -1] }},
  {{ name: "steps", data_type: TYPE_INT32, dims: [1] }}
]
output [
  {{ name: "reconstruction", data_type: TYPE_FP32, dims: [-1, -1] }},
  {{ name: "negative_realization", data_type: TYPE_FP32, dims: [-1, -1] }},
  {{ name: "difference", data_type: TYPE_FP32, dims: [-1, -1] }}
]
dynamic_batching {{
  max_queue_delay_microseconds: 1000
  priority_levels: 2
  default_priority_level: 2
}}
instance_group [{{ count: 1, kind: KIND_CPU }}]
parameters [
  {{ key: "bundle", value: {{ string_value: "{bundle}" }} }},
  {{ key: "threads", value: {{ string_value: "{threads}" }} }}
]
"""
