"""What the graphs ought to compute, said a second time with PyTorch's own autograd and optimizer, to compare with."""

from dataclasses import dataclass, fields
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from medxgan.export.attribution import explained_logit
from medxgan.training.networks import ExplainedClassifier
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
        learning_rate: [B].
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
    """One gradient step with `torch.autograd` and `torch.optim.Adam`, every row a parameter group of its own."""
    rows = [row.clone().requires_grad_(True) for row in state.z]
    optimizer = torch.optim.Adam(
        [{"params": [row], "lr": rate} for row, rate in zip(rows, state.learning_rate.tolist(), strict=True)],
        betas=(adam.beta1, adam.beta2),
        eps=adam.epsilon,
    )
    for row, count, first, second in zip(rows, state.step, state.first_moment, state.second_moment, strict=True):
        optimizer.state[row] = {"step": count.clone(), "exp_avg": first.clone(), "exp_avg_sq": second.clone()}

    picture = generator(torch.stack(rows))
    reconstruction = F.mse_loss(picture, state.image, reduction="none").mean((1, 2, 3))
    classification = F.binary_cross_entropy_with_logits(classifier(picture), state.target, reduction="none")
    (state.reconstruction_weight * reconstruction + classification).sum().backward()  # type: ignore[no-untyped-call]
    optimizer.step()

    moments = [optimizer.state[row] for row in rows]
    return StepResult(
        tensors={
            "next_z": torch.stack([row.detach() for row in rows]),
            "next_first_moment": torch.stack([moment["exp_avg"] for moment in moments]),
            "next_second_moment": torch.stack([moment["exp_avg_sq"] for moment in moments]),
            "next_step": torch.stack([moment["step"] for moment in moments]),
            "reconstruction_loss": reconstruction.detach(),
            "classification_loss": classification.detach(),
        },
        gradient=torch.stack([_gradient(row) for row in rows]),
    )


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
        "activations": activations.detach(),
        "activation_gradients": activation_gradients,
        "guided_gradient": guided_gradient,
    }


class _OnlyPositiveThroughRelu(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """While it is on, ReLUs of every kind, modules or functions, pass only positive gradients back."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten.threshold_backward.default:
            args = (args[0].clamp_min(0), *args[1:])
        return func(*args, **(kwargs or {}))


def _gradient(row: Tensor) -> Tensor:
    if row.grad is None:
        raise RuntimeError("the loss does not depend on z")
    return row.grad
