"""What a request asks for, where the rules in explanation.proto can't say whether it can be had."""

from medxgan.server.errors import SettingsError
from medxgan.server.explainers.settings import AttributionSettings
from medxgan.server.explainers.table import EXPLAINERS
from medxgan.server.explanation import Extent
from medxgan.server.inversion import InversionSettings
from medxgan.v1 import explanation_pb2


def resolve_extent(request: explanation_pb2.ExplainRequest, settings: InversionSettings) -> Extent:
    """What is wanted beyond the inversion.

    Args:
        request: as `validate` let it pass.
        settings: of the inversion, in force.

    Raises:
        SettingsError: naming the map that can't be had with these settings.
    """
    kinds = [wanted.kind for wanted in request.maps]
    if explanation_pb2.MAP_KIND_UNCERTAINTY in kinds and settings.restarts < 2:
        index = kinds.index(explanation_pb2.MAP_KIND_UNCERTAINTY)
        raise SettingsError(f"maps[{index}].kind", "expected inversion.restarts of 2 or more for the uncertainty map")
    return Extent(
        positive_realization=explanation_pb2.MAP_KIND_POSITIVE_REALIZATION in kinds,
        frames=request.trajectory.frames if request.HasField("trajectory") else 0,
    )


def attribution_rows(request: explanation_pb2.AttributeRequest, settings: AttributionSettings) -> int:
    """Rows that a request for attributions brings: its restarts, where a method needs the inversion."""
    if settings.inversion is None or not any(EXPLAINERS[method].needs_generator for method in request.methods):
        return 1
    return settings.inversion.restarts
