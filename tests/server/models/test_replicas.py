"""Several engines behind one model: each request goes to the one that has least to do."""

import asyncio
import os
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from tests.server.linear import LinearEngine, linear_bundle

from medxgan.bundle import LoadedBundle
from medxgan.server.engine import replication
from medxgan.server.engine.port import Engine, Execution
from medxgan.server.engine.replication import Replication, open_engines, shared_out
from medxgan.server.engine.settings import EngineSettings
from medxgan.server.errors import BusyError
from medxgan.server.models.admission import ModelCapacity
from medxgan.server.models.served_model import ServedModel


@pytest.fixture
def engines() -> list[LinearEngine]:
    return [LinearEngine(), LinearEngine()]


@pytest.fixture
def model(engines: list[LinearEngine]) -> ServedModel:
    bundle = LoadedBundle(Path(), linear_bundle(), "0" * 64)
    return ServedModel(bundle, engines, ModelCapacity(maximum_rows=4, maximum_waiting=2, caller_share=1.0))


def test_a_request_goes_where_least_is_to_be_done(model):
    first, second = model.replicas
    with ExitStack() as held:
        taken = [held.enter_context(model.place(cost)) for cost in (5, 1, 1, 1, 1)]
        assert taken == [first, second, second, second, second]
        assert (first.load, second.load) == (5, 4)
    assert (first.load, second.load) == (0, 0)


def test_a_request_that_fails_is_no_load_any_more(model):
    with pytest.raises(ZeroDivisionError), model.place(3):
        raise ZeroDivisionError
    assert [replica.load for replica in model.replicas] == [0, 0]


def test_there_is_room_for_a_full_batch_on_each(model):
    with ExitStack() as held:
        for caller in range(4 * 2 + 2):
            held.enter_context(model.admission.enter(str(caller)))
        with pytest.raises(BusyError), model.admission.enter("one more"):
            pytest.fail("let in beside two full batches and those who wait")


def test_replicas_invert_at_the_same_time(model, engines, explaining):
    """Each waits in its own block for the test: with one thread for both the second would never get there."""

    async def explain_both() -> list[np.ndarray]:
        await model.start()
        try:
            for engine in engines:
                engine.gate.clear()
            image = engines[0].image(0.3, -0.2, 0.1, 0.4, 0.5, -0.6)
            with ExitStack() as held:
                taken = [ServedModelOf(model, held.enter_context(model.place())) for _ in engines]
                tasks = [asyncio.create_task(explaining(each, image, inversion={"steps": 40})) for each in taken]
                for engine in engines:
                    assert await asyncio.to_thread(engine.at_gate.wait, 60)
                for engine in engines:
                    engine.gate.set()
                return [explanation.inverted.z for explanation in await asyncio.gather(*tasks)]
        finally:
            await model.stop()

    one, other = asyncio.run(explain_both())
    np.testing.assert_array_equal(one, other)
    assert not engines[0].threads & engines[1].threads


class ServedModelOf:
    """What `explaining` asks of a model, answered by one replica."""

    def __init__(self, model, replica) -> None:
        self.bundle, self.explainer, self.networks = model.bundle, replica.explainer, replica.networks


class OnDevice:
    """An engine that remembers its settings."""

    def __init__(self, settings: EngineSettings, provider: str, is_shared: bool = False) -> None:
        self.settings = settings
        self.execution = Execution("onnxruntime", provider, settings.provider)
        self.is_shared = is_shared


@pytest.mark.parametrize(
    ("provider", "devices"),
    [
        ("CUDAExecutionProvider", [0, 0, 3, 3]),
        # The CPU is one device, however many are named.
        ("CPUExecutionProvider", [0, 0]),
        ("cpu", [0, 0]),
    ],
)
def test_every_device_gets_its_replicas(monkeypatch, provider, devices):
    def opened(bundle: object, settings: EngineSettings) -> Engine:
        return OnDevice(settings, provider)

    monkeypatch.setattr(replication, "open_engine", opened)
    engines = open_engines(None, Replication(EngineSettings("auto", 2), devices=(0, 3), replicas=2))
    assert [engine.settings.device for engine in engines] == devices
    assert {engine.settings.threads for engine in engines} == {2}
    assert len(set(engines)) == len(devices)


def test_what_may_be_shared_is_opened_once(monkeypatch):
    monkeypatch.setattr(
        replication, "open_engine", lambda bundle, settings: OnDevice(settings, "CPUExecutionProvider", is_shared=True)
    )
    engines = open_engines(None, Replication(EngineSettings("auto", 1), replicas=3))
    assert len(engines) == 3
    assert len(set(engines)) == 1


def test_a_shared_engine_is_warmed_up_once():
    class Counted(LinearEngine):
        warmed = 0

        def warm_up(self) -> None:
            self.warmed += 1

    async def started() -> bool:
        await model.start()
        try:
            return model.is_running
        finally:
            await model.stop()

    shared, other = Counted(), Counted()
    bundle = LoadedBundle(Path(), linear_bundle(), "0" * 64)
    model = ServedModel(bundle, [shared, shared, other], ModelCapacity(maximum_rows=4))
    assert asyncio.run(started())
    assert (shared.warmed, other.warmed) == (1, 1)


@pytest.mark.parametrize(
    ("asked", "shared"),
    [
        (("auto", 4, 0), (1, 4)),
        (("cpu", 4, 1), (4, 1)),
        (("cpu", 4, 2), (2, 2)),
        (("cpu", 1, 3), (1, 3)),
        # PyTorch has threads of its own.
        (("torch", 4, 0), (4, 1)),
        (("torch", 0, 2), (0, 2)),
    ],
)
def test_threads_are_shared_out_among_replicas(asked, shared):
    assert shared_out(*asked) == shared


def test_by_default_every_core_has_a_replica():
    assert shared_out("auto", 0, 0) == (1, len(os.sched_getaffinity(0)))


@pytest.mark.parametrize("provider", ["auto", "cuda"])
def test_an_accelerator_has_one(monkeypatch, provider):
    available = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(replication.ort, "get_available_providers", lambda: available)
    assert shared_out(provider, 8, 0) == (8, 1)
