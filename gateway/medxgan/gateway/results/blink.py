"""From the film to the film less what the pathology adds: a multi-frame picture for a viewer to play.

The negative realization is as coarse as x. Here the film keeps its detail: what is taken away from it is the
difference, laid on it and brought from units of x to its own grey levels.
"""

from collections.abc import Iterator

import numpy as np
from pydicom import Dataset

from medxgan.client import Explanation, MapKind
from medxgan.gateway.results import capture
from medxgan.gateway.results.errors import UnusableFilmError
from medxgan.gateway.results.film import WHITE, FloatArray
from medxgan.gateway.results.legend import Block, laid_out, model_block, score_text, verdict_block
from medxgan.gateway.results.origin import Origin
from medxgan.gateway.results.overlay import MapOnFilm

MOST_BYTES = 2**32 - 2
"""Of pixels that are not compressed."""
BLINK_MS, STEP_MS = 700.0, 300.0
"""Milliseconds that a picture is shown for: of two, and of more."""


def blink(origin: Origin, film: FloatArray, difference: MapOnFilm, pictures: int) -> Dataset:
    """The film, and what is left of it when more and more of the difference is taken away.

    Args:
        origin: of the result.
        film: [rows, columns] in [0, 255], as a viewer shows it.
        difference: laid on the film.
        pictures: 2: the film and the film less the difference. More: the film, then those on the explanation's
            trajectory, which has as many, the one that is most negative last.

    Raises:
        UnusableFilmError: there is no room for so many pictures in an object.
        LookupError: the explanation has no trajectory of as many pictures.
    """
    if 3 * film.size * pictures > MOST_BYTES:
        raise UnusableFilmError("Rows, Columns", f"a film of which {pictures} pictures in colour are below 4 GiB")
    explanation = origin.explanation
    per_unit = grey_per_unit(film, explanation)
    frames = []
    for words, change in _steps(explanation, difference, pictures):
        grey = np.clip(film + per_unit * change, 0.0, WHITE)
        frame = np.repeat(np.rint(grey).astype(np.uint8)[..., np.newaxis], 3, axis=2)
        legend = laid_out(
            [Block(words), verdict_block(explanation), model_block(explanation)],
            film.shape,
            explanation.geometry.pixel_aspect,
            difference.strength,
        )
        legend.burn_into(frame)
        frames.append(frame)
    return capture.cine(
        origin,
        frames,
        "blink",
        2,
        f"1: film; from 2 on: film less more and more of the difference. The legend dims rows {legend.top + 1} to "
        f"{legend.bottom}.",
        BLINK_MS if len(frames) == 2 else STEP_MS,
    )


def grey_per_unit(film: FloatArray, explanation: Explanation) -> float:
    """Grey levels of the film as it is shown for one unit of x: the slope of the line that fits the two best.

    0 where the film or x is flat. Pixels that the window of the one or the other cuts off are left out.
    """
    x = explanation.on_film(MapKind.ORIGINAL)
    inside = (np.abs(x) < 0.99) & (film > 0.0) & (film < WHITE)
    if not inside.any():
        return 0.0
    seen, shown = x[inside].astype(np.float64), film[inside].astype(np.float64)
    seen -= seen.mean()
    variance = float((seen**2).mean())
    return max(0.0, float((seen * (shown - shown.mean())).mean()) / variance) if variance > 0 else 0.0


def _steps(
    explanation: Explanation, difference: MapOnFilm, pictures: int
) -> Iterator[tuple[tuple[str, str], FloatArray]]:
    """What each picture is called, and what is added to the film in it, in units of x."""
    yield ("FILM", "nothing taken away"), np.zeros_like(difference.values)
    if pictures == 2:
        applied = explanation.scores.applied_negative
        yield (
            (
                "COMPUTED: FILM LESS THE DIFFERENCE",
                "" if applied is None else f"this: {score_text(explanation, applied)}",
            ),
            -np.nan_to_num(difference.values),
        )
        return
    trajectory = explanation.trajectory
    if len(trajectory) != pictures:
        raise LookupError(f"expected a trajectory of {pictures} pictures, got {len(trajectory)}")
    reconstruction = explanation.reconstruction
    # The positive end of a positive film is its reconstruction: there the film is as it is.
    last = -1 if explanation.scores.original.positive else len(trajectory)
    for frame in reversed(trajectory[:last]):
        change = explanation.geometry.lay_on_film(frame.array() - reconstruction, fill=0.0)
        yield (f"COMPUTED: PATHOLOGY AT {frame.position:.0%}", "not an acquired image"), change
