"""The attributions of one image by several methods."""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from medxgan.server.engine.port import FloatArray
from medxgan.server.explainers.explainer import Completeness, Subject
from medxgan.server.explainers.settings import AttributionSettings
from medxgan.server.explainers.table import EXPLAINERS
from medxgan.server.explanation import Explained
from medxgan.server.networks import Networks
from medxgan.v1.explanation_pb2 import AttributionMethod


@dataclass(frozen=True)
class AttributionMap:
    """The attribution of one method.

    Attributes:
        method: the method.
        values: [S, S] float32, in the units that explanation.proto states for the method.
        completeness: of an integral of gradients; None for other methods.
        seconds: that the method took, with the time that it waited for its turns. The pass over x that it shares with
            other methods counts for each of them; the inversion that it shares with others is apart.
    """

    method: AttributionMethod
    values: FloatArray
    completeness: Completeness | None
    seconds: float


@dataclass(frozen=True)
class Attributions:
    """The attributions of one image.

    Attributes:
        original: [S, S] in [-1, 1], x: the image as the networks see it, which the maps lie over.
        logit: of the target.
        maps: one for each method asked for, in that order.
        explained: the inversion that the methods which need the generator share; None where there is no such method.
    """

    original: FloatArray
    logit: float
    maps: tuple[AttributionMap, ...]
    explained: Explained | None


async def attribute(
    x: FloatArray,
    methods: Sequence[AttributionMethod],
    settings: AttributionSettings,
    networks: Networks,
    invert: Callable[[], Awaitable[Explained]],
) -> Attributions:
    """Attribute one image by each method, one after the other.

    Args:
        x: [1, 1, S, S] in [-1, 1].
        methods: that the bundle can serve.
        settings: in force.
        networks: the bundle's.
        invert: inverts x; called once at most, where a method needs the generator.
    """
    began = time.perf_counter()
    read = {output for method in methods for output in EXPLAINERS[method].outputs}
    outputs = await networks.attribution(x, settings.target, ["logit", *sorted(read)])
    pass_seconds = time.perf_counter() - began
    explained = await invert() if any(EXPLAINERS[method].needs_generator for method in methods) else None
    subject = Subject(x, networks, settings, outputs, explained)
    maps = [await _attribution_map(subject, method, pass_seconds) for method in methods]
    return Attributions(x[0, 0], subject.logit, tuple(maps), explained)


async def _attribution_map(subject: Subject, method: AttributionMethod, pass_seconds: float) -> AttributionMap:
    explainer = EXPLAINERS[method]
    began = time.perf_counter() - (pass_seconds if explainer.outputs else 0)
    attribution = await explainer.explain(subject)
    return AttributionMap(method, attribution.values, attribution.completeness, time.perf_counter() - began)
