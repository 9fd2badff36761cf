"""What an explainer is, what it is given and what it gives."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import numpy as np

from medxgan.server.engine.port import FloatArray
from medxgan.server.explainers.settings import AttributionSettings
from medxgan.server.explanation import Explained
from medxgan.server.networks import Networks


@dataclass(frozen=True)
class Subject:
    """The image to explain, and what is known of it before any explainer runs.

    Attributes:
        x: [1, 1, S, S] in [-1, 1].
        networks: the bundle's networks, to run on further rows.
        settings: in force.
        outputs: of the attribution graph at x for the target, a batch of one: the logit, and what any of the request's
            explainers names in its `outputs`.
        explained: the finished inversion; there for an explainer that needs the generator.
    """

    x: FloatArray
    networks: Networks
    settings: AttributionSettings
    outputs: Mapping[str, FloatArray]
    explained: Explained | None = None

    @property
    def logit(self) -> float:
        """Logit of the target at x."""
        return float(self.outputs["logit"][0])

    @property
    def inversion(self) -> Explained:
        """The finished inversion, for an explainer that needs the generator."""
        if self.explained is None:
            raise ValueError("the explainer's row in the table does not say that it needs the generator")
        return self.explained


@dataclass(frozen=True)
class Completeness:
    """Whether an integral of gradients adds up, in units of the logit.

    The axiom of completeness (Sundararajan et al. 2017) asks that it does.

    Attributes:
        attributed: sum of the attribution's values.
        change: of the logit from the path's begin to its end.
    """

    attributed: float
    change: float

    @property
    def error(self) -> float:
        """|attributed - change|: 0 for an exact integral along a straight path."""
        return abs(self.attributed - self.change)


@dataclass(frozen=True)
class Attribution:
    """What one explainer gives: values [S, S] float32 in the units that explanation.proto states for its method."""

    values: FloatArray
    completeness: Completeness | None = None


@dataclass(frozen=True)
class Explainer:
    """A method of attribution.

    Attributes:
        explain: computes it. Large work goes through the subject's networks, chunk by chunk, so that it can be
            cancelled and lets others have their turn.
        outputs: outputs of the attribution graph at x that it reads, the logit apart. One pass serves all explainers.
        needs_generator: whether it reads the finished inversion. Such a method explains the positive class.
    """

    explain: Callable[[Subject], Awaitable[Attribution]]
    outputs: tuple[str, ...] = ()
    needs_generator: bool = False


def attribution(values: np.ndarray, completeness: Completeness | None = None) -> Attribution:
    """The attribution of values of any precision, [S, S] or [1, 1, S, S]."""
    return Attribution(values.reshape(values.shape[-2:]).astype(np.float32), completeness)
