"""Rows run in chunks: what others get between two of them, and what a caller who leaves still costs."""

import asyncio

import numpy as np
import pytest

from medxgan.server.engine.port import FloatArray
from medxgan.server.explainers.settings import AttributionSettings, resolve_attribution_settings
from medxgan.server.images.grey import GreyImage
from medxgan.server.inversion import InversionSettings
from medxgan.server.model import ServedModel
from medxgan.v1 import bundle_pb2
from medxgan.v1.explanation_pb2 import (
    ATTRIBUTION_METHOD_EVIDENCE_MAP,
    ATTRIBUTION_METHOD_GRAD_CAM,
    ATTRIBUTION_METHOD_GRADIENT,
    ATTRIBUTION_METHOD_INTEGRATED_GRADIENTS,
    ATTRIBUTION_METHOD_LATENT_INTEGRATED_GRADIENTS,
    ATTRIBUTION_METHOD_OCCLUSION,
    AttributeRequest,
    IntegratedGradientsSettings,
    OcclusionSettings,
)

CODE = (0.5, -1.0, 0.25, 2.0, 0.1, 0.3)


@pytest.fixture
def x(linear_engine) -> FloatArray:
    return linear_engine.image(*CODE)


def resolve(bundle: bundle_pb2.Bundle, **fields: object) -> AttributionSettings:
    return resolve_attribution_settings(AttributeRequest(**fields), bundle)


@pytest.mark.parametrize(("rows", "chunks"), [(1, [1]), (3, [3]), (7, [3, 3, 1])])
def test_many_images_are_scored_in_chunks(ask, linear_loaded, linear_engine, rows, chunks) -> None:
    images = np.concatenate([linear_engine.image(*(index * np.array(CODE))) for index in range(rows)])
    expected = linear_engine.logit(images)
    for target in (None, 0):
        linear_engine.rows.clear()
        found = ask(linear_loaded, lambda model: model.logits(images, target), 3, linear_engine)  # noqa: B023
        np.testing.assert_array_equal(found, expected)
        assert linear_engine.rows == chunks


def test_one_pass_over_the_image_serves_all_that_need_no_more(ask, linear_loaded, linear_engine, x) -> None:
    methods = [ATTRIBUTION_METHOD_GRADIENT, ATTRIBUTION_METHOD_GRAD_CAM]
    ask(linear_loaded, lambda m: m.attribute(x, methods, resolve(linear_loaded.description)), 3, linear_engine)
    assert linear_engine.log == ["attribution"]
    (wanted,) = linear_engine.wanted
    assert set(wanted) == {"logit", "gradient", "activations", "activation_gradients"}


def test_what_only_scores_images_runs_no_pass_back(ask, linear_loaded, linear_engine, x) -> None:
    methods = [ATTRIBUTION_METHOD_OCCLUSION]
    ask(linear_loaded, lambda m: m.attribute(x, methods, resolve(linear_loaded.description)), 3, linear_engine)
    assert len(linear_engine.wanted) > 1
    assert all(wanted == ["logit"] for wanted in linear_engine.wanted)


def test_one_inversion_serves_all_that_need_the_generator(ask, linear_loaded, linear_engine, x) -> None:
    settings = resolve(linear_loaded.description, inversion={"steps": 30})
    methods = ServedModel(linear_loaded, linear_engine, 8).methods()
    answer = ask(linear_loaded, lambda model: model.attribute(x, methods, settings), 8, linear_engine)
    assert linear_engine.blocks == [(1, 10)] * 3
    assert answer.explained.outcome.steps_taken == 30


def test_the_seed_of_the_inversion_matters_and_repeats(ask, linear_loaded, linear_engine, x) -> None:
    methods = [ATTRIBUTION_METHOD_LATENT_INTEGRATED_GRADIENTS]

    def answer(seed: int) -> FloatArray:
        settings = resolve(linear_loaded.description, inversion={"steps": 20}, seed=seed)
        return ask(linear_loaded, lambda m: m.attribute(x, methods, settings), 8, linear_engine).maps[0].values

    np.testing.assert_array_equal(answer(1), answer(1))
    assert np.abs(answer(1) - answer(2)).max() > 1e-3


@pytest.mark.parametrize(
    ("method", "chunks"),
    [
        (ATTRIBUTION_METHOD_OCCLUSION, 22),
        (ATTRIBUTION_METHOD_INTEGRATED_GRADIENTS, 34),
        (ATTRIBUTION_METHOD_EVIDENCE_MAP, 34),
    ],
)
def test_who_leaves_costs_no_further_chunk(ask, linear_loaded, linear_engine, x, method, chunks) -> None:
    settings = resolve(
        linear_loaded.description,
        occlusion=OcclusionSettings(window=1, stride=1),
        integrated_gradients=IntegratedGradientsSettings(steps=100),
    )

    async def whole(model: ServedModel) -> None:
        await model.attribute(x, [method], settings)

    async def leaving(model: ServedModel) -> None:
        loop = asyncio.get_running_loop()
        attributing = asyncio.create_task(model.attribute(x, [method], settings))
        linear_engine.on_run = lambda: (
            loop.call_soon_threadsafe(attributing.cancel) if linear_engine.log.count("attribution") == 4 else None
        )
        with pytest.raises(asyncio.CancelledError):
            await attributing
        await model.logits(x)

    ask(linear_loaded, whole, 3, linear_engine)
    assert linear_engine.log.count("attribution") > chunks
    linear_engine.log.clear()
    ask(linear_loaded, leaving, 3, linear_engine)
    # Whatever an inversion runs comes after the pass over x and before the first chunk of the path.
    assert linear_engine.log.count("attribution") == 4
    assert linear_engine.log[-4:] == ["attribution"] * 3 + ["classifier"]


def test_inversions_advance_between_chunks(ask, linear_loaded, linear_engine, x) -> None:
    settings = resolve(linear_loaded.description, occlusion=OcclusionSettings(window=1, stride=1))

    async def both(model: ServedModel) -> list[str]:
        image = GreyImage(x[0, 0])
        inverting = asyncio.create_task(model.explain(image, InversionSettings(500, 0.05, 4.0), 0))
        while "block" not in linear_engine.log:
            await asyncio.sleep(0)
        linear_engine.log.clear()
        await model.attribute(x, [ATTRIBUTION_METHOD_OCCLUSION], settings)
        meanwhile = list(linear_engine.log)
        assert (await inverting).explained.outcome.steps_taken == 500
        return meanwhile

    meanwhile = ask(linear_loaded, both, 3, linear_engine)
    chunks, blocks = meanwhile.count("attribution"), meanwhile.count("block")
    assert chunks == 23
    assert blocks >= chunks / 2, "an inversion under way gets about a block for each chunk"
