"""When do two computations of the same thing agree? The tolerances, and why they are what they are."""

from dataclasses import dataclass

import torch
from torch import Tensor

from medxgan.export.errors import VerificationError

ROUNDING = 1e-4
"""Relative error of float32 through some twenty layers, summed in another order: measured 1e-7 to 1e-5."""

KINK = 0.25
"""Relative error of a gradient in a row where a unit lies within rounding of ReLU's kink, or two inputs of a max-pool
within rounding of each other: one side takes the unit's share of the gradient and the other does not. Measured up to
4e-3; a unit of a small network's last block may carry a tenth."""

SHARE_OF_KINKS = 0.1
"""Share of the rows that may lie at a kink: with 1e5 units and a rounding of 1e-7, about one row in a hundred does."""

LARGE_SHARE_OF_KINKS = 0.5
"""The same for a large network: of ResNet-18 at 64x64 every seventh row does. A wrong gradient is wrong in all rows."""


@dataclass(frozen=True)
class Tolerance:
    """How far a row may be off, relative to a scale.

    Attributes:
        usual: for all rows but the exceptions.
        utmost: for every row.
        exceptions: share of the rows that may go beyond `usual`.
    """

    usual: float
    utmost: float
    exceptions: float = SHARE_OF_KINKS


VALUE = Tolerance(usual=ROUNDING, utmost=ROUNDING)
"""For what is continuous in its inputs."""

HALF = Tolerance(usual=0.02, utmost=0.02)
"""For a file in half precision, whose every layer rounds by up to 5e-4, against its weights in single precision."""

GRADIENT = Tolerance(usual=ROUNDING, utmost=KINK)
"""For what jumps where the network has a kink."""

SIGN = Tolerance(usual=0.01, utmost=2.01, exceptions=0.05)
"""For Adam's first step in units of the learning rate: a gradient of rounding's size may have either sign."""


OWN_ERROR = 4
"""How much further than PyTorch itself a graph may be off, where PyTorch is off by more than `ROUNDING`: both sides
round, and not at the same units."""

LARGEST_OWN_ERROR = 1e-3
"""A value that is further off is wrong, however PyTorch rounds."""


def measured_value_tolerance(expected: Tensor, exact: Tensor, scale: Tensor) -> Tolerance:
    """The tolerance for a value of a network so deep that PyTorch itself is off; how far depends on the processor.

    Args:
        expected: [N, ...] by PyTorch.
        exact: [N, ...] by PyTorch in double precision.
        scale: broadcasts to [N, ...]; the difference that counts as 1.
    """
    allowed = min(LARGEST_OWN_ERROR, max(ROUNDING, OWN_ERROR * _own_error(expected, exact, scale)))
    return Tolerance(allowed, allowed)


def measured_tolerance(expected: Tensor, exact: Tensor, scale: Tensor) -> Tolerance:
    """The tolerance for a gradient of a network so large that many or most rows of it lie at a kink.

    Args:
        expected: [N, ...] by PyTorch.
        exact: [N, ...] by PyTorch in double precision.
        scale: broadcasts to [N, ...]; the difference that counts as 1.
    """
    own = _own_error(expected, exact, scale)
    return Tolerance(min(KINK, max(ROUNDING, OWN_ERROR * own)), KINK, LARGE_SHARE_OF_KINKS)


def _own_error(expected: Tensor, exact: Tensor, scale: Tensor) -> float:
    return ((expected - exact).abs() / scale.clamp_min(torch.finfo(scale.dtype).tiny)).max().item()


@dataclass(frozen=True)
class Output:
    """One output of one graph at one batch size, for messages.

    Attributes:
        graph: file name.
        tensor: name of the output.
        batch: rows.
    """

    graph: str
    tensor: str
    batch: int


def require_agreement(
    output: Output,
    computed: Tensor,
    expected: Tensor,
    scale: Tensor,
    tolerance: Tolerance,
    reference: str = "PyTorch",
) -> None:
    """Compare row by row.

    Args:
        output: what is compared.
        computed: [N, ...] by the graph.
        expected: [N, ...] by PyTorch.
        scale: broadcasts to [N, ...]; the difference that counts as 1.
        tolerance: relative to `scale`.
        reference: what `expected` is by, for messages.

    Raises:
        VerificationError: they disagree in shape or in value, or something is not finite.
    """
    if computed.shape != expected.shape:
        claim = f"expected shape {list(expected.shape)}, found {list(computed.shape)}"
        raise VerificationError(output.graph, output.tensor, output.batch, float("nan"), 0.0, claim)
    difference = (computed - expected).abs()
    for allowed, exceptions in ((tolerance.utmost, 0.0), (tolerance.usual, tolerance.exceptions)):
        # "not within" rather than "beyond": a NaN is not within anything.
        beyond = ~(difference <= allowed * scale).reshape(len(computed), -1).all(1)
        if beyond.double().mean() > exceptions:
            claim = f"disagrees with {reference} in {int(beyond.sum())} of {len(beyond)} rows"
            worst = (difference / scale.clamp_min(torch.finfo(scale.dtype).tiny)).argmax()
            raise VerificationError(
                output.graph,
                output.tensor,
                output.batch,
                float(difference.flatten()[worst]),
                allowed * float(scale.expand_as(difference).flatten()[worst]),
                claim,
            )


def require_variation(output: Output, computed: Tensor, scale: Tensor, varied: str) -> None:
    """See that the rows differ where the rows of an input do: a gradient frozen into a constant would not.

    Args:
        output: what is looked at.
        computed: [N, ...] by the graph, N > 1.
        scale: broadcasts to [N, ...]; the difference that counts as 1.
        varied: what the rows differ in, in words.

    Raises:
        VerificationError: all rows are alike.
    """
    variation = ((computed - computed[:1]).abs() / scale.clamp_min(torch.finfo(scale.dtype).tiny))[1:]
    if not bool((variation > 10 * ROUNDING).any()):
        raise VerificationError(
            output.graph,
            output.tensor,
            output.batch,
            float(variation.max()),
            10 * ROUNDING,
            f"does not depend on {varied} (relative variation)",
        )
