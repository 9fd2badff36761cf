"""What a map is made of."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from medxgan.server.engine.port import FloatArray
from medxgan.server.explanation.explanation import Completeness, Inverted, PositiveRealization
from medxgan.server.explanation.networks import Networks
from medxgan.server.explanation.settings import ExplanationSettings

Part = TypeVar("Part")


@dataclass(frozen=True)
class Subject:
    """The image to explain, and what is known of it before any map is made.

    Attributes:
        x: [1, 1, S, S] in [-1, 1].
        networks: the bundle's networks, to run on further rows.
        settings: in force.
        outputs: of the attribution graphs at x for the target, a batch of one: what any of the request's maps names.
        target_logit: of the target at x; NaN where no map of the request can explain any class.
        found: the finished inversion; there for a map that needs it.
        positive_realization: there for a map that needs it.
    """

    x: FloatArray
    networks: Networks
    settings: ExplanationSettings
    outputs: Mapping[str, FloatArray]
    target_logit: float
    found: Inverted | None = None
    positive_realization: PositiveRealization | None = None

    @property
    def original(self) -> FloatArray:
        """[S, S] in [-1, 1]: x as a picture."""
        picture: FloatArray = self.x[0, 0]
        return picture

    @property
    def inverted(self) -> Inverted:
        """The finished inversion, for a map whose row in the table says that it needs it."""
        return _stated(self.found)

    @property
    def positive(self) -> PositiveRealization:
        """The positive realization, for a map whose row in the table says that it needs it."""
        return _stated(self.positive_realization)


Made = FloatArray | tuple[FloatArray, Completeness]
"""The values of a map, [S, S], [1, 1, S, S] or [S, S, 3]; of an integral of gradients with its completeness."""


def _stated(part: Part | None) -> Part:
    if part is None:
        raise ValueError("the map's row in the table does not say what it needs")
    return part
