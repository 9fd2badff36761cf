"""What gradient-based explanations of the classifier need, in one pass over the image."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.fx import GraphModule

from medxgan.export.decompositions import gradient_decompositions, guided_decompositions
from medxgan.export.tracing import trace
from medxgan.training.networks import Classifier

ATTRIBUTION_OUTPUTS = ("logit", "gradient", "activations", "activation_gradients", "guided_gradient")


def trace_attribution(classifier: Classifier, x: Tensor) -> GraphModule:
    """The graph from x to `ATTRIBUTION_OUTPUTS`.

    Guided backpropagation is the same trace with another gradient of ReLU.

    Args:
        classifier: frozen.
        x: a sample [B, 1, S, S].
    """
    attribution = _attribution(classifier)
    guided = trace(lambda x: attribution(x)[1], [x], guided_decompositions())
    return trace(lambda x: (*attribution(x), guided(x)), [x], gradient_decompositions())


def _attribution(classifier: Classifier) -> Callable[[Tensor], tuple[Tensor, Tensor, Tensor, Tensor]]:
    """From x [B, 1, S, S] to the logit, its gradient, the last block's activations and the logit's gradient there."""

    def attribution(x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        activations, through_features = torch.func.vjp(lambda x: classifier.features(x)[-1], x)  # type: ignore[misc]
        logit, through_head = torch.func.vjp(classifier.head, activations)  # type: ignore[misc]
        (activation_gradients,) = through_head(torch.ones_like(logit))
        (gradient,) = through_features(activation_gradients)
        return logit, gradient, activations, activation_gradients

    return attribution
