"""Python client of a medxgan server: `Client`, and `AsyncClient` for asyncio.

The names below are loaded on first use, so that the `medxgan` command starts without gRPC and NumPy.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from medxgan.client.async_client import AsyncClient
    from medxgan.client.client import Client
    from medxgan.client.errors import (
        BusyError,
        CredentialsError,
        DeadlineExceededError,
        InvalidRequestError,
        MedxganClientError,
        MissingExtraError,
        NotFoundError,
        RefusedError,
        ServerFaultError,
        UnavailableError,
        UnsupportedError,
    )
    from medxgan.client.geometry import Geometry, PixelSpacing
    from medxgan.client.images import Image
    from medxgan.client.results import (
        Classification,
        Explanation,
        IntegratedGradientsSettings,
        InversionSettings,
        Map,
        ModelDescription,
        OcclusionSettings,
        Progress,
        Score,
        Settings,
    )
    from medxgan.client.security import Tls
    from medxgan.client.vocabulary import (
        ImageForm,
        MapForm,
        MapKind,
        MapNeed,
        Orientation,
        Priority,
        ProgressPhase,
        Solver,
        Unrecognised,
        VerdictReasonCode,
        VerdictStatus,
    )

__all__ = [
    "AsyncClient",
    "BusyError",
    "Classification",
    "Client",
    "CredentialsError",
    "DeadlineExceededError",
    "Explanation",
    "Geometry",
    "Image",
    "ImageForm",
    "IntegratedGradientsSettings",
    "InvalidRequestError",
    "InversionSettings",
    "Map",
    "MapForm",
    "MapKind",
    "MapNeed",
    "MedxganClientError",
    "MissingExtraError",
    "ModelDescription",
    "NotFoundError",
    "OcclusionSettings",
    "Orientation",
    "PixelSpacing",
    "Priority",
    "Progress",
    "ProgressPhase",
    "RefusedError",
    "Score",
    "ServerFaultError",
    "Settings",
    "Solver",
    "Tls",
    "UnavailableError",
    "Unrecognised",
    "UnsupportedError",
    "VerdictReasonCode",
    "VerdictStatus",
]

_HOMES = {
    "client": ("Client",),
    "async_client": ("AsyncClient",),
    "geometry": ("Geometry", "PixelSpacing"),
    "images": ("Image",),
    "security": ("Tls",),
    "vocabulary": (
        "ImageForm",
        "MapForm",
        "MapKind",
        "MapNeed",
        "Orientation",
        "Priority",
        "ProgressPhase",
        "Solver",
        "Unrecognised",
        "VerdictReasonCode",
        "VerdictStatus",
    ),
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    other = "errors" if name.endswith("Error") else "results"
    home = next((module for module, names in _HOMES.items() if name in names), other)
    return getattr(import_module(f"{__name__}.{home}"), name)
