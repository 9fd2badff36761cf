"""The whole explanation in one ONNX file: on plain ONNX Runtime, the maps are the server's."""

from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.export.one_files import (
    MODELS,
    REASONS,
    ROOT,
    STATUSES,
    Results,
    command,
    drop_first_guess,
    session_of,
    varied,
)
from typer.testing import CliRunner

from medxgan.client import Client, Explanation, Image, InversionSettings, MapKind, PixelSpacing, Settings, VerdictStatus
from medxgan.export.one_file import write_one_file
from medxgan.server.embedded import EmbeddedServer
from medxgan.training.configuration import load_configuration

PICTURES = {
    MapKind.ORIGINAL: "x",
    MapKind.RECONSTRUCTION: "reconstruction",
    MapKind.NEGATIVE_REALIZATION: "negative_realization",
    MapKind.APPLIED_NEGATIVE: "applied_negative",
    MapKind.DIFFERENCE: "difference",
}

Run = Callable[..., Results]

ROUNDING = 5e-6
"""Of a picture in [-1, 1]: the operators are the same, but not how a runtime fuses them."""

AMPLIFIED = 2e-3
"""The same after up to 5 steps. Adam's first step is as long for a gradient of rounding's size as for any other, so
that its sign moves a latent: of the same film in another unit the server's own pictures are up to 5e-4 away then, and
those of most films less than 1e-6."""


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


def test_the_shipped_chest_bundle_inverts_by_lbfgs_as_on_the_server(client: Client, tmp_path: Path) -> None:
    write_one_file(MODELS / "chest" / "9", tmp_path / "explain.onnx")
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


def test_a_film_that_is_not_finite_is_not_reliable(phantom: Path, slices: NDArray[np.uint8]) -> None:
    film = slices[0].astype(np.float32)
    film[3, 3] = np.nan
    assert status_of(runner(phantom)(film)) == VerdictStatus.NOT_APPLICABLE


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
