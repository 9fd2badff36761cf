"""What a bundle's graphs compute, before it is said in a file format: modules, and the names of their tensors."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from medxgan.export.attribution import ATTRIBUTION_OUTPUTS, trace_attribution
from medxgan.export.decompositions import gradient_decompositions
from medxgan.export.freezing import folded, frozen
from medxgan.export.inversion_step import STEP_INPUTS, STEP_OUTPUTS, inversion_step
from medxgan.export.tracing import trace
from medxgan.training.model import TrainedModel
from medxgan.training.networks import Encoder, ExplainedClassifier, Generator
from medxgan.v1.bundle_pb2 import (
    DATA_TYPE_FLOAT32,
    GRAPH_ROLE_ATTRIBUTION,
    GRAPH_ROLE_CLASSIFIER,
    GRAPH_ROLE_ENCODER,
    GRAPH_ROLE_GENERATOR,
    GRAPH_ROLE_INVERSION_STEP,
    GRAPH_ROLE_PREPROCESS,
    GraphRole,
    InversionSpecification,
    TensorSpecification,
)

ANY = -1
"""An axis of any extent, in a tensor's shape."""

SMALLEST_BATCH = 13
"""Rows of a sample: more than a usual kernel is wide, so that a convolution does not take the batch for its kernel."""


@dataclass(frozen=True)
class Computation:
    """One graph of a bundle, in no file format yet.

    Attributes:
        role: what it computes.
        module: how, as a PyTorch module on the CPU: its weights are frozen and it takes no gradients.
        inputs: names, types and shapes of the module's arguments.
        outputs: names of its results.
    """

    role: GraphRole
    module: nn.Module
    inputs: tuple[TensorSpecification, ...]
    outputs: tuple[str, ...]

    @property
    def name(self) -> str:
        """File name without its suffix: "inversion_step"."""
        return GraphRole.Name(self.role).removeprefix("GRAPH_ROLE_").lower()

    def sample(self) -> tuple[Tensor, ...]:
        """Inputs to trace with."""
        return sample(self.inputs)


def computations(model: TrainedModel) -> Iterator[Computation]:
    """Everything that a bundle of this model computes, the gradients first: they are the likeliest to be refused.

    Raises:
        UnsupportedOperatorError: a gradient can't be stored.
        TracingError: a network can't be written as one graph.
    """
    classifier, size, outputs = folded(model.classifier), model.image.size, len(model.classification.outputs)
    x = tensor("x", ANY, 1, size, size)
    if model.generator is not None and model.inversion is not None:
        yield from _generator_computations(model.generator, model.encoder, classifier, model.inversion)
    explained = (x, tensor("target", ANY, outputs)) if outputs > 1 else (x,)
    attribution = trace_attribution(classifier, *sample(explained))
    yield Computation(GRAPH_ROLE_ATTRIBUTION, attribution, explained, ATTRIBUTION_OUTPUTS)

    levels = (tensor("image", ANY, 1, ANY, ANY), tensor("inverted", ANY))
    yield Computation(GRAPH_ROLE_PREPROCESS, frozen(model.preprocess), levels, ("x",))
    logit = trace(classifier, sample([x]), gradient_decompositions(), classifier.body)
    yield Computation(GRAPH_ROLE_CLASSIFIER, logit, (x,), ("logit",))


def _generator_computations(
    trained: Generator, encoder: Encoder | None, classifier: ExplainedClassifier, adam: InversionSpecification
) -> Iterator[Computation]:
    """What a bundle with a generator computes besides."""
    generator = folded(trained)
    latents, size = generator.z1_size + generator.z2_size, generator.image_size
    z = tensor("z", ANY, latents)
    shaped = {"z": z, "image": tensor("image", ANY, 1, size, size)}
    shaped |= {name: tensor(name, ANY, latents) for name in ("first_moment", "second_moment")}
    state = tuple(shaped.get(name, tensor(name, ANY)) for name in STEP_INPUTS)
    function = inversion_step(generator, classifier, adam)
    step = trace(function, sample(state), gradient_decompositions(), classifier.body)
    yield Computation(GRAPH_ROLE_INVERSION_STEP, step, state, STEP_OUTPUTS)
    yield Computation(GRAPH_ROLE_GENERATOR, generator, (z,), ("image",))
    if encoder is not None:
        x = tensor("x", ANY, 1, size, size)
        yield Computation(GRAPH_ROLE_ENCODER, folded(encoder), (x,), ("z",))


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
