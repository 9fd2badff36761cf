"""Models that are loaded when they are asked for."""

import asyncio
from pathlib import Path

import pytest
from tests.server.linear import linear_bundle

from medxgan.bundle import BundleError, LoadedBundle
from medxgan.server.errors import InvalidRequestError, UnknownModelError
from medxgan.server.models.folder import ModelFolder
from medxgan.server.models.on_demand import OnDemand, readable_bundles
from medxgan.server.models.repository import ModelRepository
from medxgan.server.services import model_loader
from medxgan.server.settings import ServerSettings
from medxgan.v1.explanation_pb2 import ModelSelector


def bundle(name: str, version: str) -> LoadedBundle:
    description = linear_bundle()
    description.name, description.version = name, version
    return LoadedBundle(Path(), description, "0" * 64)


BUNDLES = [bundle("one", "1"), bundle("one", "10"), bundle("two", "1")]


def held_for(selector: ModelSelector, default: str = "") -> list[str]:
    held: list[str] = []

    async def hold(name: str) -> None:
        held.append(name)

    asyncio.run(OnDemand(BUNDLES, ModelRepository([], default), hold).bring_in(selector))
    return held


def test_the_name_that_is_asked_for_is_loaded() -> None:
    assert held_for(ModelSelector(name="two", version="7")) == ["two"]


def test_no_name_stands_for_the_default() -> None:
    assert held_for(ModelSelector(), default="one") == ["one"]
    with pytest.raises(InvalidRequestError, match=r"model\.name: .* one, two"):
        held_for(ModelSelector())


def test_nothing_is_unloaded_for_a_name_that_there_is_not() -> None:
    held: list[str] = []

    async def hold(name: str) -> None:
        held.append(name)

    with pytest.raises(UnknownModelError, match="three"):
        asyncio.run(OnDemand(BUNDLES, ModelRepository([]), hold).bring_in(ModelSelector(name="three")))
    assert held == []


def test_the_highest_version_of_the_default_is_the_default() -> None:
    on_demand = OnDemand(BUNDLES, ModelRepository([], "one"), lambda name: asyncio.sleep(0))
    assert [on_demand.is_default(each) for each in BUNDLES] == [False, True, False]
    assert on_demand.absent() == BUNDLES


def test_a_bundle_that_cannot_be_served_is_left_out_or_refused(several_folder: Path, tmp_path: Path) -> None:
    models = tmp_path / "models"
    (models / "several").mkdir(parents=True)
    (models / "several" / "1").symlink_to(several_folder)
    (models / "several" / "2").mkdir()
    loader = model_loader(ServerSettings())
    assert [each.name for each in readable_bundles(ModelFolder(models), loader, strict=False)] == ["several/1"]
    with pytest.raises(BundleError):
        readable_bundles(ModelFolder(models), loader, strict=True)
    (models / "several" / "1").unlink()
    with pytest.raises(BundleError):
        readable_bundles(ModelFolder(models), loader, strict=False)
