"""The graphs of a bundle by role: the names and shapes of their tensors.

They follow a request: OPEN makes of a film all that is needed before anything is decided, INVERSION_STEP and the others
do the work, CLOSE draws and scores what was found. Everything is float32. The first axis of a tensor is the batch,
unless said otherwise.
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
"""Inputs of the inversion step that its outputs `next_*` replace; `step` is [B]."""

CONSTANTS = ("image", "target", "learning_rate", "reconstruction_weight")
"""Inputs of the inversion step that stay as they are during a run: the picture to match [B, 1, S, S], the probability
to match [B], a learning rate for each latent [B, D] (0 holds it still), and λ [B]."""

LOSSES = ("reconstruction_loss", "classification_loss")
"""[B] outputs of the inversion step: its loss terms before the update, unweighted."""

REALIZATIONS = ("reconstruction", "negative_realization", "applied_negative")
"""[B, 1, S, S] outputs of CLOSE; the `*_logit` of each is [B]."""

ATTRIBUTION_PARTS = (
    ("logit", "activations", "activation_gradients"),
    ("logit", "gradient", "activations", "activation_gradients"),
    ("logit", "gradient", "activations", "activation_gradients", "guided_gradient"),
)
"""The attribution graphs of a bundle by their outputs, the cheapest first: back through the classifier's head; back to
the image; the same and once more with another gradient of ReLU. A runtime computes a whole graph whichever outputs are
asked for, hence the parts."""

PARTED_ROLES = (bundle_pb2.GRAPH_ROLE_OPEN, bundle_pb2.GRAPH_ROLE_ATTRIBUTION)
"""Roles that a bundle may fill by several graphs, the cheapest first, each with a part of the outputs and one with all.
Of OPEN: one without `z`, for images that are not inverted, and one with it."""

REQUIRED_ROLES = (
    bundle_pb2.GRAPH_ROLE_OPEN,
    bundle_pb2.GRAPH_ROLE_CLASSIFIER,
    bundle_pb2.GRAPH_ROLE_ATTRIBUTION,
)
"""Roles that every bundle fills, each by an ONNX graph."""

GENERATOR_ROLES = (
    bundle_pb2.GRAPH_ROLE_GENERATOR,
    bundle_pb2.GRAPH_ROLE_INVERSION_STEP,
    bundle_pb2.GRAPH_ROLE_CLOSE,
)
"""Roles that a bundle with a generator fills too."""


@dataclass(frozen=True)
class Signature:
    """Inputs and outputs of a graph, in order, by tensor name.

    Attributes:
        inputs: all of them.
        outputs: all that it may have.
        optional: outputs that it may lack.
    """

    inputs: Mapping[str, Shape]
    outputs: Mapping[str, Shape]
    optional: frozenset[str] = frozenset()


def output_names(classification: bundle_pb2.Classification) -> list[str]:
    """The classes that the classifier scores, in the order of its outputs."""
    return [output.name for output in classification.outputs]


def signature(role: GraphRole, bundle: bundle_pb2.Bundle) -> Signature:
    """What a graph of this role takes and gives, for the sizes that the bundle states."""
    picture = bundle.image
    rows: Shape = (-1,)
    latents: Shape = (-1, bundle.latent.z1_size + bundle.latent.z2_size)
    image: Shape = (-1, picture.channels, picture.height, picture.width)
    outputs: Shape = (-1, len(bundle.classification.outputs))
    match role:
        case bundle_pb2.GRAPH_ROLE_OPEN:
            # All films of a batch have one size; `pixel_aspect` [1] and `box` [4] are of all of them.
            opened = {"x": image, "box": (4,), "logit": rows}
            if bundle.HasField("familiarity"):
                opened["unfamiliarity"] = (-1, len(bundle.familiarity.measures))
            if bundle.HasField("latent"):
                opened["z"] = latents
            films = {"image": (-1, picture.channels, -1, -1), "inverted": rows, "pixel_aspect": (1,)}
            return Signature(films, opened, frozenset({"z"}))
        case bundle_pb2.GRAPH_ROLE_CLASSIFIER:
            return Signature({"x": image}, {"logit": rows, "outputs": outputs})
        case bundle_pb2.GRAPH_ROLE_GENERATOR:
            return Signature({"z": latents}, {"image": image, "logit": rows})
        case bundle_pb2.GRAPH_ROLE_INVERSION_STEP:
            state = dict.fromkeys(LATENTS, latents) | {"step": rows}
            constants = {"image": image, "target": rows, "learning_rate": latents, "reconstruction_weight": rows}
            following = {f"next_{name}": shape for name, shape in state.items()}
            return Signature(state | constants, following | dict.fromkeys(LOSSES, rows))
        case bundle_pb2.GRAPH_ROLE_CLOSE:
            logits = {f"{name}_logit": rows for name in REALIZATIONS}
            return Signature({"x": image, "z": latents}, dict.fromkeys(REALIZATIONS, image) | logits)
        case bundle_pb2.GRAPH_ROLE_ATTRIBUTION:
            activations: Shape = (-1, None, None, None)
            shapes: dict[str, Shape] = {
                "logit": rows,
                "gradient": image,
                "activations": activations,
                "activation_gradients": activations,
                "guided_gradient": image,
            }
            inputs = {"x": image} | ({"target": outputs} if len(bundle.classification.outputs) > 1 else {})
            return Signature(inputs, shapes, frozenset(shapes) - {"logit"})
        case _:
            raise ValueError(f"no signature for {role}")
