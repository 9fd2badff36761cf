"""The difference in colour over the film, with its legend, as one picture."""

from pydicom import Dataset

from medxgan.client import MapKind
from medxgan.gateway.results import capture
from medxgan.gateway.results.film import FloatArray
from medxgan.gateway.results.legend import bar_block, laid_out, model_block, verdict_block
from medxgan.gateway.results.origin import Origin
from medxgan.gateway.results.overlay import MapOnFilm, coloured


def secondary_capture(origin: Origin, film: FloatArray, difference: MapOnFilm) -> Dataset:
    """The difference in colour over the film, at the film's size.

    Args:
        origin: of the result.
        film: [rows, columns] in [0, 255], as a viewer shows it.
        difference: laid on the film.
    """
    explanation = origin.explanation
    strength = difference.strength
    picture = coloured(film, strength)
    legend = laid_out(
        [bar_block(difference.magnitude), verdict_block(explanation), model_block(explanation)],
        film.shape,
        explanation.geometry.pixel_aspect,
        strength,
    )
    legend.burn_into(picture)
    return capture.single(
        origin,
        picture,
        "secondary capture",
        1,
        f"Film with the map {MapKind.DIFFERENCE.value!r} in colour; the legend dims rows {legend.top + 1} to "
        f"{legend.bottom} of the film.",
    )
