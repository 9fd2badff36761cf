"""What would turn drawn slices negative and positive: the shipped phantom bundle, the Python client and the command."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from medxgan.client import Client, Explanation, InversionSettings, MapKind, ProgressPhase, Settings, VerdictStatus
from medxgan.client.command.app import app
from medxgan.server.embedded import EmbeddedServer
from medxgan.training.data.phantom import phantoms

MODELS = Path(__file__).parents[2] / "models"
ENDS = (MapKind.NEGATIVE_REALIZATION, MapKind.POSITIVE_REALIZATION)

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("plain_terminal")]


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with EmbeddedServer(MODELS, "cpu") as server, Client(server.address) as client:
        yield client


@pytest.fixture(scope="module")
def slices(client: Client) -> dict[bool, np.ndarray]:
    """By whether the classifier calls it positive: the drawn slice of which it is surest."""
    drawn = phantoms(40, 64, seed=11).images
    scores = [client.classify(image, model="phantom").score.probability for image in drawn]
    return {True: drawn[int(np.argmax(scores))], False: drawn[int(np.argmin(scores))]}


def explain(client: Client, image: np.ndarray) -> Explanation:
    settings = Settings(inversion=InversionSettings(restarts=3))
    return client.explain(image, model="phantom", settings=settings, maps=list(MapKind), trajectory=6)


def test_a_positive_slice_has_its_reconstruction_for_positive_end(client: Client, slices) -> None:
    explanation = explain(client, slices[True])
    np.testing.assert_array_equal(explanation[MapKind.POSITIVE_REALIZATION], explanation.reconstruction)
    assert explanation.positive_outcome is not None
    assert explanation.positive_outcome.steps_taken == 0
    assert explanation.positive_outcome.scale == 1


def test_a_negative_slice_is_made_positive_by_a_search(client: Client, slices) -> None:
    heard = []
    explanation = client.explain_stream(slices[False], model="phantom", maps=ENDS, on_progress=heard.append)
    assert explanation.verdict.status is VerdictStatus.NOT_APPLICABLE
    assert not explanation.scores.original.positive
    outcome, score = explanation.positive_outcome, explanation.scores.positive_realization
    assert outcome is not None
    assert score is not None
    assert outcome.found
    assert score.positive
    change = np.square(explanation[ENDS[1]] - explanation[ENDS[0]]).mean()
    assert outcome.change_mse == pytest.approx(change, rel=1e-3)
    assert {progress.phase for progress in heard} == set(ProgressPhase)


@pytest.mark.parametrize("positive", [True, False])
def test_the_further_maps_are_what_they_are_said_to_be(client: Client, slices, positive: bool) -> None:
    explanation = explain(client, slices[positive])
    np.testing.assert_allclose(
        explanation[MapKind.APPLIED_NEGATIVE],
        np.clip(explanation.original - explanation.difference, -1, 1),
        atol=1e-6,
    )
    assert explanation.outcome is not None
    assert explanation.outcome.difference_spread == pytest.approx(explanation[MapKind.UNCERTAINTY].mean(), rel=1e-4)
    first, *_, last = explanation.trajectory
    np.testing.assert_array_equal(first.array(), explanation[ENDS[0]])
    np.testing.assert_array_equal(last.array(), explanation[ENDS[1]])
    np.testing.assert_allclose([frame.position for frame in explanation.trajectory], np.linspace(0, 1, 6), atol=1e-6)
    assert (first.score, last.score) == (
        explanation.scores.negative_realization,
        explanation.scores.positive_realization,
    )


def test_the_command_says_what_would_make_a_slice_positive(slices, tmp_path: Path) -> None:
    Image.fromarray(slices[False]).save(tmp_path / "slice.png")
    arguments = ["explain", tmp_path / "slice.png", "--models", MODELS, "--provider", "cpu", "--model", "phantom"]
    result = CliRunner().invoke(app, [*map(str, arguments), "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.stderr
    assert "A positive realization was found in" in " ".join(result.stdout.split())
    report = json.loads((tmp_path / "out" / "explanation.json").read_text())
    assert report["positive_outcome"]["found"]
    with (
        Image.open(tmp_path / "out" / "positive.png") as positive,
        Image.open(tmp_path / "out" / "negative.png") as negative,
    ):
        change = (np.asarray(positive, np.float32) - np.asarray(negative)) / 127.5
    assert np.square(change).mean() == pytest.approx(report["positive_outcome"]["change_mse"], rel=0.1)
    assert (tmp_path / "out" / "positive-panel.png").exists()
