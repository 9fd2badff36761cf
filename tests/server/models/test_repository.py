"""Which model a caller gets."""

import asyncio
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnxruntime.capi.onnxruntime_pybind11_state import Fail
from tests.server.linear import SIDE, LinearEngine, linear_bundle

from medxgan.bundle import BundleError, LoadedBundle
from medxgan.server.engine.port import Engine
from medxgan.server.engine.replication import Replication
from medxgan.server.engine.settings import EngineSettings
from medxgan.server.errors import InvalidRequestError, UnknownModelError
from medxgan.server.explanation.opening import Reduction, reduction_of
from medxgan.server.models.admission import ModelCapacity
from medxgan.server.models.folder import ModelFolder
from medxgan.server.models.loading import ModelLoader
from medxgan.server.models.repository import ModelRepository
from medxgan.server.models.served_model import ServedModel
from medxgan.server.models.version_policy import VersionPolicies
from medxgan.v1.bundle_pb2 import Bundle
from medxgan.v1.explanation_pb2 import ModelSelector

Load = Callable[..., ModelRepository]


def on_cpu(threads: int) -> ModelLoader:
    return ModelLoader(Replication(EngineSettings("cpu", threads)), ModelCapacity(maximum_rows=1))


def load_folder(folder: Path, default: str = "", policy: str = "all") -> ModelRepository:
    return ModelRepository.load(ModelFolder(folder, VersionPolicies.parse(policy)), on_cpu(1), default)


@pytest.fixture
def load(several_folder: Path, tmp_path: Path) -> Load:
    """Loads a repository of copies of a bundle, by name and version."""

    def load_copies(*identities: str, default: str = "", policy: str = "all") -> ModelRepository:
        for identity in identities:
            name, version = identity.split("/")
            shutil.copytree(several_folder, tmp_path / name / version)
            file = tmp_path / name / version / "bundle.json"
            description = json.loads(file.read_text()) | {"name": name, "version": version}
            file.write_text(json.dumps(description))
        (tmp_path / "README.md").write_text("A file beside the bundles.")
        return load_folder(tmp_path, default, policy)

    return load_copies


def chosen(repository: ModelRepository, name: str = "", version: str = "") -> str:
    return repository.select(ModelSelector(name=name, version=version)).bundle.name


def test_names_and_versions(load: Load) -> None:
    repository = load("lung/9", "lung/10", "brain/2")
    assert repository.names() == [model.bundle.name for model in repository] == ["brain/2", "lung/9", "lung/10"]
    assert chosen(repository, "lung") == "lung/10", "the highest version, by number"
    assert chosen(repository, "lung", "9") == "lung/9"
    assert repository.default is None
    with pytest.raises(InvalidRequestError, match=r"model\.name: .*brain/2, lung/9, lung/10"):
        repository.select(ModelSelector())
    with pytest.raises(InvalidRequestError, match=r"model\.name"):
        repository.select(ModelSelector(version="2"))
    with pytest.raises(UnknownModelError, match=r"no model heart .*brain/2, lung/9, lung/10"):
        repository.select(ModelSelector(name="heart"))
    with pytest.raises(UnknownModelError, match=r"no model lung/3 .*lung/10"):
        repository.select(ModelSelector(name="lung", version="3"))


def test_models_of_one_name_need_no_name(load: Load) -> None:
    repository = load("lung/9", "lung/10")
    assert chosen(repository) == repository.default.bundle.name == "lung/10"
    assert chosen(repository, version="9") == "lung/9"
    with pytest.raises(UnknownModelError, match="no model lung/3 "):
        repository.select(ModelSelector(version="3"))


def test_the_default_answers_where_no_name_is_given(load: Load) -> None:
    repository = load("lung/9", "lung/10", "brain/2", default="lung")
    assert chosen(repository) == repository.default.bundle.name == "lung/10"
    assert chosen(repository, version="9") == "lung/9"
    assert chosen(repository, "brain") == "brain/2"


def test_a_folder_may_state_its_default(load: Load, tmp_path: Path) -> None:
    (tmp_path / "default-model").write_text("brain\n")
    assert chosen(load("lung/9", "brain/2")) == "brain/2"
    assert chosen(load("lung/10", default="lung")) == "lung/10", "who starts the server goes before the folder"


def test_a_default_that_is_not_there_is_refused(load: Load) -> None:
    with pytest.raises(BundleError, match="default_model: expected one of brain, lung, got heart"):
        load("lung/9", "brain/2", default="heart")


def test_a_folder_that_is_no_bundle_is_refused_not_skipped(load: Load, tmp_path: Path) -> None:
    (tmp_path / "brain" / "1").mkdir(parents=True)
    with pytest.raises(BundleError, match=r"brain/1: bundle\.json"):
        load("lung/9")


def test_a_graph_that_fails_when_it_runs_leaves_the_other_models_be(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(description: Bundle, engine: Engine) -> Reduction | None:
        if description.name == "brain":
            raise Fail("Reshape: 1 into 7")
        return reduction_of(description, engine)

    monkeypatch.setattr("medxgan.server.models.loading.reduction_of", run)
    with pytest.raises(BundleError, match=r"brain/2: it can't be run \(Fail: Reshape: 1 into 7\)"):
        load("lung/9", "brain/2")
    repository = ModelRepository.load(ModelFolder(tmp_path), on_cpu(1), strict=False)
    assert repository.names() == ["lung/9"]
    assert [each.reason for each in repository.statuses() if each.name == "brain"] != [""]


@pytest.mark.parametrize("folder", [".", "missing"])
def test_no_bundles_at_all(folder: str, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="NAME/VERSION"):
        load_folder(tmp_path / folder)


def test_models_are_loaded_twice_in_one_process(load: Load, tmp_path: Path) -> None:
    """As where a program embeds one server after the other, with other threads."""
    load("lung/9")
    again = ModelRepository.load(ModelFolder(tmp_path), on_cpu(2))
    assert again.names() == ["lung/9"]


@pytest.mark.parametrize(
    ("policy", "served"),
    [
        ("all", ["brain/2", "lung/9", "lung/10", "lung/11"]),
        ("latest", ["brain/2", "lung/11"]),
        ("latest:2", ["brain/2", "lung/10", "lung/11"]),
        ("all;lung=specific:9,10", ["brain/2", "lung/9", "lung/10"]),
        ("latest:1;lung=all", ["brain/2", "lung/9", "lung/10", "lung/11"]),
        ("specific:10,2", ["brain/2", "lung/10"]),
    ],
)
def test_the_policy_says_which_versions_are_served(load: Load, policy: str, served: list[str]) -> None:
    repository = load("lung/9", "lung/10", "lung/11", "brain/2", policy=policy)
    assert repository.names() == served
    assert chosen(repository, "lung") == served[-1], "no version means the numerically highest that is served"


def test_a_version_that_the_policy_leaves_out_is_not_even_read(load: Load, tmp_path: Path) -> None:
    (tmp_path / "lung" / "9").mkdir(parents=True)
    assert load("lung/10", policy="latest").names() == ["lung/10"]


def test_a_policy_that_leaves_nothing_is_no_server(load: Load) -> None:
    with pytest.raises(BundleError, match="found none"):
        load("lung/9", policy="specific:8")


def test_only_some_are_loaded_and_the_default_may_come_later(load: Load, tmp_path: Path) -> None:
    load("lung/9", "brain/2")
    folder = ModelFolder(tmp_path)
    assert ModelRepository.load(folder, on_cpu(1), names=["lung"]).names() == ["lung/9"]
    assert ModelRepository.load(folder, on_cpu(1), "brain", names=[]).default is None
    with pytest.raises(BundleError, match="load_models: expected names of brain, lung, got heart"):
        ModelRepository.load(folder, on_cpu(1), names=["lung", "heart"])
    with pytest.raises(BundleError, match="default_model: expected one of brain, lung, got heart"):
        ModelRepository.load(folder, on_cpu(1), "heart", names=["lung"])


def test_a_bundle_that_is_refused_is_known_with_its_reason(load: Load, tmp_path: Path) -> None:
    load("lung/9", "lung/10")
    (tmp_path / "lung" / "10" / "bundle.json").write_text("{}")
    repository = ModelRepository.load(ModelFolder(tmp_path), on_cpu(1), strict=False)
    assert repository.names() == ["lung/9"]
    first, second = repository.statuses()
    assert (first.version, first.state) == ("9", "UNAVAILABLE"), "it is not warm yet"
    assert (second.version, second.state) == ("10", "UNAVAILABLE")
    assert second.reason == "lung/10: bundle.json: schema_version: expected an integer"


class ColdEngine(LinearEngine):
    """Takes as long to warm up as the test wants."""

    def warm_up(self) -> None:
        assert self.gate.wait(60)


def test_no_model_refuses_requests_while_another_warms_up() -> None:
    async def scenario() -> None:
        models, engines = [], []
        for name in ("brain", "lung"):
            bundle = linear_bundle()
            bundle.name = name
            engines.append(ColdEngine(bundle))
            engines[-1].gate.clear()
            models.append(ServedModel(LoadedBundle(Path(), bundle, "0" * 64), [engines[-1]], ModelCapacity()))
        repository = ModelRepository(models)
        starting = asyncio.create_task(repository.start())
        for _ in range(5):
            await asyncio.sleep(0)
        x = np.zeros((1, 1, SIDE, SIDE), np.float32)
        asked = [asyncio.create_task(model.networks.positive_logits(x)) for model in models]
        engines[1].gate.set()
        await asked[1]
        assert not asked[0].done()
        assert [model.is_running for model in models] == [False, True]
        engines[0].gate.set()
        await asyncio.gather(starting, asked[0])
        await repository.stop()

    asyncio.run(asyncio.wait_for(scenario(), 60))
