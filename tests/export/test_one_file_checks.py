"""What the one file says of itself; and what is refused: files unlike their bundle, tensors that are no film."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx.numpy_helper import from_array, to_array
from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidArgument
from tests.export.one_files import MODELS, REASONS, STATUSES, Results, command, drop_first_guess, session_of, varied
from typer.testing import CliRunner

from medxgan.bundle import load_bundle
from medxgan.bundle.hashing import sha256_of
from medxgan.export.errors import DestinationError, UnsupportedBundleError, VerificationError
from medxgan.export.one_file import write_one_file
from medxgan.export.one_file.verification import verify_one_file


@pytest.fixture(scope="module")
def phantom_by_lbfgs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of the phantom with another solver."""
    folder = tmp_path_factory.mktemp("lbfgs")
    write_one_file(varied(MODELS / "phantom" / "3", folder, default_solver="SOLVER_LBFGS"), folder / "explain.onnx")
    return folder / "explain.onnx"


def test_weights_are_stored_once_and_the_file_says_what_it_is(phantom: Path) -> None:
    model = onnx.load(phantom)
    weights = [each for each in map(to_array, model.graph.initializer) if each.size > 8]
    assert len({(each.shape, each.tobytes()) for each in weights}) == len(weights) > 50
    onnx.checker.check_model(model, full_check=True)
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", 20)]
    assert not model.functions
    assert {node.domain for node in model.graph.node} == {""}
    assert [node.op_type for node in model.graph.node].count("Loop") == 1
    said = session_of(phantom).get_modelmeta().custom_metadata_map
    assert said["model"] == "phantom"
    assert said["version"] == "3"
    assert said["bundle_sha256"] == sha256_of(MODELS / "phantom" / "3" / "bundle.json")
    assert json.loads(said["classes"]) == ["lesion"]
    assert said["intended_use"].startswith("Research use only")
    assert "TensorRT" in said["portability"]
    assert {int(status): name for status, name in json.loads(said["verdicts"]).items()} == STATUSES
    assert tuple(json.loads(said["reasons"])) == REASONS


def test_a_file_that_inverts_otherwise_is_not_let_out(phantom_by_lbfgs: Path) -> None:
    with pytest.raises(VerificationError, match=r"explain\.onnx, output z, .* disagrees with the bundle's graphs"):
        verify_one_file(load_bundle(MODELS / "phantom" / "3"), phantom_by_lbfgs)


def test_a_file_with_other_weights_is_not_let_out(phantom: Path, tmp_path: Path) -> None:
    model = onnx.load(phantom)
    largest = max(model.graph.initializer, key=lambda each: len(each.raw_data))
    largest.CopyFrom(from_array(1.05 * to_array(largest), largest.name))
    onnx.save(model, tmp_path / "explain.onnx")
    with pytest.raises(VerificationError, match="disagrees with the bundle's graphs"):
        verify_one_file(load_bundle(MODELS / "phantom" / "3"), tmp_path / "explain.onnx")


@pytest.mark.parametrize(
    ("feeds", "complaint"),
    [
        ({"image": np.zeros((2, 1, 40, 40), np.float32)}, "Expected: 1"),
        ({"image": np.zeros((1, 3, 40, 40), np.float32)}, "Expected: 1"),
        ({"image": np.zeros((40, 40), np.float32)}, "Invalid rank"),
        ({"image": np.zeros((1, 1, 40, 40), np.uint8)}, "Unexpected input data type"),
        (
            {"image": np.zeros((1, 1, 40, 40), np.float32), "steps": np.ones(1, np.float32)},
            "Unexpected input data type",
        ),
    ],
    ids=["two-films", "colour", "no-batch", "bytes", "steps"],
)
def test_the_runtime_refuses_what_is_no_film(phantom: Path, feeds: Results, complaint: str) -> None:
    with pytest.raises((InvalidArgument, Fail), match=complaint):
        session_of(phantom).run(None, feeds)


def test_what_can_not_be_one_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(DestinationError, match="there is no folder"):
        write_one_file(MODELS / "phantom" / "3", tmp_path / "absent" / "explain.onnx")
    result = CliRunner().invoke(command(), [str(tmp_path), "--out", str(tmp_path / "explain.onnx")])
    assert result.exit_code == 1
    assert "bundle.json" in result.output
    assert not list(tmp_path.iterdir())


def test_a_bundle_without_generator_is_refused(tmp_path: Path) -> None:
    bundle = varied(MODELS / "phantom" / "3", tmp_path)
    description = json.loads((bundle / "bundle.json").read_text())
    for part in ("latent", "inversion", "reliability"):
        del description[part]
    of_generator = ("GENERATOR", "INVERSION_STEP", "CLOSE")
    graphs = {graph["file"]: graph for graph in description["graphs"]}
    for file, graph in graphs.items():
        if graph["role"].removeprefix("GRAPH_ROLE_") in of_generator:
            description["graphs"].remove(graph)
            (bundle / file).unlink()
    (bundle / "bundle.json").write_text(json.dumps(description))
    drop_first_guess(bundle)
    with pytest.raises(UnsupportedBundleError, match="phantom/3 has no generator"):
        write_one_file(bundle, tmp_path / "explain.onnx")
