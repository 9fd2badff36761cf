"""Everything that can go wrong in an export.

ExportError
├── DestinationError           what is to be written can't be written there
├── UnsupportedOperatorError   an operator, or its gradient, can't be stored
├── TracingError               a network can't be written as one graph
├── DescriptionError           what the model says of itself is not a valid bundle
├── UnsupportedBundleError     a bundle has no form as one file
└── VerificationError          a graph does not compute what PyTorch computes
"""


class ExportError(Exception):
    """Base of all errors of an export; nothing has been written when one is raised."""


class DestinationError(ExportError):
    """The folder is not NAME/VERSION, or holds something already; or the file exists."""


class UnsupportedOperatorError(ExportError):
    """A graph holds an operator that no runtime but PyTorch knows.

    Attributes:
        operator: its name, such as "aten.adaptive_max_pool2d_backward.default".
        layer: path of the module that calls it or, in a gradient, whose gradient does; None where it is not known.
    """

    def __init__(self, operator: str, advice: str, layer: str | None = None) -> None:
        place = "" if layer is None else f" (layer '{layer}')"
        super().__init__(f"operator {operator}{place}: {advice}")
        self.operator = operator
        self.layer = layer


class TracingError(ExportError):
    """What a network does is not the same for all inputs, so that no graph can say it."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the network can't be written as one graph: {reason}")


class DescriptionError(ExportError):
    """A field of the bundle breaks a rule of bundle.proto."""


class UnsupportedBundleError(ExportError):
    """A bundle has no generator, or is too large, to be one file."""


class VerificationError(ExportError):
    """A graph disagrees with PyTorch.

    Attributes:
        graph: file of the graph.
        tensor: name of its output.
        batch: rows in the batch that showed it.
        difference: the largest absolute difference, or the variation found where one was expected.
        tolerance: what was allowed there.
    """

    def __init__(self, graph: str, tensor: str, batch: int, difference: float, tolerance: float, claim: str) -> None:
        super().__init__(
            f"{graph}, output {tensor}, batch {batch}: {claim}: "
            f"maximum difference {difference:.3g}, tolerance {tolerance:.3g}"
        )
        self.graph = graph
        self.tensor = tensor
        self.batch = batch
        self.difference = difference
        self.tolerance = tolerance
