"""The whole explanation in one ONNX file: on plain ONNX Runtime and on its WebAssembly, the maps are the server's."""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from importlib.resources import files
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pydicom
import pytest
import typer
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx.numpy_helper import from_array, to_array
from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidArgument
from typer.testing import CliRunner

from medxgan.bundle import load_bundle
from medxgan.bundle.hashing import sha256_of
from medxgan.client import Client, Explanation, Image, InversionSettings, MapKind, PixelSpacing, Settings, VerdictStatus
from medxgan.export.command import export_onnx
from medxgan.export.errors import DestinationError, UnsupportedBundleError, VerificationError
from medxgan.export.one_file import write_one_file
from medxgan.export.one_file.verification import verify_one_file
from medxgan.server.embedded import EmbeddedServer
from medxgan.training.configuration import load_configuration

ROOT = Path(__file__).parents[2]
MODELS = ROOT / "models"
PICTURES = {
    MapKind.ORIGINAL: "x",
    MapKind.RECONSTRUCTION: "reconstruction",
    MapKind.NEGATIVE_REALIZATION: "negative_realization",
    MapKind.APPLIED_NEGATIVE: "applied_negative",
    MapKind.DIFFERENCE: "difference",
}

Results = Mapping[str, NDArray[np.generic]]
Run = Callable[..., Results]

ROUNDING = 5e-6
"""Of a picture in [-1, 1]: the operators are the same, but not how a runtime fuses them."""

STATUSES = {1: "RELIABLE", 2: "NOT_RELIABLE", 3: "NOT_APPLICABLE"}
REASONS = (
    "RECONSTRUCTION_TOO_FAR",
    "CLASSIFIER_DISAGREES",
    "NEGATIVE_IS_POSITIVE",
    "IMAGE_IS_NEGATIVE",
    "IMAGE_UNFAMILIAR",
    "APPLIED_NEGATIVE_IS_POSITIVE",
    "DIFFERENCE_TOO_WEAK",
)

AMPLIFIED = 2e-3
"""The same after up to 5 steps. Adam's first step is as long for a gradient of rounding's size as for any other, so
that its sign moves a latent: of the same film in another unit the server's own pictures are up to 5e-4 away then, and
those of most films less than 1e-6."""


def session_of(file: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # it warns of inputs that have a default
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])


def runner(file: Path) -> Run:
    """Runs a file by plain ONNX Runtime."""
    session = session_of(file)
    names = [output.name for output in session.get_outputs()]

    def run(film: NDArray[np.generic], **settings: float) -> Results:
        types = {"steps": np.int64}
        given = {name: np.full(1, value, types.get(name, np.float32)) for name, value in settings.items()}
        return dict(
            zip(names, session.run(names, {"image": film.astype(np.float32)[None, None], **given}), strict=True)
        )

    return run


def status_of(results: Results) -> VerdictStatus:
    return VerdictStatus[STATUSES[results["verdict"].item()]]


def require_same(results: Results, explanation: Explanation, tolerance: float = ROUNDING) -> None:
    """The file's pictures, figures and verdict are the server's."""
    for kind, name in PICTURES.items():
        np.testing.assert_allclose(results[name][0, 0], explanation[kind], rtol=0, atol=tolerance, err_msg=name)
    scores, outcome = explanation.scores, explanation.outcome
    assert outcome is not None
    assert scores.reconstruction is not None
    assert scores.negative_realization is not None
    assert scores.applied_negative is not None
    for name, score in {
        "probability": scores.original,
        "reconstruction_probability": scores.reconstruction,
        "negative_realization_probability": scores.negative_realization,
        "applied_negative_probability": scores.applied_negative,
    }.items():
        assert results[name].item() == pytest.approx(score.probability, abs=10 * tolerance), name
    assert results["steps_taken"].item() == outcome.steps_taken
    assert results["reconstruction_mse"].item() == pytest.approx(outcome.reconstruction_mse, rel=100 * tolerance)
    assert status_of(results) == explanation.verdict.status
    reasons = {name for name, holds in zip(REASONS, results["reasons"].tolist(), strict=True) if holds}
    assert reasons == {reason.code.name for reason in explanation.verdict.reasons}
    measured = [check.measured for check in explanation.image_checks]
    np.testing.assert_allclose(results["unfamiliarity"][0], measured, rtol=1e-4, atol=1e-4)
    geometry = explanation.geometry
    box = [geometry.box.top, geometry.box.left, geometry.box.bottom, geometry.box.right]
    np.testing.assert_allclose(results["box"], box, rtol=1e-6, atol=1e-4)


def varied(bundle: Path, folder: Path, **inversion: object) -> Path:
    """A shipped bundle with another `inversion` in its description."""
    copy = folder / bundle.parent.name / bundle.name
    shutil.copytree(bundle, copy)
    description = json.loads((copy / "bundle.json").read_text())
    description["inversion"] |= inversion
    (copy / "bundle.json").write_text(json.dumps(description))
    return copy


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("one_file") / "explain.onnx"
    write_one_file(MODELS / "phantom" / "3", file)
    return file


@pytest.fixture(scope="module")
def slices() -> NDArray[np.uint8]:
    """Drawn slices that the phantom was not trained on."""
    images: NDArray[np.uint8] = (
        load_configuration(ROOT / "training" / "configs" / "phantom.toml").data.load(Path()).test.images
    )
    return images


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with EmbeddedServer(MODELS, "cpu") as server, Client(server.address) as client:
        yield client


def explain(client: Client, film: NDArray[np.generic] | Image | Path, model: str, **inversion: float) -> Explanation:
    return client.explain(
        film, model=model, maps=list(PICTURES), settings=Settings(inversion=InversionSettings(**inversion))
    )


def test_one_file_gives_the_server_s_maps_and_verdicts(
    phantom: Path, client: Client, slices: NDArray[np.uint8]
) -> None:
    run = runner(phantom)
    pairs = [(run(film, steps=4), explain(client, film, "phantom", steps=4)) for film in slices[:40]]
    for results, explanation in pairs:
        require_same(results, explanation, AMPLIFIED)
    assert np.median([distance(*pair) for pair in pairs]) < ROUNDING
    verdicts = {explanation.verdict.status for _, explanation in pairs}
    assert verdicts == {VerdictStatus.RELIABLE, VerdictStatus.NOT_RELIABLE, VerdictStatus.NOT_APPLICABLE}


def test_after_all_steps_it_is_as_near_to_the_server_as_the_server_to_itself(
    phantom: Path, client: Client, slices: NDArray[np.uint8]
) -> None:
    run, films = runner(phantom), slices[:20]
    explanations = [explain(client, film, "phantom") for film in films]
    found = [distance(run(film), each) for film, each in zip(films, explanations, strict=True)]
    # 50 steps amplify rounding, for some films up to another minimum: a film in another unit shows by how much.
    own = [
        max(
            distance({"reconstruction": other.reconstruction[np.newaxis, np.newaxis]}, each)
            for other in (explain(client, film.astype(np.float32) * unit, "phantom") for unit in (3, 5))
        )
        for film, each in zip(films, explanations, strict=True)
    ]
    assert np.mean(found) < 4 * np.mean(own)
    assert np.quantile(found, 0.25) < 1e-3


def distance(results: Results, explanation: Explanation) -> float:
    return float(np.abs(results["reconstruction"][0, 0] - explanation.reconstruction).max())


def test_a_shipped_bundle_inverts_by_adam_as_on_the_server(
    client: Client, slices: NDArray[np.uint8], tmp_path: Path
) -> None:
    write_one_file(MODELS / "brain-lgg" / "3", tmp_path / "explain.onnx")
    run = runner(tmp_path / "explain.onnx")
    # Rounding leads one of a dozen films elsewhere; so it does on the server, once their levels have another unit.
    found = [distance(run(film), explain(client, film, "brain-lgg")) for film in slices[:12]]
    assert np.median(found) < 1e-4


@given(
    height=st.integers(1, 200), width=st.integers(1, 200), aspect=st.floats(0.25, 4, width=32), steps=st.integers(1, 4)
)
@example(height=1, width=1, aspect=1, steps=1)
@example(height=700, width=500, aspect=1, steps=2)
@settings(max_examples=15)
def test_a_film_may_have_any_size(
    phantom: Path, client: Client, height: int, width: int, aspect: float, steps: int
) -> None:
    film = np.random.default_rng(height * width).integers(0, 4096, (height, width), np.uint16)
    image = Image(film, pixel_spacing=PixelSpacing(aspect, 1))
    results = runner(phantom)(film, pixel_aspect=aspect, steps=steps)
    require_same(results, explain(client, image, "phantom", steps=steps), AMPLIFIED)


def test_settings_are_the_server_s(phantom: Path, client: Client, slices: NDArray[np.uint8]) -> None:
    asked = {"steps": 7, "learning_rate": 0.02, "reconstruction_weight": 10}
    require_same(runner(phantom)(slices[0], **asked), explain(client, slices[0], "phantom", **asked), AMPLIFIED)


def test_a_film_whose_high_levels_are_dark_is_turned(phantom: Path, slices: NDArray[np.uint8]) -> None:
    run = runner(phantom)
    negative, film = run(255 - slices[0], inverted=1, steps=3), run(slices[0], steps=3)
    for name in PICTURES.values():
        np.testing.assert_allclose(negative[name], film[name], rtol=0, atol=AMPLIFIED)


@pytest.mark.parametrize(
    "inversion",
    [
        {"default_steps": 6, "tolerance": 0.2, "check_interval": 2},
        {"default_solver": "SOLVER_LBFGS", "default_steps": 5},
        {"default_solver": "SOLVER_LBFGS", "default_steps": 6, "tolerance": 0.3, "check_interval": 2},
        {"default_steps": 5, "pathology_rate": 0.25},
    ],
    ids=["settles", "lbfgs", "lbfgs-settles", "pathology-rate"],
)
def test_inversions_are_the_server_s(inversion: dict[str, object], slices: NDArray[np.uint8], tmp_path: Path) -> None:
    bundle = varied(MODELS / "phantom" / "3", tmp_path, **inversion)
    write_one_file(bundle, tmp_path / "explain.onnx")
    run = runner(tmp_path / "explain.onnx")
    with EmbeddedServer(tmp_path, "cpu") as server, Client(server.address) as client:
        taken = set()
        for film in slices[:6]:
            explanation = explain(client, film, "phantom")
            require_same(run(film), explanation, AMPLIFIED)
            taken.add(int(run(film)["steps_taken"].item()))
    if "tolerance" in inversion:
        assert min(taken) < inversion["default_steps"]


def test_without_an_encoder_it_starts_where_the_server_starts(tmp_path: Path, slices: NDArray[np.uint8]) -> None:
    bundle = varied(MODELS / "phantom" / "3", tmp_path)
    drop_first_guess(bundle)
    write_one_file(bundle, tmp_path / "explain.onnx")
    with EmbeddedServer(tmp_path, "cpu") as server, Client(server.address) as client:
        require_same(
            runner(tmp_path / "explain.onnx")(slices[0], steps=5), explain(client, slices[0], "phantom", steps=5)
        )


def drop_first_guess(bundle: Path) -> None:
    """Take the output z from a bundle's OPEN graph."""
    file = bundle / "open.onnx"
    model = onnx.load(file, load_external_data=False)
    outputs = [output for output in model.graph.output if output.name != "z"]
    del model.graph.output[:]
    model.graph.output.extend(outputs)
    onnx.save(model, file)
    description = json.loads((bundle / "bundle.json").read_text())
    (graph,) = (graph for graph in description["graphs"] if graph["file"] == file.name)
    graph["outputs"] = [output for output in graph["outputs"] if output["name"] != "z"]
    graph["sha256"] = sha256_of(file)
    (bundle / "bundle.json").write_text(json.dumps(description))


def test_the_shipped_chest_bundle_inverts_by_lbfgs_as_on_the_server(client: Client, tmp_path: Path) -> None:
    write_one_file(MODELS / "chest" / "8", tmp_path / "explain.onnx")
    run = runner(tmp_path / "explain.onnx")
    dicom = Path(str(files("data_store") / "data" / "RG1_UNCR.dcm"))
    film = pydicom.dcmread(dicom).pixel_array  # MONOCHROME1
    # Rounding doubles or worse with every step of L-BFGS: of the same film in another unit the server's own
    # reconstruction is 1e-3 away after 10 steps, and 1e-5 after 4.
    require_same(run(film, inverted=1), explain(client, dicom, "chest"), 2e-5)
    results, explanation = run(film, inverted=1, steps=10), explain(client, dicom, "chest", steps=10)
    np.testing.assert_allclose(results["reconstruction"][0, 0], explanation.reconstruction, rtol=0, atol=5e-3)
    # Its z2 is held, and so is the difference.
    np.testing.assert_allclose(results["difference"][0, 0], explanation.difference, rtol=0, atol=ROUNDING)
    assert results["steps_taken"].item() == 10
    assert status_of(results) == explanation.verdict.status


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


@pytest.fixture(scope="module")
def phantom_by_lbfgs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of the phantom with another solver."""
    folder = tmp_path_factory.mktemp("lbfgs")
    write_one_file(varied(MODELS / "phantom" / "3", folder, default_solver="SOLVER_LBFGS"), folder / "explain.onnx")
    return folder / "explain.onnx"


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


def test_a_film_that_is_not_finite_is_not_reliable(phantom: Path, slices: NDArray[np.uint8]) -> None:
    film = slices[0].astype(np.float32)
    film[3, 3] = np.nan
    assert status_of(runner(phantom)(film)) == VerdictStatus.NOT_APPLICABLE


def command() -> typer.Typer:
    app = typer.Typer()
    app.command()(export_onnx)
    return app


def test_the_command_writes_a_file_without_defaults(tmp_path: Path, client: Client, slices: NDArray[np.uint8]) -> None:
    file = tmp_path / "explain.onnx"
    result = CliRunner().invoke(command(), [str(MODELS / "phantom" / "3"), "--out", str(file), "--no-defaults"])
    assert result.exit_code == 0, result.output
    session = session_of(file)
    asked = {"steps": 3, "learning_rate": 0.05, "reconstruction_weight": 4, "inverted": 0, "pixel_aspect": 1}
    assert {each.name for each in session.get_inputs()} == {"image", *asked}
    require_same(runner(file)(slices[1], **asked), explain(client, slices[1], "phantom", steps=3), AMPLIFIED)
    again = CliRunner().invoke(command(), [str(MODELS / "phantom" / "3"), "--out", str(file)])
    assert again.exit_code == 1
    assert "exists already" in again.output
    assert [each.name for each in tmp_path.iterdir()] == ["explain.onnx"]


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
