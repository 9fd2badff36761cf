"""Models come and go while a server runs: with real bundles, and with engines that wait for the test."""

import asyncio
import gc
import shutil
import threading
import weakref
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from tests.server.models.houses import LOADER, House, engine_threads, refusal

from medxgan.bundle import LoadedBundle
from medxgan.server.engine.port import FloatArray
from medxgan.server.errors import AuditError, StoppingError, UnknownModelError
from medxgan.server.models.control import Cause
from medxgan.server.models.loading import ModelLoader
from medxgan.server.models.served_model import ServedModel


def test_a_new_version_is_served_once_it_is_warm(house: House) -> None:
    async def check() -> None:
        async with house.serving() as running:
            house.put("lung/10", "second")
            assert running.repository.names() == ["lung/9"]
            await running.control.load("lung")
            assert running.repository.names() == ["lung/9", "lung/10"]
            assert running.model("lung").is_running
            assert running.limitation("lung") == "second", "the highest, where none is named"
            assert running.limitation("lung", "9") == "first"
            assert set(running.states().values()) == {("READY", "")}

    asyncio.run(check())


def test_every_change_is_noted_with_who_made_it(house: House) -> None:
    house.policy = "latest"

    async def check() -> None:
        async with house.serving() as running:
            house.put("lung/10")
            await running.control.load("lung", "operator")
            await running.control.load("lung", "operator")  # which changes nothing
            await running.control.unload("lung", "other")
            house.put("lung/11")
            await running.control.read_again(changed=False, loaded=False)
            call = Cause("call", "operator")
            assert running.noted == [
                (call, "Load", "lung/10"),
                (call, "Unload", "lung/9"),
                (Cause("call", "other"), "Unload", "lung/10"),
                (Cause("signal"), "Load", "lung/11"),
            ]

    asyncio.run(check())


def test_what_can_not_be_noted_does_not_happen(house: House) -> None:
    async def check() -> None:
        async with house.serving() as running:
            house.put("lung/10")
            running.trail_is_full = True
            for change in (running.control.load, running.control.unload):
                assert isinstance(await refusal(change("lung")), AuditError)
                assert running.repository.names() == ["lung/9"]
            await running.control.read_again(changed=True, loaded=False)
            assert running.repository.names() == ["lung/9"]
            running.trail_is_full = False
            await running.control.read_again(changed=True, loaded=False)
            assert running.repository.names() == ["lung/9", "lung/10"]

    asyncio.run(check())


def test_a_policy_lets_the_old_version_out_after_the_new_one_is_in(house: House) -> None:
    house.policy = "latest"

    async def check() -> None:
        async with house.serving() as running:
            house.put("lung/10", "second")
            seen = []
            running.repository.on_change = lambda model, is_served: seen.append((model.bundle.name, is_served))
            await running.control.load("lung")
            assert seen == [("lung/10", True), ("lung/9", False)]
            await running.until("lung/9", "UNAVAILABLE")
            assert running.states() == {"lung/9": ("UNAVAILABLE", "unloaded"), "lung/10": ("READY", "")}

    asyncio.run(check())


@dataclass(frozen=True)
class PatientLoader(ModelLoader):
    """Opens a bundle when the test lets it."""

    may_open: threading.Event = field(default_factory=threading.Event)

    def open(self, bundle: LoadedBundle) -> ServedModel:
        assert self.may_open.wait(60), "the event loop has its turns while the bundle is loaded"
        return super().open(bundle)


def test_there_is_no_moment_without_a_model_and_requests_finish_on_theirs(house: House) -> None:
    loader = house.loader = PatientLoader(LOADER.replication, LOADER.capacity)

    async def check() -> None:
        async with house.serving() as running:
            before = running.model("lung")
            house.put("lung/9", "second")
            loading = asyncio.create_task(running.control.load("lung"))
            with before.held():
                looks = 0
                while not loading.done():
                    assert running.model("lung").is_running
                    looks += 1
                    if looks == 5:
                        loader.may_open.set()
                    await asyncio.sleep(0.001)
                await loading
                assert running.limitation("lung") == "second"
                await asyncio.sleep(0.1)
                assert before.is_running, "a request holds it"
            async with asyncio.timeout(60):
                while before.is_running:
                    await asyncio.sleep(0.005)
            assert running.states() == {"lung/9": ("READY", "")}

    asyncio.run(check())


def test_the_same_bundle_stays_as_it_is(house: House) -> None:
    async def check() -> None:
        async with house.serving() as running:
            before = running.model("lung")
            await running.control.load("lung")
            assert running.model("lung") is before

    asyncio.run(check())


@pytest.fixture
def no_collection() -> Iterator[None]:
    """What is named by nothing any more is freed at once; what is in a cycle is not."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collection")
def test_unloading_answers_what_has_begun_and_gives_its_memory_back(house: House) -> None:
    async def check() -> None:
        async with house.serving() as running:
            house.put("brain/1")
            await running.control.load("brain")
            model = running.model("brain")
            died = [weakref.ref(each) for each in (model, model.replicas[0], model.engine, model.explainer)]
            died += [weakref.ref(session) for _, session in model.engine._graphs]
            with model.held():
                await running.control.unload("brain")
                assert (await refusal(running.control.unload("heart"))).args[0].startswith("no model heart is served")
                with pytest.raises(UnknownModelError, match="no model brain is served; there is lung/9"):
                    running.model("brain")
                assert running.states()["brain/1"] == ("UNLOADING", "")
                logits, _ = await asyncio.gather(model.networks.positive_logits(x(model)), asyncio.sleep(0.05))
                assert len(logits) == 1
            del model
            await running.until("brain/1", "UNAVAILABLE")
            assert running.states()["brain/1"] == ("UNAVAILABLE", "unloaded")
            assert len(engine_threads() - house.of_others) == 1, "that of lung"
            assert [each() for each in died] == [None] * len(died)
            await running.control.unload("brain")
            await running.control.load("brain")
            assert running.model("brain").is_running

    asyncio.run(check())


def x(model: ServedModel) -> FloatArray:
    """A picture without contrast."""
    side = model.bundle.description.image.height
    return np.zeros((1, 1, side, side), np.float32)


class SlowLoader(ModelLoader):
    """Waits in the thread that loads, and counts how many bundles it has in hand."""

    inside = 0
    most = 0
    threads: ClassVar[set[int]] = set()
    may_go_on: ClassVar[threading.Event] = threading.Event()

    def open(self, bundle: LoadedBundle) -> ServedModel:
        self.threads.add(threading.get_ident())
        return super().open(bundle)

    def read(self, folder: Path) -> LoadedBundle:
        self.threads.add(threading.get_ident())
        SlowLoader.inside += 1
        SlowLoader.most = max(SlowLoader.most, SlowLoader.inside)
        assert self.may_go_on.wait(60)
        bundle = super().read(folder)
        SlowLoader.inside -= 1
        return bundle


def test_models_are_loaded_one_at_a_time_and_whoever_leaves_does_not_stop_it(house: House) -> None:
    house.loader = SlowLoader(LOADER.replication, LOADER.capacity)

    async def check() -> None:
        async with house.serving() as running:
            for name in ("brain/1", "heart/1", "knee/1"):
                house.put(name)
            loading = [asyncio.create_task(running.control.load(name)) for name in ("brain", "heart", "knee")]
            await running.until("brain/1", "LOADING")
            loading[0].cancel()
            await asyncio.sleep(0.1)  # for the others to begin too early, if they do
            SlowLoader.may_go_on.set()
            await asyncio.gather(*loading, return_exceptions=True)
            assert loading[0].cancelled()
            assert running.repository.names() == ["brain/1", "heart/1", "knee/1", "lung/9"]
            assert SlowLoader.most == 1
            assert threading.get_ident() not in SlowLoader.threads, "the event loop answers meanwhile"

    asyncio.run(check())


def test_the_folder_is_watched(house: House, caplog: pytest.LogCaptureFixture) -> None:
    async def check() -> None:
        async with house.serving() as running:
            polling = asyncio.create_task(running.control.poll(0.02))
            house.put("lung/10", "second")
            house.put("brain/1", "third")
            await running.until("lung/10", "READY")
            await running.until("brain/1", "READY")
            house.spoil("brain/1")
            async with asyncio.timeout(60):
                while "SHA-256" not in running.states()["brain/1"][1]:
                    await asyncio.sleep(0.01)
            assert running.model("brain").is_running
            await asyncio.sleep(0.2)
            refused = [record for record in caplog.records if record.msg["event"] == "bundle_refused"]
            assert len(refused) == 1, "said once, and not whenever it is looked at"
            shutil.rmtree(house.path / "lung" / "10")
            await running.until("lung/10", "UNAVAILABLE")
            assert running.limitation("lung") == "first"
            house.path.rename(house.path.with_name("unmounted"))
            await asyncio.sleep(0.1)
            house.path.mkdir()
            await asyncio.sleep(0.1)
            assert running.repository.names() == ["brain/1", "lung/9"], "an empty folder is no order to serve nothing"
            polling.cancel()

    asyncio.run(check())


def test_the_default_model_follows_the_folder(house: House, caplog: pytest.LogCaptureFixture) -> None:
    async def check() -> None:
        async with house.serving() as running:
            house.put("brain/1")
            (house.path / "default-model").write_text("brain\n")
            await running.control.read_again(changed=True, loaded=False)
            assert running.model("").bundle.name == "brain/1"
            (house.path / "default-model").write_text("heart\n")
            await running.control.read_again(changed=True, loaded=False)
            assert running.model("").bundle.name == "brain/1"
            assert "default_model_not_changed" in [record.msg["event"] for record in caplog.records]

    asyncio.run(check())


def test_stopping_ends_what_is_drained_and_takes_no_more(house: House) -> None:
    async def check() -> None:
        async with house.serving() as running:
            model = running.model("lung")
            with model.held():
                await running.control.unload("lung")
                await running.control.stop()
                assert not model.is_running
            with pytest.raises(StoppingError):
                await running.control.load("lung")

    asyncio.run(check())


def test_bundles_that_were_never_loaded_are_known_by_name(house: House) -> None:
    async def check() -> None:
        async with house.serving() as running:
            house.put("brain/1")
            assert await running.control.names() == ["brain"]
            await running.control.load("brain")
            assert await running.control.names() == []

    asyncio.run(check())
