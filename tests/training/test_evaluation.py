"""What a run is measured for, and what the verdict's threshold is set on."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from medxgan.evaluation.metrics.average_precision import average_precision as average_precision_of_report
from medxgan.evaluation.saliency import saliency
from medxgan.server.maps.applied_negative import applied_negative
from medxgan.server.maps.residual import residual_map
from medxgan.training.configuration import TrainingConfig, load_configuration
from medxgan.training.data.errors import DataError
from medxgan.training.evaluation import Evaluation, evaluate
from medxgan.training.evaluation.cohort import Cohort
from medxgan.training.evaluation.explained import Explained
from medxgan.training.evaluation.localisation import localisation_metrics, localise, pointing
from medxgan.training.evaluation.realization import class_metrics
from medxgan.training.evaluation.reliability import (
    calibrate,
    coverage_curve,
    reliable_metrics,
    wilson_lower_bound,
)
from medxgan.training.evaluation.saliency import saliencies
from medxgan.training.objective import Realizations
from medxgan.training.train_classifier import train_classifier
from medxgan.training.train_generator import train_generator
from medxgan.v1.bundle_pb2 import Metric

CONFIGS = Path(__file__).parents[2] / "training" / "configs"


def small(**data: object) -> TrainingConfig:
    """The phantom's configuration, small enough to train in seconds."""
    whole = load_configuration(CONFIGS / "phantom.toml")
    sizes = {"z1_size": 6, "z2_size": 3, "channels": (8, 8, 6), "pathology_channels": (8, 6, 4)}
    networks = {"discriminator_channels": (4, 6, 8), "encoder_channels": (4, 6, 8)}
    work = {"steps": 2, "checkpoint_interval": 2, "batch_size": 4}
    return whole.model_copy(
        update={
            "data": whole.data.model_copy(update={"count": 200, "size": 48, **data}),
            "classifier": whole.classifier.model_copy(update={"width": 6, "epochs": 8}),
            "generator": whole.generator.model_copy(update=sizes | networks | work),
        }
    )


def explained(
    errors: list[float], applied: list[float], negative: list[float] | None = None, patients: str | None = None
) -> Explained:
    """Explanations of black 8x8 images with these errors of the reconstruction and these scores.

    Args:
        errors: mean squared errors.
        applied: scores of the applied negatives; from 0.5 an image is positive.
        negative: scores of the negative realizations; all 0 if left out.
        patients: a letter for each image; all of different patients if left out.
    """
    count = len(errors)
    x = torch.full((count, 1, 8, 8), -1.0)
    reconstruction = x + torch.tensor(errors).sqrt()[:, None, None, None]
    return Explained(
        x,
        Realizations(torch.zeros(count, 2), reconstruction, x.clone()),
        reconstruction_score=torch.ones(count),
        negative_score=torch.tensor(negative or [0.0] * count),
        applied_score=torch.tensor(applied),
        decision_threshold=0.5,
        cohort=Cohort("true positives", "calibration", tuple(patients or "abcdefghijklmnopqrstuvwxyz"[:count])),
    )


def lively(count: int = 4, side: int = 48) -> Explained:
    """Explanations of random pictures."""
    random = torch.Generator().manual_seed(5)
    x, reconstruction, negative = torch.rand(3, count, 1, side, side, generator=random) * 2 - 1
    some = explained([0.0] * count, [0.0] * count)
    return replace(some, x=x, realizations=Realizations(torch.zeros(count, 2), reconstruction, negative))


def by_name(metrics: list[Metric]) -> dict[str, Metric]:
    return {metric.name: metric for metric in metrics}


# --- A whole run ---


def test_a_classifier_alone_is_measured_for_its_auc(tmp_path: Path) -> None:
    train_classifier(small(), tmp_path, tmp_path)
    evaluation = evaluate(tmp_path, tmp_path)
    assert [metric.name for metric in evaluation.metrics] == ["classifier_auc"]
    assert evaluation.reliability is None
    assert json.loads((tmp_path / "evaluation.json").read_text()).keys() == {"metrics"}


@pytest.fixture(scope="module", params=[(0.0, "training"), (0.4, "calibration")], ids=lambda each: each[1])
def measured(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, Evaluation]:
    """A small run with its evaluation, and the split that the verdict's threshold belongs on."""
    share, split = request.param
    run = tmp_path_factory.mktemp("run")
    configuration = small(calibration_share=share)
    train_classifier(configuration, run, run)
    train_generator(configuration, run, run)
    return run, split, evaluate(run, run)


def test_the_threshold_is_set_on_images_that_nothing_was_trained_on_where_there_are_any(
    measured: tuple[Path, str, Evaluation],
) -> None:
    run, split, evaluation = measured
    reliability = evaluation.reliability
    assert reliability is not None
    assert f"of the {split} split" in reliability.method
    seen = "not trained on" if split == "calibration" else "trained on"
    images = reliability.promise.images
    assert reliability.promise.measured_on == f"{split} split, {images} true positives of patients {seen}"
    stored = json.loads((run / "evaluation.json").read_text())["reliability"]
    assert stored["method"] == reliability.method
    assert stored["promise"]["images"] == images


def test_a_run_with_lesion_masks_has_every_figure(measured: tuple[Path, str, Evaluation]) -> None:
    _, _, evaluation = measured
    figures = by_name(list(evaluation.metrics))
    assert figures.keys() >= {
        "applied_negative_called_negative",
        "reliable_share",
        "residual_average_precision",
        "residual_pointing",
        "chance_average_precision",
    }
    explained_images = figures["reliable_share"].images
    assert evaluation.reliability is not None
    whole = evaluation.reliability.curve[-1]
    assert whole.coverage == 1
    assert whole.images == explained_images
    assert whole.applied_negative_called_negative == pytest.approx(figures["applied_negative_called_negative"].value)
    assert whole.residual_average_precision == pytest.approx(figures["residual_average_precision"].value, abs=1e-6)
    assert figures["classifier_auc"].images > explained_images >= figures["reliable_share"].patients > 0


def test_a_classifier_that_finds_nothing_is_said(tmp_path: Path) -> None:
    configuration = small()
    classes = configuration.classes.model_copy(update={"decision_threshold": 1 - 1e-6})
    strict = configuration.model_copy(update={"classes": classes})
    train_classifier(strict, tmp_path, tmp_path)
    train_generator(strict, tmp_path, tmp_path)
    with pytest.raises(DataError, match="true positives"):
        evaluate(tmp_path, tmp_path)


# --- Who it is measured on ---


def test_a_cohort_counts_its_patients() -> None:
    cohort = Cohort("images", "test", ("a", "a", "b"))
    assert (len(cohort), cohort.known_patients, cohort.independent) == (3, 2, 2)
    assert str(cohort) == "test split, 3 images"
    assert cohort.select(torch.tensor([True, True, False]), "of these").patients == ("a", "a")


def test_an_image_of_an_unknown_patient_counts_by_itself_and_no_number_of_patients_is_stated() -> None:
    cohort = Cohort("images", "test", ("", "a", "", "a"))
    assert (cohort.independent, cohort.known_patients) == (3, 0)


# --- The applied negative ---


def test_the_applied_negative_is_the_one_that_the_server_shows() -> None:
    pictures = lively()
    served = [
        applied_negative(*(each[row, 0].numpy() for each in (pictures.x, made.reconstruction, made.negative)))
        for row, made in enumerate([pictures.realizations] * len(pictures.x))
    ]
    np.testing.assert_allclose(pictures.realizations.applied_negative(pictures.x)[:, 0], np.stack(served), atol=1e-6)


def test_the_share_of_applied_negatives_that_are_negative() -> None:
    figures = by_name(class_metrics(explained([0.1] * 4, applied=[0.1, 0.49, 0.5, 0.9], negative=[0.0, 0.9, 0.0, 0.0])))
    assert figures["applied_negative_called_negative"].value == 0.5
    assert figures["negative_called_negative"].value == 0.75


# --- Localisation ---


@pytest.mark.parametrize("side", [24, 64])
def test_maps_are_those_of_the_server_smoothed_as_in_the_report(side: int) -> None:
    pictures = lively(side=side)
    made = pictures.realizations
    maps = saliencies(pictures)
    for row in range(len(pictures.x)):
        x, reconstruction, negative = (
            each[row, 0].numpy() for each in (pictures.x, made.reconstruction, made.negative)
        )
        residual = saliency(residual_map(x, reconstruction, negative))
        np.testing.assert_allclose(maps["residual"][row, 0], residual, atol=1e-5)
        np.testing.assert_allclose(maps["difference"][row, 0], saliency(reconstruction - negative), atol=1e-5)


def test_localisation_is_measured_where_there_is_a_mask() -> None:
    pictures = lively()
    masks = torch.zeros(4, 1, 48, 48, dtype=torch.bool)
    masks[1, :, 10:20, 10:30] = masks[2, :, 40:, 40:] = True
    localisation = localise(pictures, masks)
    assert localisation is not None
    figures = by_name(localisation_metrics(localisation))
    assert figures["residual_average_precision"].images == 2
    expected = [
        average_precision_of_report(saliencies(pictures)["residual"][row, 0].double().numpy(), masks[row, 0].numpy())
        for row in (1, 2)
    ]
    assert figures["residual_average_precision"].value == pytest.approx(np.mean(expected), abs=1e-5)
    assert figures["chance_average_precision"].value == pytest.approx((200 + 64) / 2 / 48**2)
    assert localise(pictures, torch.zeros_like(masks)) is None


def test_pointing_shares_a_hit_among_equal_pixels() -> None:
    maps = torch.tensor([[[[0.0, 3.0], [1.0, 2.0]]], [[[1.0, 1.0], [1.0, 1.0]]]])
    masks = torch.tensor([[[[False, True], [False, False]]], [[[True, False], [False, False]]]])
    assert pointing(maps, masks).tolist() == [1, 0.25]


# --- The verdict and its promise ---


def test_the_promise_counts_among_reliable_explanations_alone() -> None:
    # The threshold is interpolated between the two worst errors: the last explanation is above it.
    some = explained([0.01, 0.02, 0.03, 0.04, 1.0], [0.1, 0.9, 0.1, 0.1, 0.9], [0, 0, 0, 0.7, 0], patients="aabbb")
    reliability = calibrate(some)
    assert 0.04 < reliability.maximum_reconstruction_mse < 1
    promise = reliability.promise
    assert promise.coverage == pytest.approx(3 / 5)
    assert promise.applied_negative_called_negative == pytest.approx(2 / 3)
    assert promise.lower_bound == pytest.approx(wilson_lower_bound(2 / 3, 2)), "two patients, not three images"
    assert (promise.images, promise.patients) == (5, 2)


def test_without_a_reliable_explanation_nothing_is_promised() -> None:
    some = explained([0.01, 0.02], [0.1, 0.1], negative=[0.9, 0.9])
    reliability = calibrate(some)
    assert reliability.promise.coverage == 0
    assert not reliability.promise.HasField("applied_negative_called_negative")
    assert not reliability.promise.HasField("lower_bound")
    assert [metric.name for metric in reliable_metrics(some, reliability)] == ["reliable_share"]


def test_unseen_patients_are_judged_by_the_calibration_s_threshold() -> None:
    reliability = calibrate(explained([0.01, 0.02], [0.1, 0.1]))
    figures = by_name(reliable_metrics(explained([0.01, 0.015, 0.5, 0.6], [0.1, 0.9, 0.1, 0.1]), reliability))
    assert figures["reliable_share"].value == 0.5
    assert figures["reliable_applied_negative_called_negative"].value == 0.5
    assert figures["reliable_applied_negative_called_negative"].images == 2


@pytest.mark.parametrize(
    ("share", "count", "expected"),
    # Newcombe, Statistics in Medicine 17 (1998), table I: method 3 for 81/263, 15/148, 0/20 and 1/29.
    [(81 / 263, 263, 0.2553), (15 / 148, 148, 0.0624), (0, 20, 0.0), (1 / 29, 29, 0.0061)],
)
def test_wilson_s_lower_bound(share: float, count: int, expected: float) -> None:
    assert wilson_lower_bound(share, count) == pytest.approx(expected, abs=5e-5)


def test_few_successes_promise_little() -> None:
    assert wilson_lower_bound(1, 1) < 0.25 < 0.9 < wilson_lower_bound(1, 100) < 1


# --- The curve ---


def test_the_curve_keeps_the_best_reconstructed() -> None:
    errors = [0.5, 0.1, 0.4, 0.2, 0.3]
    curve = coverage_curve(explained(errors, applied=[0.9, 0.1, 0.9, 0.1, 0.1], negative=[0, 0, 0.9, 0, 0]), None)
    assert [point.coverage for point in curve] == pytest.approx([0.1 * step for step in range(1, 11)])
    assert [point.images for point in curve] == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert [point.maximum_reconstruction_mse for point in curve[1::2]] == pytest.approx(sorted(errors), rel=1e-5)
    assert [point.applied_negative_called_negative for point in curve[1::2]] == pytest.approx([1, 1, 1, 0.75, 0.6])
    assert [point.negative_called_negative for point in curve[1::2]] == pytest.approx([1, 1, 1, 0.75, 0.8])
    assert not any(point.HasField("residual_average_precision") for point in curve)


def test_the_curve_localises_where_an_image_that_is_kept_has_a_mask() -> None:
    pictures = lively()
    error, masks = pictures.reconstruction_error, torch.zeros(4, 1, 48, 48, dtype=torch.bool)
    worst = int(error.argmax())
    masks[worst, :, :20] = True
    localisation = localise(pictures, masks)
    assert localisation is not None
    curve = coverage_curve(pictures, localisation)
    assert [point.HasField("residual_average_precision") for point in curve] == [False] * 7 + [True] * 3
    assert curve[-1].residual_average_precision == pytest.approx(single(localisation.average_precision["residual"]))
    assert curve[-1].residual_pointing == single(localisation.pointing["residual"])


def single(values: Tensor) -> float:
    return float(values.item())
