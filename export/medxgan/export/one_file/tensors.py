"""The inputs and outputs of the one file: their names, shapes and meaning."""

from dataclasses import dataclass

import numpy as np
from onnx_ir import DataType, Shape, Value, tensor
from onnxscript import GraphBuilder

from medxgan.export.one_file.verdict import REASONS, STATUSES
from medxgan.v1.bundle_pb2 import Bundle, InversionSpecification
from medxgan.v1.explanation_pb2 import VerdictReasonCode, VerdictStatus


@dataclass(frozen=True)
class Described:
    """An output.

    Attributes:
        shape: of one image's.
        meaning: in a sentence.
        dtype: type of its elements.
    """

    shape: Shape
    meaning: str
    dtype: DataType = DataType.FLOAT


def declare_inputs(
    builder: GraphBuilder, inversion: InversionSpecification, *, with_defaults: bool
) -> dict[str, Value]:
    """Declare the inputs: the image, and the settings.

    Args:
        builder: of the graph.
        inversion: states the defaults and the ranges.
        with_defaults: whether a caller may leave settings out.
    """
    image = builder.input("image", DataType.FLOAT, [1, 1, "height", "width"])
    image.doc_string = "Grey levels of one film, upright, finite, in any unit."
    rates, weights = inversion.learning_rate_range, inversion.reconstruction_weight_range
    defaults = {
        "inverted": (np.float32(0), "1 where a high level means dark (DICOM's MONOCHROME1), else 0."),
        "pixel_aspect": (np.float32(1), "Height of a pixel over its width."),
        "steps": (np.int64(inversion.default_steps), f"Most gradient steps: 1 to {inversion.maximum_steps}."),
        "learning_rate": (
            np.float32(inversion.default_learning_rate),
            f"How far the first step moves each latent: {rates.minimum:g} to {rates.maximum:g}.",
        ),
        "reconstruction_weight": (
            np.float32(inversion.default_reconstruction_weight),
            f"Weight of the mean squared error: {weights.minimum:g} to {weights.maximum:g}.",
        ),
    }
    declared = {"image": image}
    for name, (default, meaning) in defaults.items():
        constant = tensor(np.full(1, default), name=name)
        declared[name] = builder.input(name, constant.dtype, [1], const_value=constant if with_defaults else None)
        declared[name].doc_string = meaning
    return declared


def described_outputs(bundle: Bundle) -> dict[str, Described]:
    """All outputs that a file of this bundle may have, by name."""
    side = bundle.image.height
    picture, one = Shape([1, 1, side, side]), Shape([1])
    latents = bundle.latent.z1_size + bundle.latent.z2_size
    positive = bundle.classification.positive_class
    statuses = ", ".join(f"{status} {status_name(status)}" for status in STATUSES)
    measures = bundle.familiarity.measures
    return {
        "x": Described(picture, "The image as the networks see it, in [-1, 1]."),
        "box": Described(Shape([4]), "Top, left, bottom, right: the part of the film that x covers, in its pixels."),
        "probability": Described(one, f"Of {positive} in x, 0 to 1."),
        "unfamiliarity": Described(
            Shape([1, len(measures)]),
            "How unlike x is to the images of the training: "
            + ", ".join(f"{each.name} (familiar up to {each.maximum:g})" for each in measures),
        ),
        "reconstruction": Described(picture, "The generated picture that matches x, in [-1, 1]."),
        "negative_realization": Described(picture, "The same without the pathology, in [-1, 1]."),
        "applied_negative": Described(picture, "x less the difference, in [-1, 1]."),
        "reconstruction_probability": Described(one, f"Of {positive} in the reconstruction."),
        "negative_realization_probability": Described(one, f"Of {positive} in the negative realization."),
        "applied_negative_probability": Described(one, f"Of {positive} in the applied negative."),
        "difference": Described(picture, "Reconstruction less negative realization, in [-2, 2]: what pathology adds."),
        "reconstruction_mse": Described(one, "Mean squared error of the reconstruction."),
        "classification_loss": Described(one, "Cross-entropy in nats of the reconstruction's score against x's."),
        "steps_taken": Described(one, "Gradient steps that were taken.", DataType.INT64),
        "z": Described(Shape([1, latents]), "The latent code of the reconstruction: z1, then z2."),
        "verdict": Described(one, f"Whether the maps can be relied on: {statuses}.", DataType.INT64),
        "reasons": Described(
            Shape([len(REASONS)]), f"Why not, in this order: {', '.join(map(reason_name, REASONS))}.", DataType.BOOL
        ),
    }


def status_name(status: VerdictStatus) -> str:
    """Without its prefix: RELIABLE."""
    return VerdictStatus.Name(status).removeprefix("VERDICT_STATUS_")


def reason_name(code: VerdictReasonCode) -> str:
    """Without its prefix: RECONSTRUCTION_TOO_FAR."""
    return VerdictReasonCode.Name(code).removeprefix("VERDICT_REASON_CODE_")
