"""The graphs of a bundle by role: the tensor names and shapes that the server expects and `medxgan export` writes.

Everything is float32. The first axis of every tensor is the batch.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from medxgan.v1 import bundle_pb2
from medxgan.v1.bundle_pb2 import GraphRole

Shape = tuple[int | None, ...]
"""Extents of a tensor; -1: any extent at run time; None: an extent that the bundle fixes by itself."""

LATENTS = ("z", "first_moment", "second_moment")
"""[B, D] tensors that a gradient step reads and writes anew."""

STATE = (*LATENTS, "step")
"""Inputs of the inversion step that its outputs `next_*` replace."""

CONSTANTS = ("image", "target", "learning_rate", "reconstruction_weight")
"""Inputs of the inversion step that stay as they are during a run."""

LOSSES = ("reconstruction_loss", "classification_loss")
"""[B] outputs of the inversion step: its loss terms before the update, unweighted."""

REQUIRED_ROLES = (
    bundle_pb2.GRAPH_ROLE_PREPROCESS,
    bundle_pb2.GRAPH_ROLE_CLASSIFIER,
    bundle_pb2.GRAPH_ROLE_ATTRIBUTION,
)
"""Roles that every bundle fills, each by an ONNX graph."""

GENERATOR_ROLES = (bundle_pb2.GRAPH_ROLE_GENERATOR, bundle_pb2.GRAPH_ROLE_INVERSION_STEP)
"""Roles that a bundle with a generator fills too. Its encoder is optional."""

PARTS: Mapping[GraphRole, tuple[tuple[str, ...], ...]] = {
    bundle_pb2.GRAPH_ROLE_ATTRIBUTION: (
        ("logit",),
        ("logit", "activations", "activation_gradients"),
        ("logit", "gradient", "activations", "activation_gradients"),
    ),
}
"""Outputs that are often wanted without the rest, the cheapest first: a pass forward; the same and back through the
classifier's head; a pass forward and back."""


@dataclass(frozen=True)
class Signature:
    """Inputs and outputs of a graph, in order, by tensor name."""

    inputs: Mapping[str, Shape]
    outputs: Mapping[str, Shape]


def output_count(classification: bundle_pb2.Classification) -> int:
    """How many outputs the classifier has. One of several is attributed by a one-hot `target`; one by itself."""
    return max(1, len(classification.outputs))


def output_name(classification: bundle_pb2.Classification, output: int) -> str:
    """What an output of the classifier stands for; one by itself stands for the positive class."""
    return classification.outputs[output] if classification.outputs else classification.positive_class


def signature(role: GraphRole, bundle: bundle_pb2.Bundle) -> Signature:
    """What a graph of this role takes and gives, for the image and latent sizes that the bundle states."""
    side = bundle.image.size
    rows: Shape = (-1,)
    latents: Shape = (-1, bundle.latent.z1_size + bundle.latent.z2_size)
    image: Shape = (-1, 1, side, side)
    activations: Shape = (-1, None, None, None)
    outputs = output_count(bundle.classification)
    match role:
        case bundle_pb2.GRAPH_ROLE_PREPROCESS:
            return Signature({"image": (-1, 1, -1, -1), "inverted": rows}, {"x": image})
        case bundle_pb2.GRAPH_ROLE_CLASSIFIER:
            return Signature({"x": image}, {"logit": rows})
        case bundle_pb2.GRAPH_ROLE_ENCODER:
            return Signature({"x": image}, {"z": latents})
        case bundle_pb2.GRAPH_ROLE_GENERATOR:
            return Signature({"z": latents}, {"image": image})
        case bundle_pb2.GRAPH_ROLE_INVERSION_STEP:
            state = dict.fromkeys(LATENTS, latents) | {"step": rows}
            constants = {"image": image} | dict.fromkeys(CONSTANTS[1:], rows)
            following = {f"next_{name}": shape for name, shape in state.items()}
            return Signature(state | constants, following | dict.fromkeys(LOSSES, rows))
        case bundle_pb2.GRAPH_ROLE_ATTRIBUTION:
            return Signature(
                {"x": image} | ({"target": (-1, outputs)} if outputs > 1 else {}),
                {
                    "logit": rows,
                    "gradient": image,
                    "activations": activations,
                    "activation_gradients": activations,
                    "guided_gradient": image,
                },
            )
        case _:
            raise ValueError(f"no signature for {role}")
