"""An inference holds its model for as long as it is explained, however slow its caller reads."""

import asyncio
from collections.abc import AsyncIterator

import numpy as np
from tests.server.linear import SIDE

from medxgan.bundle import LoadedBundle
from medxgan.server.explanation.explain import Progress
from medxgan.server.images.limits import ImageLimits
from medxgan.server.images.workers.pool import DecoderPool
from medxgan.server.models.admission import ModelCapacity
from medxgan.server.models.repository import ModelRepository
from medxgan.server.models.served_model import ServedModel
from medxgan.server.open_inference.inference import Inferences
from medxgan.server.open_inference.inputs import detached
from medxgan.server.open_inference.messages import inference
from medxgan.server.open_inference.models import Catalogue
from medxgan.server.open_inference.shared_memory import SharedMemory
from medxgan.server.telemetry.statistics import Statistics
from medxgan.server.telemetry.telemetry import Telemetry
from medxgan.server.wire.explaining import Explaining
from medxgan.server.wire.uploads import UploadLimits, Uploads


def request() -> inference.ModelInferRequest:
    asked = inference.ModelInferRequest(model_name="linear")
    levels = np.random.default_rng(1).integers(0, 256, (SIDE, SIDE), np.uint8)
    asked.inputs.add(name="image", datatype="UINT8", shape=levels.shape)
    asked.raw_input_contents.append(levels.tobytes())
    asked.parameters["steps"].int64_param = 20
    return asked


async def sent(content: bytes) -> AsyncIterator[bytes]:
    yield content


def test_who_does_not_read_the_progress_holds_the_model_no_longer(linear_engine, linear_loaded: LoadedBundle) -> None:
    async def scenario() -> None:
        model = ServedModel(linear_loaded, [linear_engine], ModelCapacity())
        repository = ModelRepository([model])
        uploads = Uploads(UploadLimits(8, 8, 2**26, 2**26, 30))
        decoder = DecoderPool(ImageLimits(100, 10_000, 100_000))  # not started: tensors need no process
        explaining = Explaining(repository, uploads, decoder, Telemetry())
        inferences = Inferences(explaining, uploads, SharedMemory(allowed=False), Statistics(), 2**20)
        told, read = asyncio.Event(), asyncio.Event()

        async def tell(progress: Progress) -> None:
            told.set()
            await read.wait()

        async def infer() -> inference.ModelInferResponse:
            asked, image = detached(request())
            async with uploads.received(sent(image), "caller") as upload:
                upload.image_bytes = upload.take()
                return await inferences.infer(asked, Catalogue(repository).find("linear", ""), "caller", tell)

        await repository.start()
        try:
            inferring = asyncio.create_task(infer())
            await told.wait()
            await model.idle()
            assert not inferring.done()
            read.set()
            assert (await inferring).outputs
        finally:
            await repository.stop()

    asyncio.run(asyncio.wait_for(scenario(), 60))
