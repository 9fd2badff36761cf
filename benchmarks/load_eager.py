"""PyTorch eager behind gRPC: the inversion by autograd, one image after the other.

    python benchmarks/load_eager.py RUN BUNDLE THREADS

Answers `Explain` of the contract with three maps, and prints "serving HOST:PORT".
"""

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import numpy as np
import torch

from medxgan.bundle import load_bundle
from medxgan.training.inversion import encoded_start, invert
from medxgan.training.runs import load_trained_model
from medxgan.v1 import explanation_pb2, explanation_pb2_grpc
from medxgan.v1.bundle_pb2 import DATA_TYPE_FLOAT32


class EagerService(explanation_pb2_grpc.ExplanationServiceServicer):
    """Explains with the networks of a run, by the settings of a bundle."""

    def __init__(self, run: Path, bundle: Path) -> None:
        self._model = load_trained_model(run)
        self._settings = load_bundle(bundle).description.inversion
        self._thread = ThreadPoolExecutor(1)

    async def Explain(  # noqa: D102, N802 - named and described by explanation.proto
        self, request: explanation_pb2.ExplainRequest, _: grpc.aio.ServicerContext
    ) -> explanation_pb2.ExplainResponse:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._explain, request)

    def _explain(self, request: explanation_pb2.ExplainRequest) -> explanation_pb2.ExplainResponse:
        tensor, model, settings = request.image.tensor, self._model, self._settings
        film = np.frombuffer(tensor.data, np.uint8).reshape(tuple(tensor.shape)).astype(np.float32)
        with torch.no_grad():
            x = model.preprocess(torch.from_numpy(film)[None, None], torch.zeros(1))
            start = encoded_start(model.encoder, x)
        found = invert(
            model.generator,
            model.classifier,
            x,
            start,
            steps=request.settings.inversion.steps or settings.default_steps,
            learning_rate=settings.default_learning_rate,
            reconstruction_weight=settings.default_reconstruction_weight,
            betas=(settings.beta1, settings.beta2),
            pathology_rate=settings.pathology_rate if settings.HasField("pathology_rate") else 1.0,
        )
        with torch.no_grad():
            reconstruction, negative = model.generator.realize(found.z)
        maps = []
        for values in (reconstruction, negative, reconstruction - negative):
            drawn = values[0, 0].numpy()
            content = explanation_pb2.Tensor(shape=drawn.shape, data_type=DATA_TYPE_FLOAT32, data=drawn.tobytes())
            maps.append(explanation_pb2.Map(tensor=content))
        return explanation_pb2.ExplainResponse(maps=maps)


async def main(run: Path, bundle: Path, threads: int) -> None:
    """Serve until the process is ended."""
    torch.set_num_threads(threads)
    server = grpc.aio.server()
    explanation_pb2_grpc.add_ExplanationServiceServicer_to_server(EagerService(run, bundle), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"serving 127.0.0.1:{port}", flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])))
