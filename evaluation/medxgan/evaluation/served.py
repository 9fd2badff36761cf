"""A bundle as it is served, in this process: the same engine and the same path as a request takes."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medxgan.bundle import load_bundle
from medxgan.evaluation.errors import MethodError
from medxgan.evaluation.images import EvaluatedImage
from medxgan.server.engine.port import FloatArray
from medxgan.server.engine.providers import ProviderChoice
from medxgan.server.engine.selection import open_engine
from medxgan.server.engine.settings import EngineSettings
from medxgan.server.explanation.explanation import Explanation, OpenedImage
from medxgan.server.explanation.opening import reduction_of
from medxgan.server.explanation.request import resolve_settings
from medxgan.server.explanation.scores import logistic
from medxgan.server.explanation.settings import ExplanationSettings
from medxgan.server.explanation.table import MAPS, map_name, served_maps
from medxgan.server.images.film import Film
from medxgan.server.images.reduction import Reduction, reduced
from medxgan.server.models.admission import ModelCapacity
from medxgan.server.models.served_model import ServedModel
from medxgan.server.stopwatch import Phase, Stopwatch
from medxgan.v1 import explanation_pb2
from medxgan.v1.explanation_pb2 import ExplainRequest, ExplainSettings, MapKind, MapRequest

PIXELS_TOGETHER = 64 * 64**2
"""Pixels that go through a network together: with 64 pictures of 128x128 the engine's pools take 15 GB."""

CALLER = "evaluation"

PICTURES = frozenset(
    {
        explanation_pb2.MAP_KIND_ORIGINAL,
        explanation_pb2.MAP_KIND_RECONSTRUCTION,
        explanation_pb2.MAP_KIND_NEGATIVE_REALIZATION,
        explanation_pb2.MAP_KIND_APPLIED_NEGATIVE,
        explanation_pb2.MAP_KIND_POSITIVE_REALIZATION,
        explanation_pb2.MAP_KIND_COLORIZED,
        explanation_pb2.MAP_KIND_UNCERTAINTY,
    }
)
"""Maps that show something else than where the evidence lies; all others are methods, and are ranked."""


@asynccontextmanager
async def served(folder: Path, provider: ProviderChoice, threads: int) -> AsyncIterator[ServedModel]:
    """Serve the bundle in a folder NAME/VERSION/ for as long as the context lasts.

    Raises:
        BundleError: the bundle can't be served.
        UnsupportedError: this installation has not what the provider needs.
    """
    bundle = load_bundle(folder)
    picture = bundle.description.image
    rows = max(1, PIXELS_TOGETHER // (picture.height * picture.width))
    engine = open_engine(bundle, EngineSettings(provider, threads, maximum_rows=rows))
    model = ServedModel(bundle, [engine], ModelCapacity(maximum_rows=rows), reduction_of(bundle.description, engine))
    await model.start()
    try:
        yield model
    finally:
        await model.stop()


def choose_methods(model: ServedModel, wanted: Sequence[str]) -> tuple[MapKind, ...]:
    """The maps to rank, in the order of the server's table.

    Args:
        model: that has to serve them.
        wanted: names, such as "grad_cam"; none means all that the model serves.

    Raises:
        MethodError: a name is unknown, or the model does not serve the map.
    """
    methods = {map_name(kind): kind for kind in MAPS if kind not in PICTURES}
    available = served_maps(model.bundle.description)
    for name in wanted:
        if name not in methods:
            raise MethodError(f"methods: {name!r} is unknown; there are {', '.join(methods)}")
        if methods[name] not in available:
            raise MethodError(f"methods: this bundle can't serve {name}: it needs a generator")
    return tuple(kind for name, kind in methods.items() if kind in available and (not wanted or name in wanted))


def default_settings(
    model: ServedModel, maps: Sequence[MapKind], settings: ExplainSettings | None = None
) -> ExplanationSettings:
    """The settings in force for a request for these maps; where it states no settings, those that a caller gets."""
    request = ExplainRequest(maps=[MapRequest(kind=kind) for kind in maps], settings=settings)
    return resolve_settings(request, model.bundle.description)


async def open_images(model: ServedModel, images: Iterable[EvaluatedImage]) -> list[OpenedImage]:
    """The images, each opened by itself: what the networks see, and what a caller would be told at once."""
    return [await model.explainer.open(_as_it_comes(image.film, model.reduction), Stopwatch()) for image in images]


def _as_it_comes(film: Film, reduction: Reduction | None) -> Film:
    """The film as the server's model gets it: padding has no part in one that is reduced; others are the same to it."""
    return film if film.padding is None or reduction is None else reduced(film, reduction)


async def explain(model: ServedModel, opened: OpenedImage, settings: ExplanationSettings) -> tuple[Explanation, float]:
    """Explain an image; the second value is the seconds that its inversion took."""
    stopwatch = Stopwatch()
    explanation = await model.explainer.explain(opened, settings, CALLER, stopwatch)
    return explanation, stopwatch.milliseconds()[Phase.INVERSION] / 1000


async def explain_together(
    model: ServedModel, opened: Sequence[OpenedImage], settings: ExplanationSettings
) -> list[Explanation]:
    """Explain many images, whose inversions share batches as those of many callers do."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(explain(model, each, settings)) for each in opened]
    return [task.result()[0] for task in tasks]


async def probabilities(model: ServedModel, x: FloatArray) -> NDArray[np.float64]:
    """Probability [N] that C gives the positive class for x: [N, 1, S, S]."""
    return np.asarray([logistic(float(logit)) for logit in await model.networks.positive_logits(x)])
