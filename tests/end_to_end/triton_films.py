"""Films as inputs of the tiny bundle's models, for an unmodified client of Triton, and what it hears in return."""

import queue
from typing import Self

import numpy as np
import pytest
import tritonclient.grpc as triton
from tests.end_to_end.triton_calls import is_last
from tritonclient.utils import InferenceServerException

LEVELS = np.random.default_rng(7).integers(0, 256, (40, 60), np.uint8)
HOURS = {"steps": 100_000_000}


def film(content: np.ndarray | bytes, kind: type[triton.InferInput] = triton.InferInput) -> triton.InferInput:
    """The input of a model."""
    if isinstance(content, bytes):
        tensor = kind("image", [1], "BYTES")
        return tensor.set_data_from_numpy(np.array([content], np.object_))
    datatype = {"uint8": "UINT8", "uint16": "UINT16", "float32": "FP32", "float64": "FP64"}[content.dtype.name]
    return kind("image", list(content.shape), datatype).set_data_from_numpy(content)


def refused(client: triton.InferenceServerClient, model: str = "tiny", **asked: object) -> tuple[str, str]:
    """The status and the text of a refusal."""
    asked = {"inputs": [film(LEVELS)], "parameters": {"steps": 2}} | asked
    with pytest.raises(InferenceServerException) as refusal:
        client.infer(model, **asked)
    return refusal.value.status().removeprefix("StatusCode."), refusal.value.message()


class Stream:
    """One stream of a client, and what it has heard."""

    def __init__(self, client: triton.InferenceServerClient) -> None:
        self.client = client
        self.heard: queue.Queue[tuple[triton.InferResult | None, InferenceServerException | None]] = queue.Queue()

    def __enter__(self) -> Self:
        self.client.start_stream(lambda result, error: self.heard.put((result, error)))
        return self

    def __exit__(self, *_: object) -> None:
        self.client.stop_stream()

    def ask(self, model: str = "tiny", **asked: object) -> None:
        self.client.async_stream_infer(model, [film(LEVELS)], **asked)

    def next(self) -> triton.InferResult:
        result, error = self.heard.get(timeout=60)
        assert error is None, error
        return result

    def until_final(self) -> list[triton.InferResult]:
        results = [self.next()]
        while not is_last(results[-1]):
            results.append(self.next())
        return results
