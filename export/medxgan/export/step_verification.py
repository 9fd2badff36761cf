"""The step graph against autograd and `torch.optim.Adam`, step by step and left to itself."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from medxgan.bundle.graphs import LOSSES, STATE
from medxgan.export.comparison import (
    GRADIENT,
    VALUE,
    Output,
    Tolerance,
    measured_tolerance,
    require_agreement,
    require_variation,
)
from medxgan.export.errors import VerificationError
from medxgan.export.reference import StepResult, StepState, reference_step
from medxgan.training.networks import ExplainedClassifier, Generator
from medxgan.training.networks.classifier import probability
from medxgan.v1.bundle_pb2 import InversionSpecification

Tensors = dict[str, Tensor]
"""Inputs or outputs of a graph, by name."""

Runner = Callable[[Mapping[str, Tensor]], Tensors]
"""Runs a stored graph: inputs and outputs by name."""

STEP_OUTPUTS = (*(f"next_{name}" for name in STATE), *LOSSES)

TRAJECTORY = 0.05
"""How far the loss of a trajectory may stray, relative to its first loss.

A latent whose gradient is near its rounding error moves by up to the learning rate either way, for Adam divides by the
gradient's size. So z itself parts slowly, but only along latents that hardly change the loss: the loss is compared.
"""


@dataclass(frozen=True)
class Inverted:
    """What the step graph is of: frozen networks on the CPU, and the optimizer's settings."""

    generator: Generator
    classifier: ExplainedClassifier
    inversion: InversionSpecification


class Course:
    """Steps that PyTorch takes one after the other, made once for every graph of them.

    Args:
        model: what takes them.
        batch: rows.
        steps: how many.

    Attributes:
        model: what takes them.
        states: before each step.
        results: of each.
    """

    def __init__(self, model: Inverted, batch: int, steps: int) -> None:
        self.model = model
        self.states: list[StepState] = []
        self.results: list[StepResult] = []
        state = _start(model, batch, torch.Generator().manual_seed(batch))
        for _ in range(steps):
            self.states.append(state)
            self.results.append(reference_step(model.generator, model.classifier, model.inversion, state))
            state = _advance(state, self.results[-1].tensors)

    @property
    def losses(self) -> Tensor:
        """[B, steps] the loss before each step."""
        pairs = zip(self.states, self.results, strict=True)
        return torch.stack([_loss(state, result.tensors) for state, result in pairs], 1)

    @cached_property
    def exact(self) -> list[Tensors]:
        """What each step gives in double precision."""
        return [self._exact_step(state.tensors()) for state in self.states]

    @cached_property
    def exact_losses(self) -> Tensor:
        """[B, steps] the loss before each of as many steps that are taken in double precision."""
        return _losses(self._exact_step, self.states[0], len(self.states))

    @cached_property
    def _doubled(self) -> Inverted:
        generator = copy.deepcopy(self.model.generator).double()
        classifier = copy.deepcopy(self.model.classifier).double()
        return replace(self.model, generator=generator, classifier=classifier)

    def _exact_step(self, tensors: Mapping[str, Tensor]) -> Tensors:
        model, state = self._doubled, StepState(**{name: value.double() for name, value in tensors.items()})
        return reference_step(model.generator, model.classifier, model.inversion, state).tensors


def verify_step(course: Course, graph: str, run: Runner) -> None:
    """Check the step graph at one batch size.

    Args:
        course: what it ought to compute.
        graph: file name, for messages.
        run: runs the stored graph.

    Raises:
        VerificationError: it disagrees.
    """
    _verify_each_step(course, graph, run)
    _verify_trajectory(course, graph, run)
    _verify_dependence(graph, run, course.states[0])


def _verify_each_step(course: Course, graph: str, run: Runner) -> None:
    """Both sides get the same state before each step, so that differences do not pile up."""
    computed = [run(state.tensors()) for state in course.states]
    expected = [result.tensors for result in course.results]
    scales = [
        _scales(result, state.learning_rate, course.model.inversion)
        for state, result in zip(course.states, course.results, strict=True)
    ]
    for name in STEP_OUTPUTS:
        output = Output(graph, name, len(course.states[0].z))
        found, wanted, scale = (
            torch.cat([result[name] for result in results]) for results in (computed, expected, scales)
        )
        if name.endswith("loss"):
            require_agreement(output, found, wanted, scale, VALUE)
            continue
        try:
            require_agreement(output, found, wanted, scale, GRADIENT)
        except VerificationError:
            # A graph is not blamed for being as far off as PyTorch itself is.
            precise = torch.cat([result[name] for result in course.exact])
            require_agreement(output, found, wanted, scale, measured_tolerance(wanted, precise, scale))


def _verify_trajectory(course: Course, graph: str, run: Runner) -> None:
    """Each side goes its own way."""
    start, steps = course.states[0], len(course.states)
    computed, expected = _losses(run, start, steps), course.losses
    output, scale = Output(graph, f"loss over {steps} steps", len(start.z)), expected[:, :1]
    try:
        require_agreement(output, computed, expected, scale, Tolerance(usual=TRAJECTORY, utmost=TRAJECTORY))
    except VerificationError:
        # Where PyTorch strays as far from itself by rounding alone, the trajectory is no steadier than that.
        tolerance = measured_tolerance(expected, course.exact_losses, scale)
        require_agreement(output, computed, expected, scale, tolerance)


def _losses(step: Runner, start: StepState, steps: int) -> Tensor:
    """[B, steps] the loss before each step."""
    state, way = start, []
    for _ in range(steps):
        result = step(state.tensors())
        way.append(_loss(state, result))
        state = _advance(state, result)
    return torch.stack(way, 1)


def _loss(state: StepState, result: Mapping[str, Tensor]) -> Tensor:
    return state.reconstruction_weight * result["reconstruction_loss"] + result["classification_loss"]


def _verify_dependence(graph: str, run: Runner, start: StepState) -> None:
    """The gradient follows z, the image and the target, each varied alone; it is seen through the first moment."""
    if len(start.z) == 1:
        return
    alike = StepState(**{name: value[:1].expand_as(value).clone() for name, value in start.tensors().items()})
    rising = torch.linspace(0, 1, len(start.z))
    variants = {
        "z": replace(alike, z=start.z),
        "image": replace(alike, image=start.image),
        # Without the reconstruction term the gradient is (sigmoid(logit) - target) times the logit's own.
        "target": replace(alike, target=rising, reconstruction_weight=torch.zeros_like(rising)),
    }
    for name, state in variants.items():
        moment = run(state.tensors())["next_first_moment"]
        require_variation(Output(graph, "next_first_moment", len(start.z)), moment, moment.abs().max(), name)


def _start(model: Inverted, batch: int, random: torch.Generator) -> StepState:
    """Rows that count different steps and have settings of their own, with images near to what the generator makes.

    z1 and z2 have different learning rates; the last of several rows holds z1 still.
    """
    settings, spread, z1_size = model.inversion, torch.linspace(0.5, 2, batch), model.generator.z1_size
    image = likely_images(model.generator, batch, random)
    z = torch.randn(batch, z1_size + model.generator.z2_size, generator=random)
    learning_rate = (settings.default_learning_rate * spread)[:, None].repeat(1, z.shape[1])
    learning_rate[:, z1_size:] *= 1.5
    if batch > 1:
        learning_rate[-1, :z1_size] = 0
    return StepState(
        z=0.5 * z,
        first_moment=torch.zeros_like(z),
        second_moment=torch.zeros_like(z),
        step=7.0 * torch.arange(batch),
        image=image,
        target=probability(model.classifier, image),
        learning_rate=learning_rate,
        reconstruction_weight=settings.default_reconstruction_weight * spread.flip(0),
    )


@torch.no_grad()
def likely_images(generator: Generator, batch: int, random: torch.Generator) -> Tensor:
    """[B, 1, S, S] generated images with some noise that the generator can't make."""
    image: Tensor = generator(torch.randn(batch, generator.z1_size + generator.z2_size, generator=random))
    return (image + 0.1 * torch.randn(image.shape, generator=random)).clamp(-1, 1)


def _advance(state: StepState, outputs: Mapping[str, Tensor]) -> StepState:
    """The state after a step."""
    return replace(state, **{name.removeprefix("next_"): outputs[name] for name in STEP_OUTPUTS if "next_" in name})


def _scales(reference: StepResult, learning_rate: Tensor, adam: InversionSpecification) -> dict[str, Tensor]:
    """The difference in each output that an error in the gradient as large as its largest component would make.

    To it is added a hundredth of the value itself, for the rounding of the sums.
    """
    tensors = reference.tensors
    largest = reference.gradient.abs().amax(1, keepdim=True)
    z, first, second, count = (tensors[name] for name in STEP_OUTPUTS[:4])
    unbiased = second / (1 - adam.beta2**count)[:, None]
    # Of the quotient of the two moments, to first order; the factor 4 leaves room for their ratio.
    update = 1 + 4 * largest / (unbiased.sqrt() + adam.epsilon)
    return {
        "next_z": learning_rate * update + 0.01 * z.abs().clamp_min(1),
        "next_first_moment": (1 - adam.beta1) * largest + 0.01 * first.abs(),
        "next_second_moment": 2 * (1 - adam.beta2) * largest**2 + 0.01 * second,
        "next_step": torch.zeros_like(count),
        "reconstruction_loss": 1 + tensors["reconstruction_loss"],
        "classification_loss": 1 + tensors["classification_loss"],
    }
