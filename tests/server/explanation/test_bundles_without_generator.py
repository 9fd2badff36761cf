"""Bundles that only classify and attribute, and classifiers with several outputs."""

import asyncio
import json
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from google.protobuf.message import Message

from medxgan.server.admission import Admission
from medxgan.server.bundle import LoadedBundle, load_bundle
from medxgan.server.engine.port import Engine
from medxgan.server.engine.selection import open_engine
from medxgan.server.errors import BundleError, InvalidRequestError
from medxgan.server.explainers.settings import resolve_attribution_settings
from medxgan.server.explainers.table import served_methods
from medxgan.server.images.limits import ImageLimits
from medxgan.server.model import ServedModel
from medxgan.server.repository import ModelRepository
from medxgan.server.services.explanation_service import ExplanationService
from medxgan.v1.bundle_pb2 import DATA_TYPE_FLOAT32
from medxgan.v1.explanation_pb2 import (
    ATTRIBUTION_METHOD_GRADIENT,
    ATTRIBUTION_METHOD_GUIDED_BACKPROPAGATION,
    ATTRIBUTION_METHOD_INTEGRATED_GRADIENTS,
    ATTRIBUTION_METHOD_LATENT_INTEGRATED_GRADIENTS,
    ATTRIBUTION_METHOD_OCCLUSION,
    ATTRIBUTION_METHOD_RESIDUAL_MAP,
    AttributeRequest,
    ClassifyRequest,
    ExplainRequest,
    Image,
    InversionSettings,
    Tensor,
)

SIZE = 32


@pytest.fixture(scope="module")
def bare(classifier_folder: Path) -> LoadedBundle:
    return load_bundle(classifier_folder)


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


Call = Callable[[ExplanationService], Awaitable[Message]]


def answer(bundle: LoadedBundle, call: Call) -> Message:
    """What the service answers with this bundle."""

    async def serve() -> Message:
        repository = ModelRepository([ServedModel(bundle, open_engine(bundle, "cpu", threads=1), 8)])
        await repository.start()
        try:
            return await call(ExplanationService(repository, Admission(4, 1.0), ImageLimits(100, 10_000, 100_000)))
        finally:
            await repository.stop()

    return asyncio.run(serve())


def test_it_gives_the_same_attributions_as_with_its_generator(ask, bare, tiny_bundle, x) -> None:
    methods = served_methods(bare.description)

    def attribute(bundle: LoadedBundle) -> list[np.ndarray]:
        settings = resolve_attribution_settings(AttributeRequest(), bundle.description)
        return [each.values for each in ask(bundle, lambda model: model.attribute(x, methods, settings)).maps]

    for without, whole in zip(attribute(bare), attribute(load_bundle(tiny_bundle)), strict=True):
        np.testing.assert_array_equal(without, whole)


def test_it_classifies(bare, image) -> None:
    response = answer(bare, lambda service: service.Classify(ClassifyRequest(image=image), None))
    assert 0 < response.probability < 1


def test_it_does_not_explain_and_says_so(bare, image) -> None:
    with pytest.raises(InvalidRequestError) as refusal:
        answer(bare, lambda service: service.Explain(ExplainRequest(image=image), None))
    assert refusal.value.field == "model"
    assert refusal.value.expected == "bare/1 has no generator to explain with; Attribute explains its classifier"


def test_a_method_that_needs_the_generator_is_refused_by_place_and_name(bare, image) -> None:
    methods = [ATTRIBUTION_METHOD_GRADIENT, ATTRIBUTION_METHOD_LATENT_INTEGRATED_GRADIENTS]
    with pytest.raises(InvalidRequestError, match=r"^methods\[1\]: .*LATENT_INTEGRATED_GRADIENTS needs a generator"):
        answer(bare, lambda service: service.Attribute(AttributeRequest(image=image, methods=methods), None))


def test_torch_has_nothing_to_run_and_says_so(bare) -> None:
    engine: Engine = open_engine(bare, "torch", threads=1)
    engine.warm_up()
    execution = engine.execution
    assert (execution.engine, execution.requested) == ("onnxruntime", "torch")
    assert "no generator" in execution.fallback_reason


def test_an_encoder_without_generator_is_refused(classifier_folder, tiny_bundle, tmp_path) -> None:
    folder = shutil.copytree(classifier_folder, tmp_path / "bare" / "1")
    shutil.copy(tiny_bundle / "encoder.onnx", folder)
    whole = json.loads((tiny_bundle / "bundle.json").read_bytes())
    fields = json.loads((folder / "bundle.json").read_bytes())
    fields["graphs"] += [each for each in whole["graphs"] if each["file"] == "encoder.onnx"]
    (folder / "bundle.json").write_text(json.dumps(fields))
    with pytest.raises(BundleError, match="an encoder without the generator"):
        load_bundle(folder)


def test_an_attribution_graph_that_takes_no_target_is_refused_where_there_are_several(several_folder, tmp_path) -> None:
    folder = shutil.copytree(several_folder, tmp_path / "several" / "1")
    fields = json.loads((folder / "bundle.json").read_bytes())
    del fields["classification"]["outputs"], fields["classification"]["positive_output"]
    (folder / "bundle.json").write_text(json.dumps(fields))
    with pytest.raises(BundleError, match=r"attribution\.onnx: inputs: expected x, got x, target"):
        load_bundle(folder)


@pytest.mark.parametrize("target", [0, 1, 2])
def test_each_output_of_several_is_attributed_by_itself(ask, several, several_weights, x, target) -> None:
    """The classifier is linear: gradient w, integrated gradients (x - b) w, and occlusion's falls add up likewise."""
    methods = [
        ATTRIBUTION_METHOD_GRADIENT,
        ATTRIBUTION_METHOD_GUIDED_BACKPROPAGATION,
        ATTRIBUTION_METHOD_INTEGRATED_GRADIENTS,
        ATTRIBUTION_METHOD_OCCLUSION,
    ]
    request = AttributeRequest(target=target, integrated_gradients={"steps": 3}, occlusion={"window": 4, "stride": 4})
    settings = resolve_attribution_settings(request, several.description)
    answer = ask(several, lambda model: model.attribute(x, methods, settings))
    gradient, guided, integrated, occluded = (each.values for each in answer.maps)
    weights = several_weights[target].reshape(SIZE, SIZE)
    assert answer.logit == pytest.approx(float((weights * x[0, 0]).sum()), rel=1e-4)
    np.testing.assert_allclose(gradient, weights, rtol=1e-5)
    np.testing.assert_allclose(guided, np.maximum(weights, 0), rtol=1e-5)
    products = (x[0, 0] + 1) * weights
    np.testing.assert_allclose(integrated, products, rtol=1e-4, atol=1e-5)
    assert answer.maps[2].completeness.error < 1e-4
    falls = products.reshape(8, 4, 8, 4).sum((1, 3)).repeat(4, 0).repeat(4, 1)
    np.testing.assert_allclose(occluded, falls, rtol=1e-3, atol=1e-4)


def test_the_logits_of_several_outputs(ask, several, several_weights) -> None:
    images = np.random.default_rng(1).uniform(-1, 1, (11, 1, SIZE, SIZE)).astype(np.float32)
    outputs = images.reshape(11, -1) @ several_weights.T
    for target in range(3):
        found = ask(several, lambda model: model.logits(images, target), 4)  # noqa: B023
        np.testing.assert_allclose(found, outputs[:, target], rtol=1e-4, atol=1e-4)
    odds = ask(several, lambda model: model.logits(images), 4)
    np.testing.assert_allclose(odds, outputs[:, 1] - np.logaddexp(outputs[:, 0], outputs[:, 2]), rtol=1e-3, atol=1e-4)


def test_a_response_holds_the_settings_that_a_method_used_and_no_others(several, image) -> None:
    def attribute(*methods: int, **fields: object) -> Message:
        request = AttributeRequest(image=image, methods=methods, **fields)
        return answer(several, lambda service: service.Attribute(request, None))

    response = attribute(ATTRIBUTION_METHOD_GRADIENT, target=2, occlusion={"window": 5}, seed=3)
    assert (response.target, response.target_class) == (2, "clear")
    for field in ("integrated_gradients", "occlusion", "inversion", "verdict"):
        assert not response.HasField(field)
    assert response.seed == 0
    assert not response.attributions[0].HasField("completeness")
    assert response.attributions[0].elapsed_ms > 0
    response = attribute(ATTRIBUTION_METHOD_INTEGRATED_GRADIENTS, integrated_gradients={"baseline": 0})
    assert (response.target, response.target_class) == (1, "nodule")
    assert (response.integrated_gradients.steps, response.integrated_gradients.baseline) == (50, 0)
    assert response.integrated_gradients.HasField("baseline")
    completeness = response.attributions[0].completeness
    assert completeness.error == pytest.approx(abs(completeness.attributed - completeness.change), abs=1e-5)
    assert not response.HasField("occlusion")
    response = attribute(ATTRIBUTION_METHOD_OCCLUSION, occlusion={"window": 5})
    assert (response.occlusion.window, response.occlusion.stride, response.occlusion.level) == (5, 2, -1)
    assert not response.HasField("integrated_gradients")


def test_a_response_holds_the_verdict_where_the_generator_was_needed(tiny_bundle, image) -> None:
    bundle = load_bundle(tiny_bundle)
    request = AttributeRequest(
        image=image, methods=[ATTRIBUTION_METHOD_RESIDUAL_MAP], inversion=InversionSettings(steps=7), seed=9
    )
    response = answer(bundle, lambda service: service.Attribute(request, None))
    assert (response.target, response.target_class) == (0, "lesion")
    explained = answer(
        bundle, lambda service: service.Explain(ExplainRequest(image=image, inversion=request.inversion, seed=9), None)
    )
    assert response.verdict == explained.verdict
    assert response.inversion == explained.inversion
    assert response.seed == 9
    assert response.image == next(map_.tensor for map_ in explained.maps)


def test_settings_without_inversion_do_not_invert(ask, tiny_bundle, x) -> None:
    bundle = load_bundle(tiny_bundle)
    settings = replace(resolve_attribution_settings(AttributeRequest(), bundle.description), inversion=None)
    with pytest.raises(ValueError, match="without generator"):
        ask(bundle, lambda model: model.attribute(x, [ATTRIBUTION_METHOD_RESIDUAL_MAP], settings))
