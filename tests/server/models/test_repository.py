"""Which model a caller gets."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from medxgan.server.errors import BundleError, InvalidRequestError, UnknownModelError
from medxgan.server.repository import ModelRepository
from medxgan.v1.explanation_pb2 import ModelSelector

Load = Callable[..., ModelRepository]


@pytest.fixture
def load(tiny_bundle: Path, tmp_path: Path) -> Load:
    """Loads a repository of copies of the tiny bundle, by name and version."""

    def load_copies(*identities: str) -> ModelRepository:
        for identity in identities:
            name, version = identity.split("/")
            shutil.copytree(tiny_bundle, tmp_path / name / version)
            file = tmp_path / name / version / "bundle.json"
            description = json.loads(file.read_text()) | {"name": name, "version": version}
            file.write_text(json.dumps(description))
        (tmp_path / "README.md").write_text("A file beside the bundles.")
        return ModelRepository.load(tmp_path, "cpu", threads=1, maximum_batch=1)

    return load_copies


def chosen(repository: ModelRepository, name: str = "", version: str = "") -> str:
    identity = repository.select(ModelSelector(name=name, version=version)).identity
    return f"{identity.name}/{identity.version}"


def test_names_and_versions(load: Load) -> None:
    repository = load("lung/9", "lung/10", "brain/2")
    assert [f"{model.identity.name}/{model.identity.version}" for model in repository] == [
        "brain/2",
        "lung/9",
        "lung/10",
    ]
    assert chosen(repository, "lung") == "lung/10", "the highest version, by number"
    assert chosen(repository, "lung", "9") == "lung/9"
    with pytest.raises(InvalidRequestError, match=r"model\.name: .*brain/2, lung/9, lung/10"):
        repository.select(ModelSelector())
    with pytest.raises(UnknownModelError, match=r"no model heart .*brain/2, lung/9, lung/10"):
        repository.select(ModelSelector(name="heart"))
    with pytest.raises(UnknownModelError, match=r"no model lung/3 .*lung/10"):
        repository.select(ModelSelector(name="lung", version="3"))


def test_the_only_model_needs_no_name(load: Load) -> None:
    repository = load("lung/9")
    assert chosen(repository) == chosen(repository, version="9") == "lung/9"
    with pytest.raises(UnknownModelError, match="no model lung/3 "):
        repository.select(ModelSelector(version="3"))


def test_a_folder_that_is_no_bundle_is_refused_not_skipped(load: Load, tmp_path: Path) -> None:
    (tmp_path / "brain" / "1").mkdir(parents=True)
    with pytest.raises(BundleError, match=r"brain/1: bundle\.json"):
        load("lung/9")


@pytest.mark.parametrize("folder", [".", "missing"])
def test_no_bundles_at_all(folder: str, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="NAME/VERSION"):
        ModelRepository.load(tmp_path / folder, "cpu", threads=1, maximum_batch=1)
