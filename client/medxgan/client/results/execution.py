"""Which model answered, and how it was run."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ModelIdentity:
    """The model that answered. `bundle_sha256` is lower-case hexadecimal."""

    name: str
    version: str
    bundle_sha256: str


@dataclass(frozen=True)
class Execution:
    """How a model is run.

    Attributes:
        engine: "onnxruntime" or "torch".
        provider: execution provider that really runs the gradient steps: "CPUExecutionProvider".
        requested: what the operator asked for: "auto", "cpu", "cuda", "tensorrt", "openvino" or "torch".
        fallback: whether what runs is less than what was asked for.
        fallback_reason: why it fell back; empty when it did not.
    """

    engine: str
    provider: str
    requested: str
    fallback: bool
    fallback_reason: str
