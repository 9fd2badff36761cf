"""ONNX Runtime on graphs written by hand: which graph runs, where weights may lie, and what is refused."""

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from medxgan.bundle import BundleError, LoadedBundle, load_bundle
from medxgan.server.engine.ort_engine import OrtEngine
from medxgan.server.engine.settings import EngineSettings
from medxgan.v1 import bundle_pb2

SIDE = 32


@pytest.fixture
def folder(several_folder: Path, tmp_path: Path) -> Path:
    """A copy that the test may spoil."""
    return shutil.copytree(several_folder, tmp_path / "several" / "1")


@pytest.fixture
def spoilt(folder: Path) -> LoadedBundle:
    """The copy, loaded before the test spoils it."""
    return load_bundle(folder)


@pytest.fixture(scope="module")
def engine(several_folder: Path) -> OrtEngine:
    engine = OrtEngine(load_bundle(several_folder), EngineSettings("cpu"))
    engine.warm_up()
    return engine


@pytest.fixture(scope="module")
def x() -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (2, 1, SIDE, SIDE)).astype(np.float32)


def test_a_film_of_any_size_is_opened(engine) -> None:
    levels = np.random.default_rng(1).uniform(0, 255, (1, 1, 40, 50)).astype(np.float32)
    inputs = {"image": levels, "inverted": np.ones(1, np.float32), "pixel_aspect": np.ones(1, np.float32)}
    opened = engine.run(bundle_pb2.GRAPH_ROLE_OPEN, inputs)
    np.testing.assert_array_equal(opened["box"], [0, 0, 40, 50])
    assert (opened["x"].min(), opened["x"].max()) == (-1, 1)
    classified = engine.run(bundle_pb2.GRAPH_ROLE_CLASSIFIER, {"x": opened["x"]})
    np.testing.assert_allclose(opened["logit"], classified["logit"], rtol=1e-5)


@pytest.mark.parametrize(
    ("outputs", "activations"),
    [
        (["logit"], (2, 1, 1, 1)),
        (["activations", "logit"], (2, 1, 1, 1)),
        (["gradient", "activations"], (2, 1, SIDE, SIDE)),
        (["guided_gradient", "activations", "activation_gradients"], (2, 1, SIDE, SIDE)),
    ],
)
def test_of_several_graphs_with_one_role_the_first_that_has_the_outputs_runs(engine, x, outputs, activations) -> None:
    target = np.eye(3, dtype=np.float32)[[1, 2]]
    found = engine.run(bundle_pb2.GRAPH_ROLE_ATTRIBUTION, {"x": x, "target": target}, outputs)
    assert list(found) == outputs
    if "activations" in found:
        assert found["activations"].shape == activations


def test_the_graphs_read_their_weights_from_the_one_file(engine, several_weights, x) -> None:
    found = engine.run(bundle_pb2.GRAPH_ROLE_CLASSIFIER, {"x": x}, ["outputs"])["outputs"]
    np.testing.assert_allclose(found, x.reshape(2, -1) @ several_weights.T, rtol=1e-4, atol=1e-4)


def test_a_graph_that_onnx_runtime_cannot_load_is_refused(spoilt) -> None:
    (spoilt.folder / "classifier.onnx").write_bytes(b"not a graph")
    with pytest.raises(BundleError, match=r"^several/1: classifier\.onnx: ONNX Runtime .* can't load it"):
        OrtEngine(spoilt, EngineSettings("cpu"))


def test_a_graph_whose_tensors_are_not_those_stated_is_refused(spoilt) -> None:
    shutil.copy(spoilt.folder / "attribution.onnx", spoilt.folder / "classifier.onnx")
    with pytest.raises(BundleError, match=r"classifier\.onnx: inputs: the graph has .*'target'.* states "):
        OrtEngine(spoilt, EngineSettings("cpu"))


def test_weights_that_end_too_soon_are_refused(spoilt) -> None:
    weights = spoilt.folder / "linear.bin"
    weights.write_bytes(weights.read_bytes()[:-4])
    with pytest.raises(BundleError, match=r"^several/1: open\.onnx: ONNX Runtime .* can't load it"):
        OrtEngine(spoilt, EngineSettings("cpu"))


def point_elsewhere(folder: Path, location: str) -> LoadedBundle:
    """The bundle with a classifier that reads its weights from there, and hashes that agree."""
    file = folder / "classifier.onnx"
    model = onnx.load(file, load_external_data=False)
    (weights,) = (each for each in model.graph.initializer if each.name == "w")
    (entry,) = weights.external_data
    entry.value = location
    onnx.save(model, file)
    description = json.loads((folder / "bundle.json").read_bytes())
    for graph in description["graphs"]:
        if graph["file"] == file.name:
            graph["sha256"] = hashlib.sha256(file.read_bytes()).hexdigest()
    (folder / "bundle.json").write_text(json.dumps(description))
    return load_bundle(folder)


Elsewhere = Callable[[Path], str]


@pytest.mark.parametrize(
    "elsewhere",
    [
        pytest.param(lambda outside: f"../{outside.name}", id="the folder above"),
        pytest.param(lambda outside: f"./../{outside.name}", id="by a detour"),
        pytest.param(lambda outside: str(outside), id="an absolute path"),
    ],
)
def test_weights_outside_of_the_bundle_are_refused(folder, elsewhere: Elsewhere) -> None:
    """No hash covers them. The file is there and holds the right bytes, so that its place alone can be the reason."""
    outside = shutil.copy(folder / "linear.bin", folder.parent / "other.bin")
    bundle = point_elsewhere(folder, elsewhere(Path(outside)))
    with pytest.raises(
        BundleError, match=r"^several/1: classifier\.onnx: ONNX Runtime .* can't load it: .*External data path"
    ):
        OrtEngine(bundle, EngineSettings("cpu"))


COUNT_THREADS = """
import sys, threading
from pathlib import Path
from medxgan.bundle import load_bundle
from medxgan.server.engine.ort_engine import OrtEngine
from medxgan.server.engine.sessions import share_between_sessions
from medxgan.server.engine.settings import EngineSettings
share_between_sessions(3)
bundle = load_bundle(Path(sys.argv[1]))
def running():
    return len(list(Path("/proc/self/task").iterdir()))
first = OrtEngine(bundle, EngineSettings("cpu")); first.warm_up(); one = running()
more = [OrtEngine(bundle, EngineSettings("cpu")) for _ in range(3)]
for engine in more: engine.warm_up()
print(one, running())
"""


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are counted through /proc")
def test_all_models_share_one_pool_of_threads(several_folder) -> None:
    done = subprocess.run(
        [sys.executable, "-c", COUNT_THREADS, str(several_folder)], capture_output=True, text=True, check=True
    )
    one, many = map(int, done.stdout.split())
    assert many == one, "a further model brings no further thread"


def test_the_engine_says_what_runs(engine) -> None:
    assert (engine.execution.engine, engine.execution.requested) == ("onnxruntime", "cpu")
    assert engine.execution.provider == "CPUExecutionProvider" == ort.get_available_providers()[-1]
    assert engine.execution.fallback_reason == ""
