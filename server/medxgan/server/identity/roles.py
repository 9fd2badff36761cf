"""Which method takes which role."""

from enum import StrEnum


class Role(StrEnum):
    """What an identity may do. The roles do not contain each other: an identity may have both."""

    EXPLAIN = "explain"
    """Ask for explanations and scores, and what models there are."""
    ADMIN = "admin"
    """Call methods that change a server, its log or what memory it uses."""


_OPEN_INFERENCE = "/inference.GRPCInferenceService/"

METHOD_ROLES: dict[str, Role | None] = {
    "/medxgan.v1.ExplanationService/Explain": Role.EXPLAIN,
    "/medxgan.v1.ExplanationService/ExplainStream": Role.EXPLAIN,
    "/medxgan.v1.ExplanationService/Classify": Role.EXPLAIN,
    "/medxgan.v1.ExplanationService/ListModels": Role.EXPLAIN,
    "/medxgan.v1.ExplanationService/GetModel": Role.EXPLAIN,
    **{
        _OPEN_INFERENCE + method: Role.EXPLAIN
        for method in (
            "ServerMetadata",
            "ModelMetadata",
            "ModelConfig",
            "ModelStatistics",
            "ModelInfer",
            "ModelStreamInfer",
            "RepositoryIndex",
            "SystemSharedMemoryStatus",
            "CudaSharedMemoryStatus",
        )
    },
    **{
        _OPEN_INFERENCE + method: Role.ADMIN
        for method in (
            "RepositoryModelLoad",
            "RepositoryModelUnload",
            # Who registers a region has the server read and write what it may, and drops the regions of others.
            "SystemSharedMemoryRegister",
            "SystemSharedMemoryUnregister",
            "CudaSharedMemoryRegister",
            "CudaSharedMemoryUnregister",
            "TraceSetting",
            "LogSettings",
        )
    },
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": Role.EXPLAIN,
    # Probes have no identity, and health says nothing but whether the server and its models answer.
    "/grpc.health.v1.Health/Check": None,
    "/grpc.health.v1.Health/Watch": None,
    **{_OPEN_INFERENCE + method: None for method in ("ServerLive", "ServerReady", "ModelReady")},
}
"""The one table from a method to the role that it takes, None for open to all; a test proves it complete."""


STREAMS_OF_REQUESTS = frozenset({_OPEN_INFERENCE + "ModelStreamInfer"})
"""Methods that answer request after request for as long as their caller has some, each as if it had come alone;
reflection has no such need."""


def role_of(method: str) -> Role | None:
    """The role that a method takes: admin, where the table does not have it."""
    return METHOD_ROLES.get(method, Role.ADMIN)
