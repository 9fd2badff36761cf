"""Rows run in chunks: what others get between two of them, and what a caller who leaves still costs."""

import asyncio
import time

import numpy as np
import pytest

from medxgan.server.engine.port import FloatArray
from medxgan.server.models.served_model import ServedModel
from medxgan.v1.explanation_pb2 import (
    MAP_KIND_DIFFERENCE,
    MAP_KIND_EVIDENCE,
    MAP_KIND_GRAD_CAM,
    MAP_KIND_GRADIENT,
    MAP_KIND_INTEGRATED_GRADIENTS,
    MAP_KIND_OCCLUSION,
)

CODE = (0.5, -1.0, 0.25, 2.0, 0.1, 0.3)


@pytest.fixture
def x(linear_engine) -> FloatArray:
    return linear_engine.image(*CODE)


@pytest.mark.parametrize(("rows", "chunks"), [(1, [1]), (3, [3]), (7, [3, 3, 1])])
def test_many_images_are_scored_in_chunks(ask, linear_loaded, linear_engine, rows, chunks) -> None:
    images = np.concatenate([linear_engine.image(*(index * np.array(CODE))) for index in range(rows)])
    expected = linear_engine.logit(images)

    async def positive(model: ServedModel) -> FloatArray:
        return await model.networks.positive_logits(images)

    async def by_name(model: ServedModel) -> FloatArray:
        return await model.networks.logits(images, "lesion")

    for question in (positive, by_name):
        linear_engine.rows.clear()
        np.testing.assert_array_equal(ask(linear_loaded, question, 3, linear_engine), expected)
        assert linear_engine.rows == chunks


def test_codes_are_drawn_and_scored_in_chunks(ask, linear_loaded, linear_engine) -> None:
    z = np.random.default_rng(0).standard_normal((7, 6)).astype(np.float32)
    images, logits = ask(linear_loaded, lambda model: model.networks.draw(z), 3, linear_engine)
    np.testing.assert_array_equal(images, linear_engine.generate(z))
    np.testing.assert_array_equal(logits, linear_engine.logit(images))
    assert linear_engine.rows == [3, 3, 1]


def test_one_pass_over_the_image_serves_all_that_need_no_more(explain, linear_loaded, linear_engine, x) -> None:
    explain(linear_loaded, x, [MAP_KIND_GRADIENT, MAP_KIND_GRAD_CAM], 3, linear_engine)
    assert linear_engine.log == ["classifier", "attribution"], "the first scores x"
    assert set(linear_engine.wanted[-1]) == {"logit", "gradient", "activations", "activation_gradients"}


def test_what_only_scores_images_runs_no_pass_back(explain, linear_loaded, linear_engine, x) -> None:
    explain(linear_loaded, x, [MAP_KIND_OCCLUSION], 3, linear_engine)
    assert len(linear_engine.log) > 2
    assert set(linear_engine.log) == {"classifier"}


@pytest.mark.parametrize(
    ("kind", "graph", "chunks"),
    [
        (MAP_KIND_OCCLUSION, "classifier", 22),
        (MAP_KIND_INTEGRATED_GRADIENTS, "attribution", 33),
        (MAP_KIND_EVIDENCE, "attribution", 33),
    ],
)
def test_who_leaves_costs_no_further_chunk(
    ask, explaining, linear_loaded, linear_engine, x, kind, graph, chunks
) -> None:
    settings = {
        "occlusion": {"window": 1, "stride": 1},
        "integrated_gradients": {"steps": 100},
        "inversion": {"steps": 10},
    }

    async def leaving(model: ServedModel) -> None:
        loop = asyncio.get_running_loop()
        asking = asyncio.create_task(explaining(model, x, [kind], **settings))
        linear_engine.on_run = lambda: (
            loop.call_soon_threadsafe(asking.cancel) if linear_engine.log.count(graph) == 4 else None
        )
        with pytest.raises(asyncio.CancelledError):
            await asking
        linear_engine.on_run = lambda: None
        await model.networks.draw(np.zeros((1, 6), np.float32))

    ask(linear_loaded, lambda model: explaining(model, x, [kind], **settings), 3, linear_engine)
    assert linear_engine.log.count(graph) > chunks
    linear_engine.log.clear()
    ask(linear_loaded, leaving, 3, linear_engine)
    assert linear_engine.log.count(graph) == 4
    assert linear_engine.log[-1] == "generator"


def test_inversions_advance_between_chunks(ask, explaining, linear_loaded, linear_engine, x) -> None:
    async def both(model: ServedModel) -> list[str]:
        inverting = asyncio.create_task(explaining(model, x, [MAP_KIND_DIFFERENCE], inversion={"steps": 500}))
        while "block" not in linear_engine.log:
            await asyncio.sleep(0)
        linear_engine.log.clear()
        # A chunk takes long enough for a busy machine's event loop to queue the next block meanwhile.
        linear_engine.on_run = lambda: time.sleep(0.02)
        await explaining(model, x, [MAP_KIND_OCCLUSION], occlusion={"window": 1, "stride": 1})
        meanwhile = list(linear_engine.log)
        assert (await inverting).inverted.steps_taken == 500
        return meanwhile

    meanwhile = ask(linear_loaded, both, 3, linear_engine)
    chunks, blocks = meanwhile.count("classifier"), meanwhile.count("block")
    assert chunks == 24, "of which two score the image and the target"
    assert blocks >= chunks / 2, "an inversion under way gets about a block for each chunk"
