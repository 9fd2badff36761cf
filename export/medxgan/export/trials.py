"""What stored graphs are tried with, and what PyTorch makes of it: computed once for every graph and every batch size.

A row's result does not depend on its batch. So each draw has rows for the largest batch, and a smaller one is tried
with the first rows of it.
"""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from medxgan.export.reference import reference_attribution, reference_closing, reference_opening
from medxgan.export.step_verification import Inverted, Tensors, likely_images
from medxgan.training.model import TrainedModel
from medxgan.training.networks import ExplainedClassifier
from medxgan.v1.bundle_pb2 import (
    GRAPH_ROLE_ATTRIBUTION,
    GRAPH_ROLE_CLASSIFIER,
    GRAPH_ROLE_CLOSE,
    GRAPH_ROLE_GENERATOR,
    GRAPH_ROLE_OPEN,
    GraphRole,
)

OF_ALL_ROWS = frozenset({"pixel_aspect", "box"})
"""Tensors that a batch has one of, and not one for each row."""

EXACT_DRAWS = 3
"""Draws that PyTorch's own error is measured with, where it has to be."""

OPERATIONS = 5e10
"""Floating-point operations that PyTorch may take for one pass over all pictures: a second or two of a core."""


@dataclass(frozen=True)
class Effort:
    """How much a graph without state is tried.

    Attributes:
        draws: how many times, each with other inputs.
        batches: rows at a time.
    """

    draws: int
    batches: tuple[int, ...]


THOROUGH = Effort(draws=10, batches=(1, 3, 8))
"""For networks of up to 0.6 GFLOPs a picture."""

SPARING = Effort(draws=2, batches=(1, 3))
"""For the largest: VGG16 at 240x240 has 35 GFLOPs, and a batch of eight would take gigabytes, too. Six pictures, each
with 1e4 to 1e5 gradients, show a wrong operator all the same: it is wrong in all of them."""

STEPS = (10, 50)
"""Fewest and most gradient steps that a step graph is tried with."""


def steps(model: Inverted, image_size: int) -> int:
    """How many gradient steps to try a step graph with.

    Args:
        model: on the CPU.
        image_size: side S of x in pixels.
    """

    def drawn_and_scored() -> None:
        model.generator(torch.zeros(1, model.generator.z1_size + model.generator.z2_size))
        model.classifier(torch.zeros(1, 1, image_size, image_size))

    # A gradient costs twice as much as what it is of. The budget is three times that of a graph without state.
    pictures = _affordable(drawn_and_scored)
    return min(max(int(pictures / sum(THOROUGH.batches)), STEPS[0]), STEPS[1])


def effort(classifier: ExplainedClassifier, image_size: int) -> Effort:
    """How much to try a classifier's graphs.

    Args:
        classifier: on the CPU.
        image_size: side S of x in pixels.
    """
    pictures = _affordable(lambda: classifier.outputs(torch.zeros(1, 1, image_size, image_size)))
    draws = min(THOROUGH.draws, int(pictures / max(THOROUGH.batches)))
    return Effort(draws, THOROUGH.batches) if draws >= SPARING.draws else SPARING


def _affordable(of_one_picture: Callable[[], object]) -> float:
    """How many pictures `OPERATIONS` are enough for."""
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        of_one_picture()
    return OPERATIONS / max(1, counter.get_total_flops())


class Trials:
    """The draws for the graphs of one role.

    Args:
        model: frozen networks on the CPU.
        role: of the graphs, which has no state.
        tried: how much.
    """

    def __init__(self, model: TrainedModel, role: GraphRole, tried: Effort) -> None:
        self.model = model
        self.role = role
        self.batches = tried.batches
        random = torch.Generator().manual_seed(0)
        draw = _draw(model, role)
        self._drawn = [draw(max(tried.batches), random) for _ in range(tried.draws)]

    def inputs(self, batch: int) -> list[Tensors]:
        """Inputs of so many rows."""
        return [_rows(each, batch) for each in self._drawn]

    def expected(self, batch: int) -> list[Tensors]:
        """What PyTorch makes of them."""
        return [_rows(each, batch) for each in self._expected]

    def exact(self, batch: int) -> list[Tensors]:
        """What PyTorch makes of the first of them in double precision."""
        return [_rows(each, batch) for each in self._exact]

    @cached_property
    def _expected(self) -> list[Tensors]:
        return [reference(self.model, self.role, each) for each in self._drawn]

    @cached_property
    def _exact(self) -> list[Tensors]:
        model = _in_double_precision(self.model)
        doubled = [{name: value.double() for name, value in each.items()} for each in self._drawn[:EXACT_DRAWS]]
        return [reference(model, self.role, each) for each in doubled]


def _in_double_precision(model: TrainedModel) -> TrainedModel:
    model = copy.deepcopy(model)
    measures = None if model.familiarity is None else model.familiarity.measures
    for network in (model.preprocess, model.classifier, model.generator, model.encoder, measures):
        if network is not None:
            network.double()
    return model


def _rows(tensors: Tensors, batch: int) -> Tensors:
    return {name: value if name in OF_ALL_ROWS else value[:batch] for name, value in tensors.items()}


def _draw(model: TrainedModel, role: GraphRole) -> Callable[[int, torch.Generator], Tensors]:
    """Makes what a graph of this role is tried with, of a batch and a source of randomness."""

    def levels(batch: int, random: torch.Generator) -> Tensors:
        height, width = torch.randint(model.image.height // 2, 4 * model.image.height, (2,), generator=random).tolist()
        depth = 255 if height % 2 else 65535
        return {
            "image": torch.randint(0, depth, (batch, 1, height, width), generator=random).float(),
            "inverted": torch.randint(0, 2, (batch,), generator=random).float(),
            "pixel_aspect": 0.5 + 1.5 * torch.rand(1, generator=random),
        }

    def code(batch: int, random: torch.Generator) -> Tensors:
        generator = inverted(model).generator
        return {"z": torch.randn(batch, generator.z1_size + generator.z2_size, generator=random)}

    def picture(batch: int, random: torch.Generator) -> Tensors:
        if model.generator is None:
            return {"x": drawn_images(model.image.height, batch, random)}
        return {"x": likely_images(model.generator, batch, random)}

    def explained(batch: int, random: torch.Generator) -> Tensors:
        inputs, outputs = picture(batch, random), len(model.classification.outputs)
        if outputs > 1:
            target = torch.randint(outputs, (batch,), generator=random)
            inputs["target"] = torch.nn.functional.one_hot(target, outputs).float()
        return inputs

    draws: dict[GraphRole, Callable[[int, torch.Generator], Tensors]] = {
        GRAPH_ROLE_OPEN: levels,
        GRAPH_ROLE_GENERATOR: code,
        GRAPH_ROLE_CLOSE: lambda batch, random: picture(batch, random) | code(batch, random),
        GRAPH_ROLE_ATTRIBUTION: explained,
    }
    return draws.get(role, picture)


def drawn_images(size: int, batch: int, random: torch.Generator) -> Tensor:
    """[B, 1, S, S] in [-1, 1]: random patches of grey, with some noise."""
    patches = torch.randn(batch, 1, 6, 6, generator=random)
    smooth = torch.nn.functional.interpolate(patches, (size, size), mode="bicubic")
    return (0.6 * smooth + 0.1 * torch.randn(smooth.shape, generator=random)).clamp(-1, 1)


def inverted(model: TrainedModel) -> Inverted:
    """The networks of an inversion.

    Raises:
        ValueError: the model has no generator.
    """
    if model.generator is None or model.inversion is None:
        raise ValueError("a generator's graph of a model without generator")
    return Inverted(model.generator, model.classifier, model.inversion)


def reference(model: TrainedModel, role: GraphRole, inputs: Mapping[str, Tensor]) -> Tensors:
    """What the graphs of a role ought to compute of these inputs, all of their outputs together."""

    @torch.no_grad()
    def scored(x: Tensor) -> Tensors:
        outputs = model.classifier.outputs(x)
        return {"logit": model.classifier.positive_logit(outputs), "outputs": outputs}

    @torch.no_grad()
    def generated(z: Tensor) -> Tensors:
        image = inverted(model).generator(z)
        return {"image": image, "logit": model.classifier(image)}

    references: dict[GraphRole, Callable[..., Tensors]] = {
        GRAPH_ROLE_OPEN: lambda **opened: reference_opening(model, **opened),
        GRAPH_ROLE_CLASSIFIER: scored,
        GRAPH_ROLE_GENERATOR: generated,
        GRAPH_ROLE_CLOSE: lambda x, z: reference_closing(inverted(model).generator, model.classifier, x, z),
        GRAPH_ROLE_ATTRIBUTION: lambda x, target=None: reference_attribution(model.classifier, x, target),
    }
    return references[role](**inputs)
