"""Whether outputs are probabilities where logits are expected: by how they are computed, and by their values."""

from torch import Tensor
from torch.autograd.graph import Node

ACTIVATIONS = {
    "SigmoidBackward": "sigmoid",
    "SoftmaxBackward": "softmax",
    "HardsigmoidBackward": "hard sigmoid",
    "LogSigmoidBackward": "log-sigmoid",
}
"""What makes probabilities, or their logarithms, by how the name of its gradient begins."""

PASSING = (
    "Alias",
    "Cat",
    "Clamp",
    "Clone",
    "Expand",
    "Gather",
    "Index",
    "Permute",
    "ReshapeAlias",
    "Select",
    "Slice",
    "Split",
    "Squeeze",
    "Stack",
    "TBackward",
    "ToCopy",
    "Transpose",
    "Unbind",
    "UnsafeView",
    "Unsqueeze",
    "View",
)
"""How the names of gradients begin whose operators choose numbers, bound them or arrange them anew."""


def last_activation(outputs: Tensor) -> str | None:
    """The sigmoid or softmax that outputs come from, where nothing is computed of it; else None.

    A softmax's logarithm counts where not all of it is left: one of its columns is no logit.

    Args:
        outputs: [B, K], with a gradient.
    """
    waiting: list[tuple[Node | None, bool]] = [(outputs.grad_fn, False)]
    while waiting:
        node, chosen = waiting.pop()
        if node is None:
            continue
        name = node.name().lstrip("_")
        for beginning, activation in ACTIVATIONS.items():
            if name.startswith(beginning):
                return activation
        if name.startswith("LogSoftmaxBackward") and chosen:
            return "log-softmax"
        if name.startswith(PASSING):
            chosen = chosen or name.startswith(("Gather", "Index", "Select", "Slice", "Split", "Unbind"))
            waiting += [(before, chosen) for before, _ in node.next_functions]
    return None


def add_up_to_one(outputs: Tensor) -> bool:
    """Whether several outputs [B, K] are what a softmax gives."""
    positive = bool((outputs >= 0).all())
    return outputs.shape[1] > 1 and positive and bool(((outputs.sum(1) - 1).abs() < 1e-4).all())


def lie_between_zero_and_one(outputs: Tensor) -> bool:
    """Whether all outputs could be probabilities."""
    return bool(((outputs >= 0) & (outputs <= 1)).all())
