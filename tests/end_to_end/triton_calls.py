"""What an unmodified client of Triton asks a server for, in few words."""

import io
import json
import queue
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import tritonclient.grpc as triton
from PIL import Image
from tritonclient.utils import InferenceServerException, shared_memory

MODEL = "phantom"
OUTPUTS = {
    *("original", "reconstruction", "negative_realization", "difference", "colorized"),
    *("score", "positive", "verdict", "reasons", "details"),
}
SECONDS = 60


@dataclass(frozen=True)
class Target:
    """A server.

    Attributes:
        name: "medxgan" or "Triton".
        address: of its gRPC.
        streaming: the model that tells of its progress.
        repository: of models, where it has one.
    """

    name: str
    address: str
    streaming: str
    repository: Path = Path()


def slice_of_noise() -> np.ndarray:
    rows, columns = np.mgrid[0:48, 0:60]
    levels: np.ndarray = (120 + 90 * np.sin(rows / 9) * np.cos(columns / 7)).astype(np.uint8)
    return levels


def png() -> bytes:
    file = io.BytesIO()
    Image.fromarray(slice_of_noise()).save(file, "PNG")
    return file.getvalue()


def film(content: bytes | None = None, name: str = "image") -> list[triton.InferInput]:
    tensor = triton.InferInput(name, [1], "BYTES")
    tensor.set_data_from_numpy(np.array([png() if content is None else content], np.object_))
    return [tensor]


def levels() -> list[triton.InferInput]:
    values = slice_of_noise()
    tensor = triton.InferInput("image", list(values.shape), "UINT8")
    tensor.set_data_from_numpy(values)
    return [tensor]


def outputs(*names: str) -> list[triton.InferRequestedOutput]:
    return [triton.InferRequestedOutput(name) for name in names]


def details(result: triton.InferResult) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(result.as_numpy("details")[0])
    return found


def status(call: Callable[[], object]) -> str:
    """The status that a call ends with."""
    try:
        call()
    except InferenceServerException as error:
        return str(error.status() or "an error in the stream").removeprefix("StatusCode.")
    return "OK"


def streamed(client: triton.InferenceServerClient, *requests: dict[str, Any]) -> list[Any]:
    """The responses and errors of one stream, in the order in which they come, until each request has its last."""
    answers: queue.Queue[Any] = queue.Queue()
    client.start_stream(lambda result, error: answers.put(error if result is None else result))
    try:
        for request in requests:
            client.async_stream_infer(**request)
        found: list[Any] = []
        left = len(requests)
        while left:
            found.append(answers.get(timeout=SECONDS))
            left -= isinstance(found[-1], InferenceServerException) or is_last(found[-1])
        return found
    finally:
        client.stop_stream()


def is_last(result: triton.InferResult) -> bool:
    last: bool = result.get_response().parameters["triton_final_response"].bool_param
    return last


def names_of(result: triton.InferResult) -> set[str]:
    return {output.name for output in result.get_response().outputs}


def count(client: triton.InferenceServerClient, which: str) -> int:
    (statistics,) = client.get_inference_statistics(MODEL).model_stats
    found: int = getattr(statistics.inference_stats, which).count
    return found


def counted(client: triton.InferenceServerClient, which: str, call: Callable[[], object]) -> int:
    before = count(client, which)
    status(call)
    return count(client, which) - before


class Region:
    """A region of shared memory, known to a server while its context lasts."""

    def __init__(self, client: triton.InferenceServerClient, size: int) -> None:
        self.client, self.size, self.name = client, size, f"medxgan_{uuid.uuid4().hex}"

    def __enter__(self) -> Self:
        self.handle = shared_memory.create_shared_memory_region(self.name, f"/{self.name}", self.size)
        self.client.register_system_shared_memory(self.name, f"/{self.name}", self.size)
        return self

    def __exit__(self, *_: object) -> None:
        # Triton lets go of a request a moment after it has answered.
        end = time.monotonic() + 60
        while status(lambda: self.client.unregister_system_shared_memory(self.name)) != "OK":
            assert time.monotonic() < end
            time.sleep(0.05)
        shared_memory.destroy_shared_memory_region(self.handle)


def shared_image_and_map(client: triton.InferenceServerClient) -> bool:
    """Whether an image from shared memory gives the same map, put into shared memory, as one in the message."""
    expected = client.infer(MODEL, film(), outputs=outputs("difference"), parameters={"steps": 2})
    content = np.frombuffer(len(png()).to_bytes(4, "little") + png(), np.uint8)
    with Region(client, len(png()) + 4) as read, Region(client, 32 * 32 * 4) as written:
        shared_memory.set_shared_memory_region(read.handle, [content])
        image = triton.InferInput("image", [1], "BYTES")
        image.set_shared_memory(read.name, len(png()) + 4)
        wanted = triton.InferRequestedOutput("difference")
        wanted.set_shared_memory(written.name, 32 * 32 * 4)
        client.infer(MODEL, [image], outputs=[wanted], parameters={"steps": 2})
        found = shared_memory.get_contents_as_numpy(written.handle, np.float32, [32, 32])
        return bool(np.allclose(found, expected.as_numpy("difference"), atol=1e-6))


def region_is_listed(client: triton.InferenceServerClient) -> bool:
    with Region(client, 64) as region:
        listed = client.get_system_shared_memory_status().regions
    return listed[region.name].byte_size == 64 and region.name not in client.get_system_shared_memory_status().regions


def stream_of_one(client: triton.InferenceServerClient, target: Target, **more: Any) -> list[triton.InferResult]:
    request = {"model_name": target.streaming, "inputs": film(), "request_id": "one", "parameters": {"steps": 20}}
    found: list[triton.InferResult] = streamed(client, request | more)
    return found


def progress_of(client: triton.InferenceServerClient, target: Target) -> list[int]:
    """Steps taken, of every response before the result."""
    *told, _ = stream_of_one(client, target)
    if target.name == "medxgan":
        return [each.get_response().parameters["steps_taken"].int64_param for each in told]
    return [int(each.as_numpy("steps_taken")[0]) for each in told]


def error_amid_stream(client: triton.InferenceServerClient, target: Target) -> list[str]:
    """How three requests of one stream end, the second of which is wrong."""
    request = {"model_name": target.streaming, "inputs": film()}
    steps = {"first": 1, "wrong": 0, "last": 1}
    asked = (request | {"request_id": name, "parameters": {"steps": each}} for name, each in steps.items())
    return sorted(
        "an error" if isinstance(each, InferenceServerException) else each.get_response().id
        for each in streamed(client, *asked)
        if isinstance(each, InferenceServerException) or is_last(each)
    )


def configured(client: triton.InferenceServerClient) -> Any:
    return client.get_model_config(MODEL).config
