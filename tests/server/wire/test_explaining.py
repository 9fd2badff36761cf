"""The way of a request to its explanation: where its time goes, and where it ends early."""

import asyncio
import time
from contextlib import AsyncExitStack

import numpy as np
import pytest
from tests.server.linear import SIDE

from medxgan.bundle import LoadedBundle
from medxgan.server.errors import BusyError
from medxgan.server.images.limits import ImageLimits
from medxgan.server.images.sent import SentImage
from medxgan.server.images.workers.pool import DecoderPool
from medxgan.server.models.admission import ModelCapacity
from medxgan.server.models.on_demand import OnDemand
from medxgan.server.models.repository import ModelRepository
from medxgan.server.models.served_model import ServedModel
from medxgan.server.settings import ServerSettings
from medxgan.server.stopwatch import Phase
from medxgan.server.telemetry.statistics import Statistics
from medxgan.server.telemetry.telemetry import Telemetry
from medxgan.server.wire.descriptions import server_description
from medxgan.server.wire.explaining import Explaining
from medxgan.server.wire.service import ExplanationService
from medxgan.server.wire.uploads import UploadLimits, Uploads
from medxgan.v1 import bundle_pb2
from medxgan.v1.explanation_pb2 import ExplainRequest, Image, Tensor

SMALL_TENSORS = 16
"""That are films at a time."""

LEVELS = np.random.default_rng(1).integers(0, 256, (SIDE, SIDE), np.uint8)
IMAGE = Image(tensor=Tensor(shape=LEVELS.shape, data_type=bundle_pb2.DATA_TYPE_UINT8, data=LEVELS.tobytes()))


class Context:
    """Of a call."""

    def peer(self) -> str:
        return "ipv4:127.0.0.1:50000"


def test_waiting_for_the_turn_to_be_decoded_is_waiting(linear_engine, linear_loaded: LoadedBundle) -> None:
    async def scenario() -> None:
        repository = ModelRepository([ServedModel(linear_loaded, [linear_engine], ModelCapacity())])
        uploads, telemetry, statistics = Uploads(UploadLimits(8, 8, 2**26, 2**26, 30)), Telemetry(), Statistics()
        decoder = DecoderPool(ImageLimits(100, 10_000, 100_000))  # not started: tensors need no process
        explaining = Explaining(repository, uploads, decoder, telemetry)
        service = ExplanationService(repository, explaining, statistics, server_description(ServerSettings()))
        await repository.start()
        try:
            async with AsyncExitStack() as others:
                for _ in range(SMALL_TENSORS):
                    await others.enter_async_context(decoder.film(SentImage.of(IMAGE)))
                asked = asyncio.create_task(service.Explain(ExplainRequest(image=IMAGE), Context()))
                while not decoder._small_tensor_places[False]._waiting:
                    await asyncio.sleep(0)
                began = time.perf_counter()
                assert statistics.pending() == {("linear", "1"): 1}
                await asyncio.sleep(0.05)
                waited = time.perf_counter() - began
            timing = (await asked).timing
        finally:
            await repository.stop()
        assert timing.queued_ms >= 1000 * waited
        value = telemetry.metrics.registry.get_sample_value
        decoding = value("medxgan_decode_seconds_sum", {"form": "tensor"})
        opening = value("medxgan_phase_seconds_sum", {"model": "linear/1", "phase": Phase.PREPROCESS.value})
        assert decoding is not None
        assert opening is not None
        assert decoding <= opening, "a part of it, in which nothing was waited for"

    asyncio.run(asyncio.wait_for(scenario(), 60))


def test_a_model_that_is_not_loaded_yet_may_have_room(linear_engine, linear_loaded: LoadedBundle) -> None:
    async def scenario() -> None:
        model = ServedModel(linear_loaded, [linear_engine], ModelCapacity(maximum_rows=1, maximum_waiting=0))
        repository = ModelRepository([model])
        uploads, telemetry = Uploads(UploadLimits(8, 8, 2**26, 2**26, 30)), Telemetry()
        decoder = DecoderPool(ImageLimits(100, 10_000, 100_000))
        on_demand = OnDemand([linear_loaded], repository, lambda name: asyncio.sleep(0))
        with model.admission.enter("another"):
            with pytest.raises(BusyError):
                Explaining(repository, uploads, decoder, telemetry).check_room("one")
            Explaining(repository, uploads, decoder, telemetry, on_demand).check_room("one")

    asyncio.run(scenario())
