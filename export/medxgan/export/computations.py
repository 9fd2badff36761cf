"""What a bundle's graphs compute, before it is said in a file format: modules, and the names of their tensors."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from medxgan.bundle.graphs import ATTRIBUTION_PARTS, signature
from medxgan.export.attribution import trace_attribution
from medxgan.export.decompositions import gradient_decompositions
from medxgan.export.freezing import folded, frozen
from medxgan.export.inversion_step import inversion_step
from medxgan.export.served_modules import Closing, Generated, Opening, Scored
from medxgan.export.tracing import trace
from medxgan.training.model import TrainedModel
from medxgan.training.networks import CorrectedEncoder, ExplainedClassifier, Generator
from medxgan.v1.bundle_pb2 import (
    DATA_TYPE_FLOAT32,
    GRAPH_ROLE_ATTRIBUTION,
    GRAPH_ROLE_CLASSIFIER,
    GRAPH_ROLE_CLOSE,
    GRAPH_ROLE_GENERATOR,
    GRAPH_ROLE_INVERSION_STEP,
    GRAPH_ROLE_OPEN,
    Bundle,
    GraphRole,
    TensorSpecification,
)

ANY = -1
"""An axis of any extent, in a tensor's shape."""

SMALLEST_BATCH = 13
"""Rows of a sample: more than a usual kernel is wide, so that a convolution does not take the batch for its kernel."""

OPENING_FILES = ("score", "open")
"""Of what a request needs first, without suffix: without the first guess, and with it."""

ATTRIBUTION_FILES = dict(zip(("class_activation", "gradient", "attribution"), ATTRIBUTION_PARTS, strict=True))
"""The attribution's parts by the names of their files, without suffix."""


@dataclass(frozen=True)
class Computation:
    """One graph of a bundle, in no file format yet.

    Attributes:
        role: what it computes.
        module: how, as a PyTorch module on the CPU: its weights are frozen and it takes no gradients.
        inputs: names, types and shapes of the module's arguments.
        outputs: names of its results.
        parts: the files to write, by name without suffix, with the outputs of each; by default one with all of them.
    """

    role: GraphRole
    module: nn.Module
    inputs: tuple[TensorSpecification, ...]
    outputs: tuple[str, ...]
    parts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def files(self) -> Mapping[str, tuple[str, ...]]:
        """The files to write, by name without suffix ("inversion_step"), with the outputs of each."""
        return self.parts or {GraphRole.Name(self.role).removeprefix("GRAPH_ROLE_").lower(): self.outputs}

    def sample(self) -> tuple[Tensor, ...]:
        """Inputs to trace with."""
        return sample(self.inputs)


def computations(model: TrainedModel, description: Bundle) -> Iterator[Computation]:
    """Everything that a bundle of this model computes, the gradients first: they are the likeliest to be refused.

    Args:
        model: the networks.
        description: what the bundle says of them; its graphs are not looked at.

    Raises:
        UnsupportedOperatorError: a gradient can't be stored.
        TracingError: a network can't be written as one graph.
    """
    classifier = folded(model.classifier)
    if model.generator is not None:
        yield from _generator_computations(folded(model.generator), classifier, description)
    x, *target = sample(_inputs(GRAPH_ROLE_ATTRIBUTION, description))
    attribution = trace_attribution(classifier, x, *target)
    yield _computation(GRAPH_ROLE_ATTRIBUTION, attribution, description, ATTRIBUTION_FILES)

    scored = trace(Scored(classifier), [x], gradient_decompositions(), classifier.body)
    yield _computation(GRAPH_ROLE_CLASSIFIER, scored, description)
    encoder: nn.Module | None = None if model.encoder is None else folded(model.encoder)
    if encoder is not None and any(isinstance(each, CorrectedEncoder) for each in encoder.modules()):
        # It takes gradients, which no runtime does.
        encoder = trace(encoder, [x], gradient_decompositions(), classifier.body)
    familiarity = None if model.familiarity is None else folded(model.familiarity.measures)
    opening = Opening(frozen(model.preprocess), scored, familiarity, encoder)
    if encoder is None:
        yield _computation(GRAPH_ROLE_OPEN, opening, description, without=("z",))
        return
    opened = tuple(signature(GRAPH_ROLE_OPEN, description).outputs)
    parts = (tuple(name for name in opened if name != "z"), opened)
    yield _computation(GRAPH_ROLE_OPEN, opening, description, dict(zip(OPENING_FILES, parts, strict=True)))


def _generator_computations(
    generator: Generator, classifier: ExplainedClassifier, description: Bundle
) -> Iterator[Computation]:
    """What a bundle with a generator computes besides."""
    traced: dict[GraphRole, Callable[..., Any]] = {
        GRAPH_ROLE_INVERSION_STEP: inversion_step(generator, classifier, description.inversion),
        GRAPH_ROLE_GENERATOR: Generated(generator, classifier),
        GRAPH_ROLE_CLOSE: Closing(generator, classifier),
    }
    for role, function in traced.items():
        inputs = sample(_inputs(role, description))
        graph = trace(function, inputs, gradient_decompositions(), classifier.body)
        yield _computation(role, graph, description)


def _computation(
    role: GraphRole,
    module: nn.Module,
    description: Bundle,
    parts: Mapping[str, tuple[str, ...]] | None = None,
    without: Sequence[str] = (),
) -> Computation:
    outputs = tuple(name for name in signature(role, description).outputs if name not in without)
    return Computation(role, module, _inputs(role, description), outputs, parts or {})


def _inputs(role: GraphRole, description: Bundle) -> tuple[TensorSpecification, ...]:
    shapes = signature(role, description).inputs
    return tuple(
        tensor(name, *(ANY if extent is None else extent for extent in shape)) for name, shape in shapes.items()
    )


def tensor(name: str, *shape: int) -> TensorSpecification:
    """A float32 tensor; ANY stands for an axis of any extent."""
    return TensorSpecification(name=name, data_type=DATA_TYPE_FLOAT32, shape=shape)


def sample(inputs: Sequence[TensorSpecification]) -> tuple[Tensor, ...]:
    """Zeros of the shapes of `inputs`. The batch has an extent that no fixed axis has: tracing tells axes by it."""
    fixed = {extent for each in inputs for extent in each.shape}
    batch = next(extent for extent in itertools.count(SMALLEST_BATCH) if extent not in fixed)
    free = (batch, 1, 40, 56)
    return tuple(
        torch.zeros([free[axis] if extent == ANY else extent for axis, extent in enumerate(each.shape)])
        for each in inputs
    )
