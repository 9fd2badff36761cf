"""The evidence map where the factors are known: a linear classifier of several outputs, beside a generator."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from medxgan.server.bundle import LoadedBundle, load_bundle
from medxgan.server.errors import InvalidRequestError
from medxgan.server.explainers.attributions import Attributions
from medxgan.server.explainers.settings import resolve_attribution_settings
from medxgan.server.maps.residual import box_mean, smoothing_window
from medxgan.v1.explanation_pb2 import (
    ATTRIBUTION_METHOD_EVIDENCE_MAP,
    ATTRIBUTION_METHOD_RESIDUAL_MAP,
    AttributeRequest,
)

SIZE = 32


@pytest.fixture(scope="module")
def generating(several_folder: Path, tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> LoadedBundle:
    """A bundle whose linear classifier has three outputs, the second the positive one, with the tiny generator."""
    folder = tmp_path_factory.mktemp("models_with_several_outputs_and_generator") / "generating" / "1"
    shutil.copytree(several_folder, folder)
    whole = json.loads((tiny_bundle / "bundle.json").read_bytes())
    description = json.loads((folder / "bundle.json").read_bytes()) | {"name": "generating"}
    description |= {part: whole[part] for part in ("latent", "inversion", "reliability")}
    held = {graph["role"] for graph in description["graphs"]}
    for graph in whole["graphs"]:
        if graph["role"] not in held:
            shutil.copy(tiny_bundle / graph["file"], folder)
            description["graphs"].append(graph)
    (folder / "bundle.json").write_text(json.dumps(description))
    return load_bundle(folder)


@pytest.fixture(scope="module")
def x() -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (1, 1, SIZE, SIZE)).astype(np.float32)


def attribute(ask, bundle: LoadedBundle, x: np.ndarray, **settings: object) -> Attributions:
    """The residual map and the evidence map of x."""
    methods = [ATTRIBUTION_METHOD_RESIDUAL_MAP, ATTRIBUTION_METHOD_EVIDENCE_MAP]
    resolved = resolve_attribution_settings(AttributeRequest(**settings), bundle.description)
    return ask(bundle, lambda model: model.attribute(x, methods, resolved))


@pytest.mark.parametrize("target", [{}, {"target": 1}], ids=["left out", "positive class"])
def test_of_several_outputs_it_weighs_by_the_positive_one(ask, generating, several_weights, x, target) -> None:
    """The classifier is linear: its integrated gradients are (x - b) w."""
    baseline = 0.25
    answer = attribute(ask, generating, x, integrated_gradients={"steps": 2, "baseline": baseline}, **target)
    residual, evidence = (each.values for each in answer.maps)
    magnitude = np.abs((x[0, 0] - baseline) * several_weights[1].reshape(SIZE, SIZE))
    expected = residual * box_mean(magnitude, smoothing_window(SIZE))
    assert np.ptp(expected) > 0
    np.testing.assert_allclose(evidence, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


def test_another_output_than_the_positive_one_is_refused(ask, generating, x) -> None:
    with pytest.raises(InvalidRequestError) as refusal:
        attribute(ask, generating, x, target=2)
    assert refusal.value.field == "target"
    assert refusal.value.expected.startswith("expected 1, the positive class")


def test_it_is_nothing_where_the_score_rests_on_nothing(ask, generating, x) -> None:
    """With the image for its own baseline the score has no way to come: whatever the generator says, no evidence."""
    blank = np.full_like(x, 0.25)
    residual, evidence = (
        each.values for each in attribute(ask, generating, blank, integrated_gradients={"baseline": 0.25}).maps
    )
    assert np.abs(residual).max() > 0
    np.testing.assert_array_equal(evidence, 0)
