"""An external classifier alone, as export takes it."""

import platform
from importlib.metadata import version
from pathlib import Path

from medxgan.training.configuration import ServedClassifierConfig
from medxgan.training.description import classification, external_provenance, image_specification, provenance
from medxgan.training.load_classifier import load_external_classifier
from medxgan.training.model import TrainedModel
from medxgan.training.runs import build_preprocess


def served_classifier(configuration: ServedClassifierConfig) -> TrainedModel:
    """Load the classifier and describe it; nothing has been measured.

    Raises:
        ClassifierSourceError: it can't be had, or is not what the configuration says.
    """
    external = configuration.external_classifier
    classifier = load_external_classifier(external, configuration.image.size, configuration.classes.positive)
    sections = {"external_classifier": external_provenance(external)}
    if configuration.data is not None:
        sections["data"] = configuration.data.model_dump_json()
    versions = {"python": platform.python_version()} | {name: version(name) for name in ("torch", "medxgan")}
    return TrainedModel(
        preprocess=build_preprocess(configuration),
        classifier=classifier,
        generator=None,
        encoder=None,
        image=image_specification(configuration.image),
        classification=classification(configuration.classes, external),
        inversion=None,
        reliability=None,
        provenance=provenance(configuration.card, classifier, sections, seed=0, versions=versions),
        metrics=(),
        classifier_file=Path(external.source) if external.from_onnx else None,
    )
