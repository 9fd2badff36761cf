"""What gradient-based explanations of a classifier need, in one pass over the image."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.fx import GraphModule

from medxgan.export.decompositions import aten, gradient_decompositions, guided_threshold_backward, threshold_backward
from medxgan.export.tracing import trace
from medxgan.training.networks import ExplainedClassifier
from medxgan.training.networks.layers import captured


def trace_attribution(classifier: ExplainedClassifier, x: Tensor, target: Tensor | None = None) -> GraphModule:
    """The graph from x, and the target where there is one, to all that attribution may need (`ATTRIBUTION_PARTS`).

    Guided backpropagation (Springenberg et al., 2015) is the same trace with another gradient of ReLU. As usual,
    the gradients of all other activations stay what they are: in a network without ReLU (SiLU, GELU), the guided
    gradient is the gradient.

    Args:
        classifier: frozen.
        x: a sample [B, 1, S, S].
        target: [B, K] weights of the classifier's outputs, as a rule 1 at one of them and 0 at the others; the logit
            is then their weighted sum. None takes the logit of the positive class.

    Raises:
        UnsupportedOperatorError: the gradient of one of the classifier's operators can't be stored.
        TracingError: the classifier can't be written as one graph.
    """
    relu = _ReluGradient()

    def attribution(x: Tensor, target: Tensor | None) -> tuple[Tensor, ...]:
        x = x.detach().requires_grad_()
        with captured(classifier.body, [classifier.layer]) as layers:
            logit = explained_logit(classifier, x, target)
        activations = layers[classifier.layer]
        gradient, activation_gradients = torch.autograd.grad(logit.sum(), [x, activations], retain_graph=True)
        guided_gradient = gradient
        if relu.called:
            with relu.guided():
                (guided_gradient,) = torch.autograd.grad(logit.sum(), [x])
        activations, activation_gradients = map(classifier.activation_map, (activations, activation_gradients))
        return logit.detach(), gradient, activations.detach(), activation_gradients, guided_gradient

    decompositions = gradient_decompositions() | {aten.threshold_backward.default: relu}
    if target is None:
        return trace(lambda x: attribution(x, None), [x], decompositions, classifier.body)
    return trace(attribution, [x, target], decompositions, classifier.body)


def explained_logit(classifier: ExplainedClassifier, x: Tensor, target: Tensor | None) -> Tensor:
    """What attribution explains, [B]: the positive class's logit, or the outputs weighted by `target` [B, K]."""
    if target is None:
        logit: Tensor = classifier(x)
        return logit
    return (classifier.outputs(x) * target).sum(1)


class _ReluGradient:
    """The decomposition of ReLU's gradient, which can be switched: both passes then share one trace forward."""

    def __init__(self) -> None:
        self._decomposition = threshold_backward
        self.called = False

    def __call__(self, grad_output: Tensor, x: Tensor, threshold: float) -> Tensor:
        self.called = True
        return self._decomposition(grad_output, x, threshold)

    @contextmanager
    def guided(self) -> Iterator[None]:
        """While it is open, only positive gradients pass."""
        self._decomposition = guided_threshold_backward
        try:
            yield
        finally:
            self._decomposition = threshold_backward
