"""One step of the inversion as a function of tensors: loss, gradient with respect to z, Adam's update."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from medxgan.v1.bundle_pb2 import InversionSpecification

StepFunction = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor], tuple[Tensor, ...]]


def inversion_step(generator: nn.Module, classifier: nn.Module, adam: InversionSpecification) -> StepFunction:
    """One gradient step of  argmin over z of  λ · MSE(G(z), x) + BCE(C(G(z)), C(x))  (Dravid et al., CVPR-W 2022).

    Args:
        generator: frozen; z [B, D] to an image [B, 1, S, S].
        classifier: frozen; an image to a logit [B].
        adam: states beta1, beta2 and epsilon, which become constants.

    Returns:
        A function with the inputs and outputs of `GRAPH_ROLE_INVERSION_STEP` in `medxgan.bundle.graphs`. Each row has
        its own step count and λ, each latent its own learning rate; the losses are those of z before the update.
    """

    def step(
        z: Tensor,
        first_moment: Tensor,
        second_moment: Tensor,
        step: Tensor,
        image: Tensor,
        target: Tensor,
        learning_rate: Tensor,
        reconstruction_weight: Tensor,
    ) -> tuple[Tensor, ...]:
        code = z.detach().requires_grad_()
        picture = generator(code)
        error = picture - image
        reconstruction = (error * error).mean((1, 2, 3))
        classification = binary_cross_entropy(classifier(picture), target)
        # Rows do not touch each other, so the gradient of the sum is each row's own gradient.
        total = (reconstruction_weight * reconstruction + classification).sum()
        (gradient,) = torch.autograd.grad(total, code)

        next_step = step + 1
        next_first_moment = adam.beta1 * first_moment + (1 - adam.beta1) * gradient
        next_second_moment = adam.beta2 * second_moment + (1 - adam.beta2) * gradient * gradient
        unbiased_first = next_first_moment / (1 - adam.beta1**next_step)[:, None]
        unbiased_second = next_second_moment / (1 - adam.beta2**next_step)[:, None]
        update = unbiased_first / (unbiased_second.sqrt() + adam.epsilon)
        return (
            z - learning_rate * update,
            next_first_moment,
            next_second_moment,
            next_step,
            reconstruction.detach(),
            classification.detach(),
        )

    return step


def binary_cross_entropy(logit: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy [B] in nats between probability `target` [B] and sigmoid(`logit`) [B], for logits of any size.

    Written out, because the fused operator has no form in ONNX.
    """
    return logit.clamp_min(0) - logit * target + torch.log1p(torch.exp(-logit.abs()))
