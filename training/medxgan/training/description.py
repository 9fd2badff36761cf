"""From a configuration to what a bundle says of its model."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from medxgan.training.configuration import (
    CardConfig,
    ClassesConfig,
    ExternalClassifierConfig,
    ImageConfig,
    InversionConfig,
)
from medxgan.training.networks import ExplainedClassifier
from medxgan.v1.bundle_pb2 import (
    Classification,
    ClassifierOutput,
    ImageSpecification,
    Interval,
    InversionSpecification,
    Provenance,
    Reliability,
)


def image_specification(image: ImageConfig) -> ImageSpecification:
    """How a picture becomes x."""
    return ImageSpecification(
        height=image.size,
        width=image.size,
        channels=1,
        lower_percentile=image.lower_percentile,
        upper_percentile=image.upper_percentile,
        aspect=f"ASPECT_{image.aspect.upper()}",
        modality=image.modality,
    )


def classification(classes: ClassesConfig, external: ExternalClassifierConfig | None) -> Classification:
    """What the classifier decides; only an external one has several outputs."""
    several = external is not None and external.classes
    activation = external.activation if external is not None and several else "logistic"
    return Classification(
        outputs=[ClassifierOutput(name=name) for name in (several or (classes.positive,))],
        activation=f"OUTPUT_ACTIVATION_{activation.upper()}",
        positive_class=classes.positive,
        negative_class=classes.negative,
        decision_threshold=classes.decision_threshold,
    )


def inversion_specification(inversion: InversionConfig) -> InversionSpecification:
    """Defaults and ranges of the inversion."""
    return InversionSpecification(
        default_steps=inversion.steps,
        maximum_steps=inversion.maximum_steps,
        default_learning_rate=inversion.learning_rate,
        learning_rate_range=Interval(
            minimum=inversion.learning_rate_range[0], maximum=inversion.learning_rate_range[1]
        ),
        default_reconstruction_weight=inversion.reconstruction_weight,
        reconstruction_weight_range=Interval(
            minimum=inversion.reconstruction_weight_range[0], maximum=inversion.reconstruction_weight_range[1]
        ),
        tolerance=inversion.tolerance,
        check_interval=inversion.check_interval,
        beta1=inversion.beta1,
        beta2=inversion.beta2,
        epsilon=inversion.epsilon,
        pathology_rate=inversion.pathology_rate if inversion.pathology_rate < 1 else None,
        default_solver=f"SOLVER_{inversion.solver.upper()}",
    )


def unmeasured_reliability() -> Reliability:
    """The reliability of a draft: pictures in [-1, 1] are never further apart, so that no reconstruction is too far."""
    return Reliability(maximum_reconstruction_mse=4.0, method="not set: nothing has been measured")


def provenance(
    card: CardConfig,
    classifier: ExplainedClassifier,
    sections: Mapping[str, str],
    seed: int,
    versions: Mapping[str, str],
) -> Provenance:
    """Where the weights come from.

    Args:
        card: what the configuration says.
        classifier: its notes are among the limitations.
        sections: sections of the configuration in force, as JSON, by name.
        seed: of the generator's training.
        versions: of the libraries, by name.
    """
    return Provenance(
        data=card.data,
        license=card.license,
        attribution=card.attribution,
        configuration=sections,
        seed=seed,
        versions=versions,
        limitations=[*card.limitations, *classifier.notes],
    )


def external_provenance(external: ExternalClassifierConfig) -> str:
    """The section as JSON: of files the name and the hash, not where they lay."""
    stated = external.model_dump(mode="json")
    file = Path(external.source) if external.from_onnx else external.weights
    if file is not None:
        stated["source" if external.from_onnx else "weights"] = file.name
        stated["sha256"] = hashlib.sha256(file.read_bytes()).hexdigest()
    return json.dumps(stated)
