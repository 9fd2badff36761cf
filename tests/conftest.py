"""What all tests share: which are slow, settings that leave none to the speed of the machine, the untrained model."""

import fcntl
import gc
import os
import sys
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from medxgan.training.model import TrainedModel

# Networks are imported where they are used: the process that shares the tests out runs none.

SLOW_FIXTURES = {"mounted", "orthanc", "plain_models", "small_run", "tiny_bundle"}
"""Fixtures that export a network, which takes half a minute of processor time, or start an archive or a browser."""

SLOW_MODULES = {
    "end_to_end/test_captum_parity.py",
    "end_to_end/test_chest.py",
    "end_to_end/test_documents.py",
    "end_to_end/test_first_light.py",
    "end_to_end/test_gateway.py",
    "end_to_end/test_notebooks.py",
    "end_to_end/test_transformer_parity.py",
    "evaluation/test_command.py",
    "evaluation/test_runs.py",
    "export/test_bundle.py",
    "export/test_decompositions.py",
    "export/test_external_classifiers.py",
    "export/test_inversion_step.py",
    "export/test_one_file_checks.py",
    "export/test_one_file_in_wasm.py",
    "export/test_one_file_parity.py",
    "gateway/test_command.py",
    "gateway/test_killed.py",
    "server/test_triton_repository.py",
    "training/test_familiarity.py",
    "training/test_inversion.py",
    "training/test_masked_training.py",
    "training/test_phantom.py",
    "training/test_processes.py",
    "training/test_readers.py",
    "training/test_runs.py",
    "web/test_browser_asking.py",
    "web/test_browser_drawing.py",
    "web/test_browser_visits.py",
}
"""Modules that train, export, read data sets or run documents by themselves, for longer than five seconds, or import
for seconds what only such tests need. Where slow tests are left out, these are not even imported."""

# Networks of tests are too small to share among cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Examples are not timed: a busy machine is no failure.
settings.register_profile(
    "untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
settings.load_profile("untimed")


def module_of(path: Path) -> str:
    return path.relative_to(Path(__file__).parent).as_posix()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out what has slow tests alone, where those are not wanted."""
    return True if config.option.markexpr == "not slow" and module_of(collection_path) in SLOW_MODULES else None


@pytest.hookimpl(tryfirst=True)  # before `-m` selects
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as slow what takes, at whatever remove, a fixture that is slow, and what takes long by itself.

    Modules that have slow tests come first, so that those who share the tests out end at about the same time.
    """
    slow: set[Path] = set()
    for item in items:
        if module_of(item.path) in SLOW_MODULES or SLOW_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)
        if item.get_closest_marker("slow") is not None:
            slow.add(item.path)
    items.sort(key=lambda item: (module_of(item.path) not in SLOW_MODULES, item.path not in slow))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Import all modules without looking for garbage among what they make, and never look at that again: it stays."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(scope="session", autouse=True)
def prompt_ends() -> Iterator[None]:
    """Servers of the standard library look every hundredth of a second whether they are to end, not every half."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("socketserver.BaseServer.serve_forever.__defaults__", (0.01,))
        yield


@pytest.fixture(scope="session", autouse=True)
def translations_read_once() -> Iterator[None]:
    """PyTorch's exporter reads the source of all its translations for every graph that it writes, which takes most of a
    second: here once."""
    if "onnxscript" not in sys.modules:
        yield
        return
    from torch.onnx._internal._lazy_import import onnxscript_apis

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(onnxscript_apis, "get_torchlib_ops", cache(onnxscript_apis.get_torchlib_ops))
        yield


@pytest.fixture
def plain_terminal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A wide terminal without colour, in a folder of its own, without settings from the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setenv("NO_COLOR", "1")
    for name in ("SERVER", "MODELS", "PROVIDER"):
        monkeypatch.delenv(f"MEDXGAN_{name}", raising=False)


MadeOnce = Callable[[str, Callable[[Path], object]], Path]


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> MadeOnce:
    """Folders that all processes of the tests share: `made_once(name, make)` has the first that comes make it; it is to
    read, not to change."""
    own = tmp_path_factory.getbasetemp()
    shared = own if worker_id == "master" else own.parent

    def folder(name: str, make: Callable[[Path], object]) -> Path:
        place = shared / f"shared-{name}"
        with (shared / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # until it is closed
            if not place.exists():
                draft = tmp_path_factory.mktemp(name)
                make(draft)
                draft.replace(place)
        return place

    return folder


@pytest.fixture(scope="session")
def tiny_model() -> "TrainedModel":
    """The untrained model. Its networks are not to change."""
    from tests.untrained import untrained_model

    return untrained_model()


@pytest.fixture(scope="session")
def tiny_bundle(tiny_model: "TrainedModel", made_once: MadeOnce) -> Path:
    """The exported bundle of `tiny_model`: a folder tiny/1 to read, not to change."""
    from medxgan.export.bundle import export_bundle

    return made_once("tiny", lambda folder: export_bundle(tiny_model, folder / "tiny" / "1")) / "tiny" / "1"


@pytest.fixture(scope="session")
def plain_models(tiny_model: "TrainedModel", made_once: MadeOnce) -> Path:
    """The folder of a model without a generator, to read, not to change: the classifier of `tiny_model` alone, named
    "plain"."""
    from medxgan.export.bundle import export_bundle

    classifier = replace(tiny_model, generator=None, encoder=None, inversion=None, reliability=None)
    return made_once("plain", lambda folder: export_bundle(classifier, folder / "plain" / "1"))


@pytest.fixture(scope="session")
def small_run(made_once: MadeOnce) -> Path:
    """The folder "phantom" of a run with a generator and its draft, trained in seconds and evaluated: to read, not to
    change."""
    from tests.training.small import make_small_run

    return made_once("run", lambda folder: make_small_run(folder / "phantom")) / "phantom"
