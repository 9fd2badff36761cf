"""What a client gets back: plain frozen values, images as read-only NumPy arrays."""

from medxgan.client.geometry import Box, FloatArray, Geometry, PixelSpacing
from medxgan.client.results.execution import Execution, ModelIdentity
from medxgan.client.results.explanation import Explanation, Scores, TargetScore, Timing
from medxgan.client.results.inversion import InversionOutcome, PositiveRealizationOutcome, Progress
from medxgan.client.results.maps import Completeness, Interval, Map, Score, TrajectoryFrame
from medxgan.client.results.models import (
    Classification,
    Limits,
    MapDescription,
    ModelDescription,
    ModelSummary,
    ServerDescription,
)
from medxgan.client.results.settings import (
    IntegratedGradientsSettings,
    InversionSettings,
    OcclusionSettings,
    Settings,
)
from medxgan.client.results.verdict import ImageCheck, Verdict, VerdictReason

__all__ = [
    "Box",
    "Classification",
    "Completeness",
    "Execution",
    "Explanation",
    "FloatArray",
    "Geometry",
    "ImageCheck",
    "IntegratedGradientsSettings",
    "Interval",
    "InversionOutcome",
    "InversionSettings",
    "Limits",
    "Map",
    "MapDescription",
    "ModelDescription",
    "ModelIdentity",
    "ModelSummary",
    "OcclusionSettings",
    "PixelSpacing",
    "PositiveRealizationOutcome",
    "Progress",
    "Score",
    "Scores",
    "ServerDescription",
    "Settings",
    "TargetScore",
    "Timing",
    "TrajectoryFrame",
    "Verdict",
    "VerdictReason",
]
