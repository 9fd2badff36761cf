"""Which model a caller gets."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from medxgan.bundle import BundleError
from medxgan.server.engine.replication import Replication
from medxgan.server.engine.settings import EngineSettings
from medxgan.server.errors import InvalidRequestError, UnknownModelError
from medxgan.server.models.admission import ModelCapacity
from medxgan.server.models.repository import ModelRepository
from medxgan.v1.explanation_pb2 import ModelSelector

Load = Callable[..., ModelRepository]


def on_cpu(threads: int) -> Replication:
    return Replication(EngineSettings("cpu", threads))


def load_folder(folder: Path, default: str = "") -> ModelRepository:
    return ModelRepository.load(folder, on_cpu(1), capacity=ModelCapacity(maximum_rows=1), default=default)


@pytest.fixture
def load(several_folder: Path, tmp_path: Path) -> Load:
    """Loads a repository of copies of a bundle, by name and version."""

    def load_copies(*identities: str, default: str = "") -> ModelRepository:
        for identity in identities:
            name, version = identity.split("/")
            shutil.copytree(several_folder, tmp_path / name / version)
            file = tmp_path / name / version / "bundle.json"
            description = json.loads(file.read_text()) | {"name": name, "version": version}
            file.write_text(json.dumps(description))
        (tmp_path / "README.md").write_text("A file beside the bundles.")
        return load_folder(tmp_path, default)

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


@pytest.mark.parametrize("folder", [".", "missing"])
def test_no_bundles_at_all(folder: str, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="NAME/VERSION"):
        load_folder(tmp_path / folder)


def test_models_are_loaded_twice_in_one_process(load: Load, tmp_path: Path) -> None:
    """As where a program embeds one server after the other, with other threads."""
    load("lung/9")
    again = ModelRepository.load(tmp_path, on_cpu(2), capacity=ModelCapacity())
    assert again.names() == ["lung/9"]
