"""The methods by the names that the command and the report use: `grad_cam` for ATTRIBUTION_METHOD_GRAD_CAM."""

from collections.abc import Sequence

from medxgan.evaluation.errors import MethodError
from medxgan.server.explainers.table import EXPLAINERS
from medxgan.server.model import ServedModel
from medxgan.v1.explanation_pb2 import AttributionMethod

_PREFIX = "ATTRIBUTION_METHOD_"


def method_name(method: AttributionMethod) -> str:
    """The short name of a method."""
    return AttributionMethod.Name(method).removeprefix(_PREFIX).lower()


def choose_methods(model: ServedModel, wanted: Sequence[str]) -> tuple[AttributionMethod, ...]:
    """The methods to evaluate, in the order of the enumeration.

    Args:
        model: that has to serve them.
        wanted: names; none means all that the model serves.

    Raises:
        MethodError: a name is unknown, or the model does not serve the method.
    """
    served = model.methods()
    known = {method_name(method): method for method in EXPLAINERS}
    for name in wanted:
        if name not in known:
            raise MethodError(f"methods: {name!r} is unknown; there are {', '.join(known)}")
        if known[name] not in served:
            reason = "it needs a generator" if EXPLAINERS[known[name]].needs_generator else "a graph is missing"
            raise MethodError(f"methods: this bundle can't serve {name}: {reason}")
    return tuple(method for method in served if not wanted or method_name(method) in wanted)


def needs_generator(method: AttributionMethod) -> bool:
    """Whether the method explains by the generator, after an inversion."""
    return EXPLAINERS[method].needs_generator
