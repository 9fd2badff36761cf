"""The one file on onnxruntime-web, as a browser runs it, under Node: the maps are those of ONNX Runtime."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from medxgan.export.one_file import write_one_file

MODELS = Path(__file__).parents[2] / "models"
PROGRAM = Path(__file__).with_name("onnxruntime_web.mjs")
PACKAGE = "onnxruntime-web@1.30.0"
SECONDS = 120

SETTINGS = {
    "inverted": np.zeros(1, np.float32),
    "pixel_aspect": np.ones(1, np.float32),
    "steps": np.full(1, 4),
    "learning_rate": np.full(1, 0.05, np.float32),
    "reconstruction_weight": np.full(1, 4, np.float32),
}


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program in a folder of its own, beside the package that it imports."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("there is no Node.js")
    folder = tmp_path_factory.mktemp("onnxruntime_web")
    command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", folder, PACKAGE]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=SECONDS)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        pytest.skip(f"npm can't install {PACKAGE}")
    return Path(shutil.copy(PROGRAM, folder))


@pytest.mark.parametrize("with_defaults", [True, False], ids=["defaults", "no-defaults"])
@pytest.mark.parametrize("model", ["phantom/3", "chest/9"])
def test_web_assembly_gives_the_same_maps(model: str, with_defaults: bool, program: Path, tmp_path: Path) -> None:
    file = tmp_path / "explain.onnx"
    write_one_file(MODELS / model, file, with_defaults=with_defaults)
    feeds = {"image": film()} | ({} if with_defaults else SETTINGS)
    found, expected = in_wasm(program, file, feeds), native(file, feeds)
    assert {name: values.shape for name, values in found.items()} == {
        name: values.shape for name, values in expected.items()
    }
    # Other processors' instructions: rounding, which steps amplify; the pictures of 4 steps show little of it.
    tolerance = 0.05 if with_defaults else 2e-3
    for name in ("x", "reconstruction", "negative_realization", "applied_negative", "difference"):
        np.testing.assert_allclose(found[name], expected[name], rtol=0, atol=tolerance, err_msg=name)
    np.testing.assert_allclose(found["x"], expected["x"], rtol=0, atol=5e-6)
    for name in ("steps_taken", "verdict", "reasons"):
        np.testing.assert_array_equal(found[name], expected[name])


def film() -> NDArray[np.float32]:
    rows, columns = np.mgrid[0:97, 0:140].astype(np.float32)
    levels: NDArray[np.float32] = 1000 + 400 * np.sin(rows / 12) * np.cos(columns / 20) + 3 * columns
    return levels[np.newaxis, np.newaxis]


def native(file: Path, feeds: dict[str, NDArray[np.generic]]) -> dict[str, NDArray[np.generic]]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # it warns of inputs that have a default
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds), strict=True))


def in_wasm(program: Path, file: Path, feeds: dict[str, NDArray[np.generic]]) -> dict[str, NDArray[np.generic]]:
    written, read = (file.with_name(name) for name in ("feeds.json", "results.json"))
    tensors = {
        name: {"type": str(values.dtype), "dims": values.shape, "data": values.ravel().tolist()}
        for name, values in feeds.items()
    }
    written.write_text(json.dumps(tensors))
    subprocess.run(["node", program, file, written, read], check=True, timeout=SECONDS)
    return {name: np.array(each["data"]).reshape(each["dims"]) for name, each in json.loads(read.read_text()).items()}
