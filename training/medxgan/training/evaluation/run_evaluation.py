"""Measures a run: its classifier, and its generator if it has got that far."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf import json_format

from medxgan.training.data.errors import DataError
from medxgan.training.data.samples import DataSplit, LabelledImages
from medxgan.training.evaluation.classification import Scored, classifier_aucs, score_images
from medxgan.training.evaluation.explained import Explained, Explainer
from medxgan.training.evaluation.localisation import localisation_metrics, localise, resize_masks
from medxgan.training.evaluation.realization import (
    class_metrics,
    disentanglement,
    place_metrics,
    reconstruction_metrics,
)
from medxgan.training.evaluation.reliability import calibrate, coverage_curve, reliable_metrics
from medxgan.training.networks import ExplainedClassifier
from medxgan.training.runs import Run, build_preprocess
from medxgan.v1.bundle_pb2 import Metric, Reliability

CALIBRATION_IMAGES = 200
UNSEEN, SEEN = "of patients not trained on", "of patients trained on"


@dataclass(frozen=True)
class Evaluation:
    """What was measured; without a generator nothing is reconstructed, and there is no reliability."""

    metrics: tuple[Metric, ...]
    reliability: Reliability | None


def evaluate(run_folder: Path, data_root: Path) -> Evaluation:
    """Measure a run and write `evaluation.json` into its folder.

    A run with a classifier alone is measured for its AUC.

    Args:
        run_folder: a run with a trained classifier, and a generator if it has got that far.
        data_root: folder that relative paths of the `data` section start from.

    Raises:
        RunError: there is no run, or no trained classifier.
        DataError: the data can't be read, or the classifier finds no positive image in them.
    """
    run = Run.open(run_folder)
    split = run.configuration.data.load(data_root)
    classifier = run.classifier()
    test = _scored(run, classifier, split.test, "test", UNSEEN)
    metrics = classifier_aucs(test)
    reliability = None
    if run.has("generator"):
        of_generator, reliability = _evaluate_generator(run, classifier, split, test)
        metrics += of_generator
    evaluation = Evaluation(tuple(metrics), reliability)
    content: dict[str, Any] = {
        "metrics": [json_format.MessageToDict(metric, preserving_proto_field_name=True) for metric in metrics]
    }
    if reliability is not None:
        content["reliability"] = json_format.MessageToDict(reliability, preserving_proto_field_name=True)
    (run_folder / "evaluation.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return evaluation


def _evaluate_generator(
    run: Run, classifier: ExplainedClassifier, split: DataSplit, test: Scored
) -> tuple[list[Metric], Reliability]:
    configuration = run.configuration
    threshold, seed = configuration.classes.decision_threshold, configuration.seed
    generator, encoder = run.generator()
    explainer = Explainer(classifier, generator, encoder, configuration.inversion, threshold, seed)

    positive = test.true_positives(threshold)
    if not positive.any():
        raise DataError("test split: expected true positives to explain, found none")
    explained = explainer.explain(test.x[positive], test.cohort.select(positive, f"true positives {UNSEEN}"))
    localisation = None
    if split.test.masks is not None:
        localisation = localise(explained, resize_masks(configuration, split.test)[positive])

    reliability = calibrate(_explained_to_calibrate_on(run, classifier, explainer, split))
    reliability.curve.extend(coverage_curve(explained, localisation))
    metrics = [
        disentanglement(generator, classifier, threshold, seed),
        *reconstruction_metrics(explained),
        *class_metrics(explained),
        *reliable_metrics(explained, reliability),
        *place_metrics(classifier, explained),
        *(() if localisation is None else localisation_metrics(localisation)),
    ]
    return metrics, reliability


def _explained_to_calibrate_on(
    run: Run, classifier: ExplainedClassifier, explainer: Explainer, split: DataSplit
) -> Explained:
    """At most 200 true positives, explained: of the calibration split where the data has one.

    Images that were trained on are reconstructed better than new ones, so that a threshold from them is too strict for
    new ones.
    """
    images, name, whose = split.train, "training", SEEN
    if split.calibration is not None:
        images, name, whose = split.calibration, "calibration", UNSEEN
    scored = _scored(run, classifier, images, name, whose)
    known = scored.true_positives(explainer.decision_threshold)
    # The first of them alone: an inversion takes its time.
    known &= known.cumsum(0) <= CALIBRATION_IMAGES
    if not known.any():
        raise DataError(f"{name} split: expected true positives to set the verdict's threshold on, found none")
    return explainer.explain(scored.x[known], scored.cohort.select(known, f"true positives {whose}"))


def _scored(run: Run, classifier: ExplainedClassifier, images: LabelledImages, split: str, whose: str) -> Scored:
    return score_images(classifier, build_preprocess(run.configuration), images, split, f"images {whose}")
