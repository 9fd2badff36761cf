"""What a client gets back: plain frozen values, images as read-only NumPy arrays."""

from medxgan.client.results.attribution import (
    QUICK_METHODS,
    Attribution,
    AttributionMethod,
    Completeness,
    IntegratedGradientsSettings,
    OcclusionSettings,
)
from medxgan.client.results.execution import Execution, ModelIdentity
from medxgan.client.results.explanation import (
    Explanation,
    FloatArray,
    MapKind,
    PositiveRealizationOutcome,
    Scores,
    Timing,
    TrajectoryFrame,
)
from medxgan.client.results.inversion import InversionOutcome, InversionSettings, Progress, ProgressPhase
from medxgan.client.results.models import Classification, ModelDescription, ModelSummary
from medxgan.client.results.verdict import Verdict, VerdictReason, VerdictReasonCode, VerdictStatus

__all__ = [
    "QUICK_METHODS",
    "Attribution",
    "AttributionMethod",
    "Classification",
    "Completeness",
    "Execution",
    "Explanation",
    "FloatArray",
    "IntegratedGradientsSettings",
    "InversionOutcome",
    "InversionSettings",
    "MapKind",
    "ModelDescription",
    "ModelIdentity",
    "ModelSummary",
    "OcclusionSettings",
    "PositiveRealizationOutcome",
    "Progress",
    "ProgressPhase",
    "Scores",
    "Timing",
    "TrajectoryFrame",
    "Verdict",
    "VerdictReason",
    "VerdictReasonCode",
    "VerdictStatus",
]
