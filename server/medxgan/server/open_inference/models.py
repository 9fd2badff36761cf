"""What models there are: for each bundle NAME, whose outputs are the default explanation, and NAME.MAP for each map."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import prod

from medxgan.server.errors import InvalidRequestError, UnknownModelError, shown
from medxgan.server.explanation.request import default_maps
from medxgan.server.explanation.table import MAPS, map_name, served_maps
from medxgan.server.models.repository import ModelRepository, ModelStatus
from medxgan.server.models.served_model import ServedModel
from medxgan.server.models.version_policy import VersionPolicies
from medxgan.v1.explanation_pb2 import MAP_NEED_INVERSION, MAP_NEED_RESTARTS, MapKind

IMAGE = "image"
"""The one input."""

BYTES_OF = {"BOOL": 1, "UINT8": 1, "UINT16": 2, "FP32": 4, "FP64": 8}
"""Bytes of an element; those of BYTES vary."""


@dataclass(frozen=True)
class TensorSpecification:
    """One input or output.

    Attributes:
        name: of the tensor.
        datatype: as the protocol has it: "FP32".
        shape: extents; -1 where one varies.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]

    @property
    def byte_size(self) -> int | None:
        """Bytes of its elements; None where they vary."""
        if self.datatype not in BYTES_OF or -1 in self.shape:
            return None
        return BYTES_OF[self.datatype] * prod(self.shape)


INPUTS = (TensorSpecification(IMAGE, "BYTES", (1,)),)
"""A file. Levels are taken too; the protocol states one type for a tensor."""

FINDINGS = (
    TensorSpecification("score", "FP64", (1,)),
    TensorSpecification("positive", "BOOL", (1,)),
    TensorSpecification("verdict", "BYTES", (1,)),
    TensorSpecification("reasons", "BYTES", (-1,)),
    TensorSpecification("details", "BYTES", (1,)),
)
"""What every model says beside its maps: the probability and the decision, whether the maps can be relied on and why
not, and all else that `ExplainResponse` holds, in the JSON form of explanation.proto."""


@dataclass(frozen=True)
class InferenceModel:
    """One model of the protocol.

    Attributes:
        name: NAME or NAME.MAP.
        version: of the bundle.
        served: what answers.
        maps: its maps.
    """

    name: str
    version: str
    served: ServedModel
    maps: tuple[MapKind, ...]

    @property
    def bundle_name(self) -> str:
        """Name of the bundle."""
        return self.served.bundle.description.name

    @property
    def outputs(self) -> tuple[TensorSpecification, ...]:
        """Its maps, then the findings."""
        image = self.served.bundle.description.image
        maps = (
            TensorSpecification(
                map_name(kind),
                "FP32",
                (image.height, image.width) if MAPS[kind].channels == 1 else (image.height, image.width, 3),
            )
            for kind in self.maps
        )
        return (*maps, *FINDINGS)

    @property
    def decoupled(self) -> bool:
        """Whether it tells of its progress: whether it inverts."""
        return any(MAP_NEED_INVERSION in MAPS[kind].needs for kind in self.maps)

    @property
    def default_restarts(self) -> int:
        """Inversions of a request that does not state how many: 2 for a map that says how much they differ."""
        return 2 if any(MAP_NEED_RESTARTS in MAPS[kind].needs for kind in self.maps) else 1


class Catalogue:
    """The models by name and version.

    Attributes:
        policies: by which the versions that are served are chosen.

    Args:
        repository: the bundles served.
        policies: see above.
    """

    def __init__(self, repository: ModelRepository, policies: VersionPolicies | None = None) -> None:
        self._repository = repository
        self.policies = policies or VersionPolicies()

    def __iter__(self) -> Iterator[InferenceModel]:
        """All models, by bundle."""
        for served in self._repository:
            yield from _models_of(served)

    def statuses(self) -> Iterator[ModelStatus]:
        """The state of every model that is served, and of every bundle that is known of and not."""
        for status in self._repository.statuses():
            served = self._repository.versions(status.name).get(int(status.version))
            if served is None:
                yield status
            else:
                yield from (replace(status, name=model.name) for model in _models_of(served))

    def versions(self, name: str) -> list[InferenceModel]:
        """The versions of a model, the highest last.

        Raises:
            InvalidRequestError: no name was given.
            UnknownModelError: no such model is served.
        """
        if not name:
            raise InvalidRequestError("model_name", "expected the name of a model, got none")
        found = [model for model in self if model.name == name]
        if not found:
            raise UnknownModelError(f"no model {shown(name)} is served; RepositoryIndex lists those that are")
        return found

    def find(self, name: str, version: str) -> InferenceModel:
        """One model; with no version the highest.

        Raises:
            InvalidRequestError: no name was given.
            UnknownModelError: no such model or version is served.
        """
        versions = self.versions(name)
        if not version:
            return versions[-1]
        for model in versions:
            if model.version == version:
                return model
        listed = ", ".join(model.version for model in versions)
        raise UnknownModelError(f"no version {shown(version)} of {name} is served; there is {listed}")


def _models_of(served: ServedModel) -> Iterator[InferenceModel]:
    bundle = served.bundle.description
    yield InferenceModel(bundle.name, bundle.version, served, tuple(default_maps(bundle)))
    for kind in served_maps(bundle):
        yield InferenceModel(f"{bundle.name}.{map_name(kind)}", bundle.version, served, (kind,))
