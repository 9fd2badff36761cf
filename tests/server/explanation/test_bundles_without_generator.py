"""Bundles that only classify and attribute, and classifiers with several outputs."""

from pathlib import Path

import numpy as np
import pytest

from medxgan.bundle import LoadedBundle, load_bundle
from medxgan.server.engine.port import Engine
from medxgan.server.engine.selection import open_engine
from medxgan.server.engine.settings import EngineSettings
from medxgan.server.errors import InvalidRequestError
from medxgan.server.explanation.table import served_maps
from medxgan.v1.bundle_pb2 import DATA_TYPE_FLOAT32
from medxgan.v1.explanation_pb2 import (
    MAP_KIND_GRAD_CAM,
    MAP_KIND_GRADIENT,
    MAP_KIND_GUIDED_BACKPROPAGATION,
    MAP_KIND_GUIDED_GRAD_CAM,
    MAP_KIND_INTEGRATED_GRADIENTS,
    MAP_KIND_LATENT_INTEGRATED_GRADIENTS,
    MAP_KIND_OCCLUSION,
    MAP_KIND_ORIGINAL,
    VERDICT_STATUS_NOT_ASSESSED,
    ClassifyRequest,
    ExplainRequest,
    GetModelRequest,
    Image,
    MapRequest,
    Tensor,
)

SIZE = 32
CLASSES = ("effusion", "nodule", "clear")
"""The outputs of `several_folder`; the second is the positive class."""


@pytest.fixture(scope="module")
def several(several_folder: Path) -> LoadedBundle:
    return load_bundle(several_folder)


@pytest.fixture(scope="module")
def x() -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (1, 1, SIZE, SIZE)).astype(np.float32)


@pytest.fixture(scope="module")
def image() -> Image:
    levels = np.random.default_rng(0).uniform(0, 200, (40, 50)).astype("<f4")
    return Image(tensor=Tensor(shape=levels.shape, data_type=DATA_TYPE_FLOAT32, data=levels.tobytes()))


def test_it_gives_the_same_maps_as_with_its_generator(explain, classifier_folder, tiny_bundle, x) -> None:
    bare = load_bundle(classifier_folder)
    kinds = served_maps(bare.description)
    without, whole = (explain(bundle, x, kinds).maps for bundle in (bare, load_bundle(tiny_bundle)))
    for kind in kinds:
        np.testing.assert_array_equal(without[kind].values, whole[kind].values)


def test_it_opens_a_film_as_with_its_generator(answer, classifier_folder, tiny_bundle, image) -> None:
    request = ClassifyRequest(image=image)
    bare, whole = (answer(load_bundle(folder), request) for folder in (classifier_folder, tiny_bundle))
    assert bare.score == whole.score
    assert bare.geometry == whole.geometry


def test_a_request_that_names_no_map_gets_those_of_one_pass(answer, several, image) -> None:
    response = answer(several, ExplainRequest(image=image))
    assert [each.kind for each in response.maps] == [
        MAP_KIND_GRADIENT,
        MAP_KIND_GUIDED_BACKPROPAGATION,
        MAP_KIND_GRAD_CAM,
        MAP_KIND_GUIDED_GRAD_CAM,
    ]
    assert response.target.class_name == "nodule"
    assert not response.HasField("outcome")
    geometry = response.geometry
    assert (geometry.rows, geometry.columns, geometry.box.bottom, geometry.box.right) == (40, 50, 40, 50)


def test_it_says_which_maps_it_has(answer, several) -> None:
    response = answer(several, GetModelRequest())
    assert [each.kind for each in response.maps] == list(served_maps(several.description))
    assert {each.kind for each in response.maps if not each.any_class} == {MAP_KIND_ORIGINAL}
    assert not response.default_settings.HasField("inversion")


def test_a_map_that_needs_the_generator_is_refused_by_place_and_name(answer, several, image) -> None:
    maps = [MapRequest(kind=MAP_KIND_GRADIENT), MapRequest(kind=MAP_KIND_LATENT_INTEGRATED_GRADIENTS)]
    with pytest.raises(InvalidRequestError, match=r"^maps\[1\]\.kind: .*LATENT_INTEGRATED_GRADIENTS needs a generator"):
        answer(several, ExplainRequest(image=image, maps=maps))


def test_torch_has_nothing_to_run_and_says_so(several) -> None:
    engine: Engine = open_engine(several, EngineSettings("torch", 1))
    engine.warm_up()
    execution = engine.execution
    assert (execution.engine, execution.requested) == ("onnxruntime", "torch")
    assert "no generator" in execution.fallback_reason


@pytest.mark.parametrize("index", [0, 1, 2])
def test_each_output_of_several_is_attributed_by_itself(explain, several, several_weights, x, index) -> None:
    """The classifier is linear: gradient w, integrated gradients (x - b) w, and occlusion's falls add up likewise."""
    kinds = [
        MAP_KIND_GRADIENT,
        MAP_KIND_GUIDED_BACKPROPAGATION,
        MAP_KIND_INTEGRATED_GRADIENTS,
        MAP_KIND_OCCLUSION,
    ]
    settings = {"integrated_gradients": {"steps": 3}, "occlusion": {"window": 4, "stride": 4}}
    explanation = explain(several, x, kinds, target_class=CLASSES[index], **settings)
    gradient, guided, integrated, occluded = (explanation.maps[kind].values for kind in kinds)
    weights = several_weights[index].reshape(SIZE, SIZE)
    assert explanation.target_logit == pytest.approx(float((weights * x[0, 0]).sum()), rel=1e-4)
    np.testing.assert_allclose(gradient, weights, rtol=1e-5)
    np.testing.assert_allclose(guided, np.maximum(weights, 0), rtol=1e-5)
    products = (x[0, 0] + 1) * weights
    np.testing.assert_allclose(integrated, products, rtol=1e-4, atol=1e-5)
    assert explanation.maps[MAP_KIND_INTEGRATED_GRADIENTS].completeness.error < 1e-4
    falls = products.reshape(8, 4, 8, 4).sum((1, 3)).repeat(4, 0).repeat(4, 1)
    np.testing.assert_allclose(occluded, falls, rtol=1e-3, atol=1e-4)


def test_the_logits_of_several_outputs(ask, several, several_weights) -> None:
    images = np.random.default_rng(1).uniform(-1, 1, (11, 1, SIZE, SIZE)).astype(np.float32)
    outputs = images.reshape(11, -1) @ several_weights.T
    for index, name in enumerate(CLASSES):
        found = ask(several, lambda model: model.networks.logits(images, name), 4)  # noqa: B023
        np.testing.assert_allclose(found, outputs[:, index], rtol=1e-4, atol=1e-4)
    odds = ask(several, lambda model: model.networks.positive_logits(images), 4)
    np.testing.assert_allclose(odds, outputs[:, 1] - np.logaddexp(outputs[:, 0], outputs[:, 2]), rtol=1e-3, atol=1e-4)


def test_the_score_is_that_of_softmax_and_a_positive_image_is_not_assessed(explain, several, several_weights) -> None:
    x = 0.05 * np.sign(several_weights[1]).reshape(1, 1, SIZE, SIZE)
    outputs = several_weights @ x.ravel()
    explanation = explain(several, x, [MAP_KIND_GRADIENT])
    expected = float(np.exp(outputs[1]) / np.exp(outputs).sum())
    assert expected > 0.5
    assert explanation.opened.score.probability == pytest.approx(expected, rel=1e-4)
    assert explanation.verdict.status == VERDICT_STATUS_NOT_ASSESSED
