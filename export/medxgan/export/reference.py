"""What the graphs ought to compute, said a second time with PyTorch's own autograd and optimizer, to compare with."""

from dataclasses import dataclass, fields
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from medxgan.export.attribution import explained_logit
from medxgan.training.model import TrainedModel
from medxgan.training.networks import ExplainedClassifier, Generator
from medxgan.training.networks.layers import captured
from medxgan.v1.bundle_pb2 import InversionSpecification


@dataclass(frozen=True)
class StepState:
    """Rows of an inversion, named as the step graph's inputs are.

    Attributes:
        z: [B, D].
        first_moment: [B, D].
        second_moment: [B, D].
        step: [B] steps that each row has taken.
        image: [B, 1, S, S].
        target: [B] probability.
        learning_rate: [B, D].
        reconstruction_weight: [B].
    """

    z: Tensor
    first_moment: Tensor
    second_moment: Tensor
    step: Tensor
    image: Tensor
    target: Tensor
    learning_rate: Tensor
    reconstruction_weight: Tensor

    def tensors(self) -> dict[str, Tensor]:
        """By name, in the order of the step graph's inputs."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


@dataclass(frozen=True)
class StepResult:
    """What one step gives.

    Attributes:
        tensors: the step graph's outputs, by name.
        gradient: [B, D] of the loss with respect to z.
    """

    tensors: dict[str, Tensor]
    gradient: Tensor


def reference_step(
    generator: nn.Module, classifier: nn.Module, adam: InversionSpecification, state: StepState
) -> StepResult:
    """One gradient step with `torch.autograd` and `torch.optim.Adam`.

    The latents of a row that have one learning rate are a parameter group of their own.
    """
    groups = [
        (torch.full_like(latents, row), latents, rate)
        for row, rates in enumerate(state.learning_rate)
        for rate in rates.unique()
        for latents in (rates == rate).nonzero(as_tuple=True)
    ]
    parameters = [state.z[row, latents].requires_grad_(True) for row, latents, _ in groups]
    optimizer = torch.optim.Adam(
        [{"params": [each], "lr": rate.item()} for each, (*_, rate) in zip(parameters, groups, strict=True)],
        betas=(adam.beta1, adam.beta2),
        eps=adam.epsilon,
    )
    for each, (row, latents, _) in zip(parameters, groups, strict=True):
        optimizer.state[each] = {
            "step": state.step[row[0]].clone(),
            "exp_avg": state.first_moment[row, latents],
            "exp_avg_sq": state.second_moment[row, latents],
        }

    def together(parts: list[Tensor]) -> Tensor:
        """[B, D] of the groups' parts."""
        whole = torch.zeros_like(state.z)
        for (row, latents, _), part in zip(groups, parts, strict=True):
            whole = whole.index_put((row, latents), part)
        return whole

    picture = generator(together(parameters))
    reconstruction = F.mse_loss(picture, state.image, reduction="none").mean((1, 2, 3))
    classification = F.binary_cross_entropy_with_logits(classifier(picture), state.target, reduction="none")
    (state.reconstruction_weight * reconstruction + classification).sum().backward()  # type: ignore[no-untyped-call]
    optimizer.step()

    moments = [optimizer.state[each] for each in parameters]
    return StepResult(
        tensors={
            "next_z": together([each.detach() for each in parameters]),
            "next_first_moment": together([moment["exp_avg"] for moment in moments]),
            "next_second_moment": together([moment["exp_avg_sq"] for moment in moments]),
            "next_step": state.step + 1,
            "reconstruction_loss": reconstruction.detach(),
            "classification_loss": classification.detach(),
        },
        gradient=together([_gradient(each) for each in parameters]),
    )


@torch.no_grad()
def reference_opening(model: TrainedModel, image: Tensor, inverted: Tensor, pixel_aspect: Tensor) -> dict[str, Tensor]:
    """OPEN's outputs."""
    x = model.preprocess(image, inverted, pixel_aspect)
    opened = {"x": x, "box": model.preprocess.box(image, pixel_aspect), "logit": model.classifier(x)}
    if model.familiarity is not None:
        opened["unfamiliarity"] = model.familiarity.measures(x)
    if model.encoder is not None:
        opened["z"] = model.encoder(x)
    return opened


@torch.no_grad()
def reference_closing(generator: Generator, classifier: nn.Module, x: Tensor, z: Tensor) -> dict[str, Tensor]:
    """CLOSE's outputs, each picture drawn and scored by itself."""
    reconstruction, negative = generator(z), generator.negative(z)
    pictures = {
        "reconstruction": reconstruction,
        "negative_realization": negative,
        "applied_negative": (x - (reconstruction - negative)).clamp(-1, 1),
    }
    return pictures | {f"{name}_logit": classifier(picture) for name, picture in pictures.items()}


def reference_attribution(
    classifier: ExplainedClassifier, x: Tensor, target: Tensor | None = None
) -> dict[str, Tensor]:
    """The attribution graph's outputs by `torch.autograd`; guided backpropagation by another backward pass."""
    x = x.clone().requires_grad_(True)
    with captured(classifier.body, [classifier.layer]) as layers:
        logit = explained_logit(classifier, x, target)
    activations = layers[classifier.layer]
    gradient, activation_gradients = torch.autograd.grad(logit.sum(), [x, activations], retain_graph=True)
    with _OnlyPositiveThroughRelu():  # type: ignore[no-untyped-call]
        (guided_gradient,) = torch.autograd.grad(logit.sum(), [x])
    return {
        "logit": logit.detach(),
        "gradient": gradient,
        "activations": classifier.activation_map(activations.detach()),
        "activation_gradients": classifier.activation_map(activation_gradients),
        "guided_gradient": guided_gradient,
    }


class _OnlyPositiveThroughRelu(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """While it is on, ReLUs of every kind, modules or functions, pass only positive gradients back."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten.threshold_backward.default:
            args = (args[0].clamp_min(0), *args[1:])
        return func(*args, **(kwargs or {}))


def _gradient(part: Tensor) -> Tensor:
    if part.grad is None:
        raise RuntimeError("the loss does not depend on z")
    return part.grad
