"""A bundle as it is served, in this process: the same engine and the same path as a request takes."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medxgan.evaluation.images import EvaluatedImage
from medxgan.server.bundle import load_bundle
from medxgan.server.engine.providers import ProviderChoice
from medxgan.server.engine.selection import open_engine
from medxgan.server.explainers.settings import AttributionSettings, resolve_attribution_settings
from medxgan.server.model import ServedModel
from medxgan.server.scores import probability
from medxgan.v1.explanation_pb2 import AttributeRequest

MAXIMUM_BATCH = 64
"""Rows that go through a network together."""


@asynccontextmanager
async def served(folder: Path, provider: ProviderChoice, threads: int) -> AsyncIterator[ServedModel]:
    """Serve the bundle in a folder NAME/VERSION/ for as long as the context lasts.

    Raises:
        BundleError: the bundle can't be served.
        UnsupportedError: this installation has not what the provider needs.
    """
    bundle = load_bundle(folder)
    model = ServedModel(bundle, open_engine(bundle, provider, threads), MAXIMUM_BATCH)
    await model.start()
    try:
        yield model
    finally:
        await model.stop()


def default_settings(model: ServedModel) -> AttributionSettings:
    """The settings in force where a request names none: those that the evaluation measures."""
    return resolve_attribution_settings(AttributeRequest(), model.bundle.description)


async def probabilities(model: ServedModel, x: NDArray[np.float32]) -> NDArray[np.float64]:
    """Probability [N] that C gives the positive class for x: [N, 1, S, S]."""
    return np.asarray([probability(float(logit)) for logit in await model.logits(x)])


async def score_images(model: ServedModel, images: Sequence[EvaluatedImage]) -> NDArray[np.float64]:
    """C(x) [N] of the images, each scored by itself: what a caller would be told."""
    return np.concatenate([await probabilities(model, await model.preprocess(image.grey)) for image in images])
