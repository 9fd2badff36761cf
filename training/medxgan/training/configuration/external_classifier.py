"""What is stated of a classifier that was trained elsewhere."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from medxgan.training.configuration.section import Section
from medxgan.training.networks.grids import Layout


class ExternalClassifierConfig(Section):
    """A classifier that was trained elsewhere; it takes the place of the `classifier` section.

    Paths start from the folder of the file that states them.
    """

    source: str = Field(
        pattern=r"^([\w.]+:\w+|.+\.onnx)$",
        description='"package.module:factory", a callable that makes the network, or an ONNX file.',
    )
    weights: Path | None = Field(None, description="The network's state dict as safetensors; none: as it is made.")
    arguments: dict[str, Any] = Field(default_factory=dict, description="Keyword arguments of the factory.")
    layer: str | None = Field(None, description="Layer that attribution looks at; none: the last with activations.")
    layout: Layout | None = Field(
        None,
        description="How that layer's activations lie, where it can't be told: [B, C, H, W], [B, H, W, C], tokens.",
    )
    size: int | None = Field(
        None, ge=1, description="Side of the pictures that the network takes; x is resized to it. None: image.size."
    )
    channels: Literal[1, 3] = Field(1, description="Channels that the network takes; x is repeated.")
    mean: tuple[float, ...] = Field((), description="Taken from (x + 1) / 2: one number, or one a channel.")
    std: tuple[Annotated[float, Field(gt=0)], ...] = Field((), description="What is then divided by; see `mean`.")
    outputs: tuple[str, ...] = Field((), description="Names of the outputs, where there is more than one.")
    merged: dict[str, tuple[str, ...]] = Field(
        default_factory=dict, description="Outputs that count as one class, by its name: its probability is their sum."
    )
    activation: Literal["softmax", "logistic"] = Field(
        "softmax", description="Whether several outputs exclude each other, or each stands for itself."
    )
    logits: bool = Field(
        False, description="States that outputs which lie between 0 and 1 are logits, and no probabilities."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in {0, 1, self.channels}:
                raise ValueError(f"{name}: expected 1 or {self.channels} numbers, found {len(values)}")
        if len(self.outputs) == 1 or len(set(self.outputs)) < len(self.outputs):
            raise ValueError("outputs: expected at least two different names, or none where there is one output")
        self._check_merged()
        if self.from_onnx and (self.weights is not None or self.arguments):
            raise ValueError("source: an ONNX file holds its weights and takes no arguments")
        return self

    @property
    def from_onnx(self) -> bool:
        """Whether the source is an ONNX file."""
        return self.source.endswith(".onnx")

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the outputs once some are merged; where there is one output, none."""
        names = {member: name for name, members in self.merged.items() for member in members}
        return tuple(dict.fromkeys(names.get(output, output) for output in self.outputs))

    @property
    def members(self) -> tuple[tuple[int, ...], ...]:
        """Of each class, the outputs that it is made of, by their place; none where each output is a class."""
        if not self.merged:
            return ()
        return tuple(
            tuple(self.outputs.index(member) for member in self.merged.get(name, (name,))) for name in self.classes
        )

    def check_positive(self, positive: str) -> None:
        """See that the positive class is one of the classes, where there are several.

        Raises:
            ValueError: it is none of them.
        """
        if self.outputs and positive not in self.classes:
            raise ValueError(f"classes.positive: expected one of {', '.join(self.classes)}, found {positive}")

    def _check_merged(self) -> None:
        members = [member for group in self.merged.values() for member in group]
        if self.merged and self.activation != "softmax":
            raise ValueError('merged: needs activation = "softmax": outputs that exclude each other')
        if unknown := [member for member in members if member not in self.outputs]:
            raise ValueError(f"merged: expected names of outputs, found {unknown[0]}")
        if len(set(members)) < len(members):
            raise ValueError("merged: expected each output in one class alone")
        if any(len(group) < 2 for group in self.merged.values()):
            raise ValueError("merged: expected at least two outputs for each class")
        if taken := [name for name in self.merged if name in self.outputs and name not in self.merged[name]]:
            raise ValueError(f"merged: {taken[0]} is the name of another output")
        if self.merged and len(self.classes) < 2:
            raise ValueError("merged: expected at least two classes to be left")
