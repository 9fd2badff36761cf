"""Calls of a bundle's OPEN graph, with a whole film or with one that was reduced before."""

from collections.abc import Sequence
from typing import cast

import numpy as np

from medxgan.bundle.graphs import signature
from medxgan.server.engine.port import Engine, FloatArray
from medxgan.server.images.contrast import Percentiles
from medxgan.server.images.film import Film
from medxgan.server.images.reduction import Aspect, Reduction, reduced
from medxgan.server.log import get_logger
from medxgan.v1 import bundle_pb2

_log = get_logger(__name__)

_SAME = 1e-4
"""Difference of outputs, relative or absolute, that rounding accounts for: a logit sums up thousands of products."""
_SAME_X = 5e-6
"""Difference of x in [-1, 1] that rounding in single precision accounts for."""


def outputs_without_guess(bundle: bundle_pb2.Bundle) -> list[str]:
    """What of OPEN's outputs an image needs that is not inverted: all but `z`."""
    return [name for name in signature(bundle_pb2.GRAPH_ROLE_OPEN, bundle).outputs if name != "z"]


def run_open(engine: Engine, film: Film, outputs: Sequence[str] | None = None) -> dict[str, FloatArray]:
    """Run the OPEN graph on a film. Of a reduced film `box` is that of the reduced one.

    Args:
        engine: runs it.
        film: the film.
        outputs: the outputs wanted; all where left out.
    """
    # The pixels of a reduced film are square: they are those of x.
    aspect = film.upright_pixel_aspect if film.reduced is None else 1.0
    inputs = {
        "image": film.levels.astype(np.float32, copy=False)[np.newaxis, np.newaxis],
        "inverted": np.full(1, film.inverted, np.float32),
        "pixel_aspect": np.full(1, aspect, np.float32),
    }
    return engine.run(bundle_pb2.GRAPH_ROLE_OPEN, inputs, outputs)


def reduction_of(bundle: bundle_pb2.Bundle, engine: Engine) -> Reduction | None:
    """What films may be reduced to before the OPEN graph sees them; None where it makes another x of them then.

    The graph says what x is. That it does what bundle.json states of it is tried out on two films. The guess is made of
    x, and needs no trial of its own.
    """
    image = bundle.image
    aspect = bundle_pb2.Aspect.Name(image.aspect).removeprefix("ASPECT_").lower()
    percentiles = Percentiles(image.lower_percentile, image.upper_percentile)
    reduction = Reduction(image.height, cast("Aspect", aspect), percentiles)
    outputs = outputs_without_guess(bundle)
    if image.height == image.width and all(
        _opens_the_same(engine, film, reduction, outputs) for film in _probes(image.height)
    ):
        return reduction
    _log.warning("films_are_not_reduced", model=bundle.name, reason="the OPEN graph makes another x of a reduced film")
    return None


def _opens_the_same(engine: Engine, film: Film, reduction: Reduction, outputs: Sequence[str]) -> bool:
    small = reduced(film, reduction)
    whole, from_small = run_open(engine, film, outputs), run_open(engine, small, outputs)
    if small.reduced is None or not np.allclose(whole.pop("box"), small.reduced.box, rtol=_SAME, atol=_SAME):
        return False
    return np.allclose(whole["x"], from_small["x"], rtol=0, atol=_SAME_X) and all(
        np.allclose(values, from_small[name], rtol=_SAME, atol=_SAME) for name, values in whole.items()
    )


def _probes(side: int) -> tuple[Film, Film]:
    """A wide film with tall pixels that is larger than x, and a tall one that is smaller and inverted."""
    large = _waves(2 * side + 3, 3 * side + 1)
    small = _waves(side // 2 + 2, side // 2)
    return Film(large, pixel_aspect=1.25), Film(small, inverted=True, pixel_aspect=0.8)


def _waves(height: int, width: int) -> FloatArray:
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    values: FloatArray = (1000 + 400 * np.sin(rows / 7) * np.cos(columns / 5) + rows + 2 * columns).astype(np.float32)
    return values
