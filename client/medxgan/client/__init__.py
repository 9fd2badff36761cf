"""Python client of a medxgan server, and the `medxgan` command.

The names below are loaded on first use, so that the command starts without gRPC and NumPy.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from medxgan.client.client import Client
    from medxgan.client.errors import (
        BusyError,
        DeadlineExceededError,
        InvalidRequestError,
        MedxganClientError,
        NotFoundError,
        RefusedError,
        ServerFaultError,
        UnavailableError,
        UnsupportedError,
    )
    from medxgan.client.results import (
        Attribution,
        AttributionMethod,
        Classification,
        Explanation,
        IntegratedGradientsSettings,
        MapKind,
        OcclusionSettings,
        Progress,
        ProgressPhase,
        VerdictReasonCode,
        VerdictStatus,
    )

__all__ = [
    "Attribution",
    "AttributionMethod",
    "BusyError",
    "Classification",
    "Client",
    "DeadlineExceededError",
    "Explanation",
    "IntegratedGradientsSettings",
    "InvalidRequestError",
    "MapKind",
    "MedxganClientError",
    "NotFoundError",
    "OcclusionSettings",
    "Progress",
    "ProgressPhase",
    "RefusedError",
    "ServerFaultError",
    "UnavailableError",
    "UnsupportedError",
    "VerdictReasonCode",
    "VerdictStatus",
]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = "client" if name == "Client" else "errors" if name.endswith("Error") else "results"
    return getattr(import_module(f"{__name__}.{home}"), name)
