"""A model of Triton's Python backend that hands requests on to a medxgan server, which it starts and ends.

Written into a model repository as it is. Triton's Python loads it: it needs NumPy and `tritonclient[grpc]` there, and
nothing of medxgan. That has a Python and a process of its own, whose packages Triton's need not suit.
"""

import asyncio
import json
import os
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
from tritonclient.grpc import InferInput, InferRequestedOutput
from tritonclient.grpc.aio import InferenceServerClient
from tritonclient.utils import InferenceServerException

PYTHON = "MEDXGAN_PYTHON"
"""Variable of the environment that names the Python with medxgan; python3 where there is none."""

START_SECONDS = 120.0
WATCH_SECONDS = 0.1
"""Between two looks whether a caller has gone."""

ERRORS = {
    "StatusCode.INVALID_ARGUMENT": "INVALID_ARG",
    "StatusCode.NOT_FOUND": "NOT_FOUND",
    "StatusCode.RESOURCE_EXHAUSTED": "UNAVAILABLE",
    "StatusCode.DEADLINE_EXCEEDED": "UNAVAILABLE",
    "StatusCode.UNAVAILABLE": "UNAVAILABLE",
    "StatusCode.UNIMPLEMENTED": "UNSUPPORTED",
}
"""Triton's name for a status of the server, of which it has fewer; INTERNAL for any other."""

PROGRESS = ("steps_taken", "steps_total", "reconstruction_mse", "classification_loss", "phase")
"""Parameters of the server's responses that tell of progress."""

Answer = dict[str, Any]
"""What the client's methods take of one request."""


class TritonPythonModel:
    """Named and called by Triton. It takes requests and returns; each is answered when it is done."""

    def initialize(self, args: dict[str, str]) -> None:
        """Start the server, and wait until its models are warm.

        Raises:
            TritonModelException: it did not start; what it wrote is in Triton's log.
        """
        configuration = json.loads(args["model_config"])
        self._name = configuration["parameters"]["medxgan_model"]["string_value"]
        self._version = args["model_version"]
        self._tells = pb_utils.using_decoupled_model_transaction_policy(configuration)
        self._folder = tempfile.TemporaryDirectory(prefix="medxgan-")
        self._address = f"unix:{self._folder.name}/socket"
        bundles = Path(args["model_repository"]) / self._version / "bundles"
        python = os.environ.get(PYTHON, "python3")
        self._command = [python, "-m", "medxgan.server.triton.child", str(bundles), self._address]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result()

    def execute(self, requests: list[Any]) -> None:
        """Begin with requests, which so share batches."""
        for request in requests:
            # A request's tensors are there until this returns, and no longer.
            image = InferInput("image", [1], "BYTES")
            image.set_data_from_numpy(pb_utils.get_input_tensor_by_name(request, "image").as_numpy())
            asked = {
                "model_name": self._name,
                "model_version": self._version,
                "inputs": [image],
                "outputs": [
                    InferRequestedOutput(name) for name in request.requested_output_names() if name not in PROGRESS
                ],
                "parameters": json.loads(request.parameters() or "{}"),
                "timeout": request.timeout() or None,
            }
            answering = self._answer(request.get_response_sender(), asked)
            asyncio.run_coroutine_threadsafe(answering, self._loop)

    def finalize(self) -> None:
        """End the server."""
        asyncio.run_coroutine_threadsafe(self._client.close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._server.communicate()  # ends its input, and waits
        self._folder.cleanup()

    async def _start(self) -> None:
        self._starting = asyncio.Lock()
        self._launch()
        self._client = InferenceServerClient(self._address)
        await self._ready()

    def _launch(self) -> None:
        # It ends when its standard input does, however this process comes to end.
        self._server = subprocess.Popen(self._command, stdin=subprocess.PIPE, env=_environment())  # noqa: S603 - ours

    async def _ready(self) -> None:
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                if await self._client.is_server_ready(client_timeout=1):
                    return
            except InferenceServerException:
                pass  # it does not listen yet
            if self._server.poll() is not None or time.monotonic() > end:
                self._server.kill()
                raise pb_utils.TritonModelException(
                    f"the medxgan server did not start; {PYTHON} should name a Python with medxgan[server]"
                )
            await asyncio.sleep(0.1)

    async def _running(self) -> None:
        """See that there is a server: one that has ended is started again."""
        async with self._starting:
            if self._server.poll() is not None:
                pb_utils.Logger.log_warn("medxgan: the server has ended, and is started again")
                self._launch()
                await self._ready()

    async def _answer(self, sender: Any, asked: Answer) -> None:
        try:
            await self._running()
            task = asyncio.ensure_future(self._told(sender, asked) if self._tells else self._client.infer(**asked))
            while not task.done():
                await asyncio.wait({task}, timeout=WATCH_SECONDS)
                if sender.is_cancelled():
                    task.cancel()
            last = _response(await task)
        except asyncio.CancelledError:
            last = _refusal("the caller has gone", "CANCELLED")
        except InferenceServerException as error:
            last = _refusal(error.message(), ERRORS.get(str(error.status()), "INTERNAL"))
        except Exception as error:  # noqa: BLE001 - or Triton would wait for an answer
            pb_utils.Logger.log_error(f"medxgan: {type(error).__name__}")
            last = _refusal("internal error; the server's log says more", "INTERNAL")
        sender.send(last, flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)

    async def _told(self, sender: Any, asked: Answer) -> Any:
        """The result, once the caller has been told of all progress before it."""

        async def requests() -> Any:
            yield asked

        results = self._client.stream_infer(requests())
        try:
            async for result, error in results:
                if error is not None:
                    raise error
                response = result.get_response()
                if response.outputs:
                    return result
                sender.send(_progress(response.parameters))
            raise InferenceServerException("the stream ended without a result")
        finally:
            results.cancel()


def _environment() -> dict[str, str]:
    """Without the libraries and modules that Triton brings for its own Python."""
    return {name: value for name, value in os.environ.items() if name not in ("LD_LIBRARY_PATH", "PYTHONHOME")}


def _response(result: Any) -> Any:
    names = [output.name for output in result.get_response().outputs]
    return pb_utils.InferenceResponse(
        [pb_utils.Tensor(name, np.ascontiguousarray(result.as_numpy(name))) for name in names]
    )


def _progress(parameters: Any) -> Any:
    """How far an inversion is. Not every Triton has parameters of responses, so that they become tensors."""
    types = {"int64_param": np.int64, "double_param": np.float64, "string_param": np.object_}
    tensors = []
    for name in PROGRESS:
        kind = parameters[name].WhichOneof("parameter_choice")
        tensors.append(pb_utils.Tensor(name, np.array([getattr(parameters[name], kind)], types[kind])))
    return pb_utils.InferenceResponse(tensors)


def _refusal(text: str, code: str) -> Any:
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(text, getattr(pb_utils.TritonError, code)))
