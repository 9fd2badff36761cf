"""The models that a server has, and the score that one of them gives an image."""

from dataclasses import dataclass

from medxgan.client.results.attribution import AttributionMethod
from medxgan.client.results.execution import Execution, ModelIdentity
from medxgan.v1 import bundle_pb2


@dataclass(frozen=True)
class Classification:
    """The score of one image.

    Attributes:
        probability: probability (0 to 1) of the positive class.
        decision_threshold: probability from which an image counts as positive.
        predicted_class: the class decided for, by name.
        notes: what was done to the image on the way in, a sentence each.
    """

    model: ModelIdentity
    execution: Execution
    probability: float
    decision_threshold: float
    predicted_class: str
    notes: tuple[str, ...]


@dataclass(frozen=True)
class ModelSummary:
    """One model in a list: what its images show, what positive and negative mean, the licence of its weights."""

    model: ModelIdentity
    modality: str
    positive_class: str
    negative_class: str
    license: str
    execution: Execution


@dataclass(frozen=True)
class ModelDescription:
    """One model: the description that its bundle carries, whole, as the protobuf message, and how it is run."""

    model: ModelIdentity
    bundle: bundle_pb2.Bundle
    execution: Execution

    @property
    def has_generator(self) -> bool:
        """Whether the bundle can explain by inversion, not only attribute."""
        return any(graph.role == bundle_pb2.GRAPH_ROLE_GENERATOR for graph in self.bundle.graphs)

    @property
    def methods(self) -> tuple[AttributionMethod, ...]:
        """The methods of attribution that the bundle can serve."""
        return tuple(method for method in AttributionMethod if self.has_generator or not method.needs_generator)
