"""The one table of maps: name, unit, range, what each needs, what it costs, and how it is made."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from medxgan.server.engine.port import FloatArray
from medxgan.server.explanation.maps.difference import colorized_map
from medxgan.server.explanation.maps.gradients import grad_cam, gradient, guided_backpropagation, guided_grad_cam
from medxgan.server.explanation.maps.occlusion import occlusion, window_covers
from medxgan.server.explanation.maps.path_integral import integrated_gradients, latent_integrated_gradients
from medxgan.server.explanation.maps.residual import evidence, residual
from medxgan.server.explanation.maps.subject import Made, Subject
from medxgan.server.explanation.settings import DEFAULT_PATH_STEPS, ExplanationSettings
from medxgan.v1 import bundle_pb2, explanation_pb2
from medxgan.v1.explanation_pb2 import (
    MAP_NEED_INVERSION,
    MAP_NEED_PATH,
    MAP_NEED_POSITIVE_SEARCH,
    MAP_NEED_RESTARTS,
    MAP_NEED_WINDOWS,
    MapKind,
    MapNeed,
)

GREY = "grey level of x, from -1 to 1"
LOGIT = "logit"


@dataclass(frozen=True)
class MapMethod:
    """One map that can be asked for.

    Attributes:
        title: name for a person.
        unit: of its values.
        make: makes it. Large work goes through the subject's networks, chunk by chunk, so that it can be cancelled and
            lets others have their turn.
        range: least and greatest value; None where there is no bound.
        needs: what it needs.
        outputs: outputs of the attribution graphs at x that it reads. One pass serves all maps.
        cost: at the default settings, in passes of the classifier forward, a backward pass counted as two; without the
            inversion, and without the windows of an occlusion map, whose number depends on the side of x.
        channels: 1, or 3 for a map in colour.
        default: whether a request that names no map gets it.
    """

    title: str
    unit: str
    make: Callable[[Subject], Awaitable[Made]]
    range: tuple[float, float] | None = None
    needs: tuple[MapNeed, ...] = ()
    outputs: tuple[str, ...] = ()
    cost: int = 0
    channels: int = 1
    default: bool = False

    @property
    def any_class(self) -> bool:
        """Whether it can explain any class of the classifier; what needs the inversion explains the positive one."""
        return self.cost > 0 and MAP_NEED_INVERSION not in self.needs

    def passes(self, settings: ExplanationSettings, side: int) -> float:
        """What it costs with these settings, windows counted, in the unit of `cost`.

        Args:
            settings: in force.
            side: S, the side of x in pixels.
        """
        if MAP_NEED_PATH in self.needs:
            return self.cost * settings.path_steps / DEFAULT_PATH_STEPS
        if MAP_NEED_WINDOWS in self.needs:
            return float(self.cost + len(window_covers(side, settings.window, settings.stride)) ** 2)
        return self.cost

    def is_default(self, has_generator: bool) -> bool:
        """Whether a request that names no map gets it.

        That are the pictures of the inversion, where there is a generator, else what one pass over the image gives.
        """
        return self.default if has_generator else bool(self.outputs)


def _drawn(draw: Callable[[Subject], FloatArray]) -> Callable[[Subject], Awaitable[Made]]:
    """A map that is there as soon as the inversion is."""

    async def make(subject: Subject) -> Made:
        return draw(subject)

    return make


MAPS: Mapping[MapKind, MapMethod] = {
    explanation_pb2.MAP_KIND_ORIGINAL: MapMethod(
        "Original", GREY, _drawn(lambda subject: subject.original), (-1, 1), default=True
    ),
    explanation_pb2.MAP_KIND_RECONSTRUCTION: MapMethod(
        "Reconstruction",
        GREY,
        _drawn(lambda subject: subject.inverted.reconstruction),
        (-1, 1),
        (MAP_NEED_INVERSION,),
        default=True,
    ),
    explanation_pb2.MAP_KIND_NEGATIVE_REALIZATION: MapMethod(
        "Negative realization",
        GREY,
        _drawn(lambda subject: subject.inverted.negative_realization),
        (-1, 1),
        (MAP_NEED_INVERSION,),
        default=True,
    ),
    explanation_pb2.MAP_KIND_APPLIED_NEGATIVE: MapMethod(
        "Applied negative",
        GREY,
        _drawn(lambda subject: subject.inverted.applied_negative),
        (-1, 1),
        (MAP_NEED_INVERSION,),
    ),
    explanation_pb2.MAP_KIND_POSITIVE_REALIZATION: MapMethod(
        "Positive realization",
        GREY,
        _drawn(lambda subject: subject.positive.picture),
        (-1, 1),
        (MAP_NEED_INVERSION, MAP_NEED_POSITIVE_SEARCH),
    ),
    explanation_pb2.MAP_KIND_DIFFERENCE: MapMethod(
        "Difference",
        GREY,
        _drawn(lambda subject: subject.inverted.difference),
        (-2, 2),
        (MAP_NEED_INVERSION,),
        default=True,
    ),
    explanation_pb2.MAP_KIND_COLORIZED: MapMethod(
        "Colorized difference",
        "red, green and blue, from 0 to 1",
        _drawn(lambda subject: colorized_map(subject.original, subject.inverted.difference)),
        (0, 1),
        (MAP_NEED_INVERSION,),
        channels=3,
        default=True,
    ),
    explanation_pb2.MAP_KIND_RESIDUAL: MapMethod(
        "Residual", "grey level of x, squared, with a sign", residual, (-4, 4), (MAP_NEED_INVERSION,)
    ),
    explanation_pb2.MAP_KIND_EVIDENCE: MapMethod(
        "Evidence",
        "grey level of x, squared, with a sign, times logit",
        evidence,
        None,
        (MAP_NEED_INVERSION, MAP_NEED_PATH),
        cost=152,
    ),
    explanation_pb2.MAP_KIND_UNCERTAINTY: MapMethod(
        "Uncertainty",
        GREY,
        _drawn(lambda subject: _stated_uncertainty(subject)),
        (0, 2),
        (MAP_NEED_INVERSION, MAP_NEED_RESTARTS),
    ),
    explanation_pb2.MAP_KIND_GRADIENT: MapMethod(
        "Gradient", "logit per grey level of x", gradient, outputs=("gradient",), cost=3
    ),
    explanation_pb2.MAP_KIND_GUIDED_BACKPROPAGATION: MapMethod(
        "Guided backpropagation",
        "logit per grey level of x",
        guided_backpropagation,
        outputs=("guided_gradient",),
        cost=5,
    ),
    explanation_pb2.MAP_KIND_GRAD_CAM: MapMethod(
        "Grad-CAM",
        "activation times logit per activation",
        grad_cam,
        outputs=("activations", "activation_gradients"),
        cost=1,
    ),
    explanation_pb2.MAP_KIND_GUIDED_GRAD_CAM: MapMethod(
        "Guided Grad-CAM",
        "product of guided backpropagation and Grad-CAM",
        guided_grad_cam,
        outputs=("guided_gradient", "activations", "activation_gradients"),
        cost=5,
    ),
    explanation_pb2.MAP_KIND_INTEGRATED_GRADIENTS: MapMethod(
        "Integrated gradients", LOGIT, integrated_gradients, needs=(MAP_NEED_PATH,), cost=153
    ),
    explanation_pb2.MAP_KIND_LATENT_INTEGRATED_GRADIENTS: MapMethod(
        "Latent integrated gradients",
        LOGIT,
        latent_integrated_gradients,
        needs=(MAP_NEED_INVERSION, MAP_NEED_PATH),
        cost=202,
    ),
    explanation_pb2.MAP_KIND_OCCLUSION: MapMethod("Occlusion", LOGIT, occlusion, needs=(MAP_NEED_WINDOWS,), cost=1),
}
"""Every map of explanation.proto, in the order of the enum."""


def _stated_uncertainty(subject: Subject) -> FloatArray:
    if subject.inverted.uncertainty is None:
        raise ValueError("an uncertainty of one start")
    return subject.inverted.uncertainty


def map_name(kind: MapKind) -> str:
    """The name in lower case: "grad_cam"."""
    return MapKind.Name(kind).removeprefix("MAP_KIND_").lower()


def served_maps(bundle: bundle_pb2.Bundle) -> tuple[MapKind, ...]:
    """The maps that a bundle can make, in the order of the table."""
    return tuple(
        kind for kind, method in MAPS.items() if bundle.HasField("latent") or MAP_NEED_INVERSION not in method.needs
    )
