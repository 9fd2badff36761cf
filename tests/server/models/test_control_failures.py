"""What can not be loaded, fails as it is warmed up or once it is served: the others go on, and it is said why."""

import asyncio
import hashlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.server.models.houses import LOADER, House, Running, engine_threads, refusal

from medxgan.bundle import LoadedBundle
from medxgan.server.errors import InvalidRequestError, UnknownModelError
from medxgan.server.models.folder import ModelFolder
from medxgan.server.models.loading import ModelLoader
from medxgan.server.models.repository import ModelRepository
from medxgan.server.models.served_model import ServedModel


def test_what_can_not_be_loaded_leaves_what_is_served_and_says_why(house: House) -> None:
    async def check() -> None:
        async with house.serving() as running:
            house.put("lung/10", "second")
            house.put("lung/9", "third")
            house.spoil("lung/9")
            error = await refusal(running.control.load("lung"))
            assert isinstance(error, InvalidRequestError)
            assert str(error).startswith("model_name: lung/9: linear.bin: SHA-256 is ")
            assert str(house.path) not in str(error)
            assert running.limitation("lung", "9") == "first"
            assert running.limitation("lung", "10") == "second", "what can be loaded is"
            states = running.states()
            assert states["lung/9"] == ("READY", error.expected), "served as it was, and why"
            assert states["lung/10"] == ("READY", "")
            house.put("lung/9", "fourth")
            await running.control.load("lung")
            assert running.limitation("lung", "9") == "fourth"
            assert set(running.states().values()) == {("READY", "")}

    asyncio.run(check())


def test_a_graph_that_can_not_be_loaded_names_no_path_of_the_machine(house: House) -> None:
    house.put("lung/10")
    folder = house.path / "lung" / "10"
    (folder / "classifier.onnx").write_bytes(b"no graph")
    described = json.loads((folder / "bundle.json").read_text())
    for graph in described["graphs"]:
        if graph["file"] == "classifier.onnx":
            graph["sha256"] = hashlib.sha256(b"no graph").hexdigest()
    (folder / "bundle.json").write_text(json.dumps(described))
    spoilt = folder.rename(house.path / "later")

    async def check() -> None:
        async with house.serving() as running:
            spoilt.rename(folder)
            error = await refusal(running.control.load("lung"))
            assert "lung/10: classifier.onnx: ONNX Runtime" in str(error)
            assert str(house.path) not in str(error)
            assert str(house.path.resolve()) not in str(error)

    asyncio.run(check())


NAMES = [
    "..",
    ".",
    "../models",
    "../../etc",
    "lung/9",
    "lung/../lung",
    "/etc",
    "lung\\9",
    "lung\0",
    "lung\n",
    "Lung",
    ".git",
    "%2e%2e",
    "-",
    "l" * 64,
]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_does_not_lead_out_of_the_folder(house: House, name: str) -> None:
    (house.path.parent / "secret" / "1").mkdir(parents=True)

    async def check() -> None:
        async with house.serving() as running:
            for change in (running.control.load, running.control.unload):
                error = await refusal(change(name))
                assert isinstance(error, InvalidRequestError), error
                assert error.field == "model_name"
            assert running.repository.names() == ["lung/9"]

    asyncio.run(check())


@settings(max_examples=200)
@given(st.one_of(st.text(), st.text("./\\lung9-"), st.sampled_from(NAMES)))
def test_whatever_the_name_only_bundles_of_the_folder_are_found(house: House, name: str) -> None:
    found = ModelFolder(house.path).versions(name)
    assert found == ([house.path / "lung" / "9"] if name == "lung" else [])


def test_what_is_no_bundle_is_said_to_be_so(house: House) -> None:
    async def check() -> None:
        async with house.serving() as running:
            assert "no bundle heart" in str(await refusal(running.control.load("heart")))
            assert isinstance(await refusal(running.control.load("heart")), UnknownModelError)
            assert "expected the name of a bundle, got none" in str(await refusal(running.control.load("")))
            said = str(await refusal(running.control.unload("lung.grad_cam")))
            assert said == "model_name: lung.grad_cam comes and goes with its bundle, lung"

    asyncio.run(check())


class FailingModels(ModelLoader):
    """Its engines can't be warmed up."""

    def open(self, bundle: LoadedBundle) -> ServedModel:
        model = super().open(bundle)
        model.engine.warm_up = self.fail
        return model

    @staticmethod
    def fail() -> None:
        raise RuntimeError("out of memory, at /home/somebody")


def test_what_fails_while_it_is_warmed_up_is_ended_and_never_served(house: House) -> None:
    house.loader = FailingModels(LOADER.replication, LOADER.capacity)

    async def check() -> None:
        async with house.serving() as running:
            house.put("lung/9", "second")
            house.put("lung/10", "third")
            threads = engine_threads()
            with pytest.raises(RuntimeError):
                await running.control.load("lung")
            assert running.limitation("lung") == "first"
            assert running.states()["lung/9"] == ("READY", "it could not be loaded; the log says more")
            assert engine_threads() == threads

    asyncio.run(check())


class FailingHeart(ModelLoader):
    """Meets an error that nobody foresaw, with one bundle."""

    def open(self, bundle: LoadedBundle) -> ServedModel:
        if bundle.name == "heart/1":
            raise ZeroDivisionError
        return super().open(bundle)


def test_one_that_fails_does_not_keep_the_others_from_being_looked_at(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    house.loader = FailingHeart(LOADER.replication, LOADER.capacity)

    async def check() -> None:
        async with house.serving() as running:
            house.put("heart/1")
            house.put("knee/1")
            for _ in range(2):
                await running.control.read_again(changed=True, loaded=False)
            assert running.repository.names() == ["knee/1", "lung/9"]
            assert running.states()["heart/1"] == ("UNAVAILABLE", "it could not be loaded; the log says more")
            said = [record.msg for record in caplog.records if record.msg["event"] == "model_not_loaded"]
            assert [(each["model"], each["error"]) for each in said] == [("heart", "ZeroDivisionError")]

    asyncio.run(check())


def test_a_model_that_is_loaded_before_the_others_are_warm_is_started_once(house: House) -> None:
    async def check() -> None:
        folder = ModelFolder(house.path)
        running = Running(ModelRepository.load(folder, LOADER), folder, LOADER)
        house.put("brain/1")
        await running.control.load("brain")
        running.model("brain").engine.warm_up = FailingModels.fail
        await running.control.start()
        assert running.model("lung").is_running
        await running.control.stop()
        assert not engine_threads() - house.of_others

    asyncio.run(check())


def test_what_was_refused_is_looked_at_again_when_it_is_asked_for(house: House) -> None:
    async def check() -> None:
        async with house.serving() as running:
            house.put("brain/1")
            house.put("lung/9", "second")
            await running.control.read_again(changed=False, loaded=True)
            assert running.repository.names() == ["lung/9"], "names that nobody has loaded are left alone"
            assert running.limitation("lung") == "second"
            await running.control.read_again(changed=False, loaded=False)
            assert running.repository.names() == ["brain/1", "lung/9"]

    asyncio.run(check())
