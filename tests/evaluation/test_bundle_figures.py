"""What a bundle states of itself: on explanations whose every figure can be worked out by hand."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from medxgan.evaluation.bundle_figures import classifier_aucs, curve_points, explanation_metrics, localise
from medxgan.evaluation.cohort import Cohort, Explained
from medxgan.evaluation.images import EvaluatedImage
from medxgan.evaluation.saliency import saliency
from medxgan.evaluation.statistics import wilson_lower_bound
from medxgan.evaluation.thresholds import POINTING, least_peak, measure_familiarity, set_reliability
from medxgan.server.explanation.explanation import Explanation, ImageCheck, Inverted, MapValues, OpenedImage
from medxgan.server.explanation.maps.residual import residual_map
from medxgan.server.explanation.scores import Score
from medxgan.server.explanation.settings import ExplanationSettings
from medxgan.server.images.film import Film, Placement
from medxgan.v1 import explanation_pb2
from medxgan.v1.bundle_pb2 import Bundle, Classification, Metric, Reliability

SIDE = 16
SETTINGS = ExplanationSettings((), "lesion", 0, None, 5, -1.0, 2, 1, -1.0, 0, False)
PLACEMENT = Placement(SIDE, SIDE, explanation_pb2.ORIENTATION_AS_STORED, (0, 0, SIDE, SIDE), None, 1.0, 0)


def draft() -> Bundle:
    """A bundle with the thresholds of a draft."""
    return Bundle(
        classification=Classification(decision_threshold=0.5),
        reliability=Reliability(maximum_reconstruction_mse=4, method="not set"),
    )


def score(probability: float) -> Score:
    return Score(probability, probability >= 0.5)


def image(name: str, patient: str, mask: np.ndarray | None = None) -> EvaluatedImage:
    return EvaluatedImage(name, patient or name, bool(patient), "", True, Film(np.zeros((2, 2), np.float32)), mask)


def explanation(
    x: np.ndarray, reconstruction: np.ndarray, negative: np.ndarray, negative_score: float, applied_score: float
) -> Explanation:
    opened = OpenedImage(x[None, None], PLACEMENT, score(1.0), (), None, ())
    inverted = Inverted(
        z=np.zeros((1, 2), np.float32),
        negative_z=np.zeros((1, 2), np.float32),
        reconstruction=reconstruction,
        negative_realization=negative,
        applied_negative=x - (reconstruction - negative),
        uncertainty=None,
        reconstruction_score=score(1.0),
        negative_realization_score=score(negative_score),
        applied_negative_score=score(applied_score),
        steps_taken=1,
        converged=True,
        reconstruction_mse=float(np.mean(np.square(reconstruction - x))),
        classification_loss=0.0,
        restart=0,
    )
    maps = {
        explanation_pb2.MAP_KIND_DIFFERENCE: reconstruction - negative,
        explanation_pb2.MAP_KIND_RESIDUAL: residual_map(x, reconstruction, negative),
        explanation_pb2.MAP_KIND_INTEGRATED_GRADIENTS: x - negative,
    }
    made = {kind: MapValues(values.astype(np.float32), None, 0.0) for kind, values in maps.items()}
    return Explanation(opened, SETTINGS, inverted, None, (), made, None, explanation_pb2.Verdict())


def explained(
    errors: Sequence[float],
    applied: Sequence[float],
    negative: Sequence[float] | None = None,
    patients: str | None = None,
) -> Explained:
    """Explanations of black images with these errors of the reconstruction and these scores.

    Args:
        errors: mean squared errors.
        applied: scores of the applied negatives; from 0.5 an image is positive.
        negative: scores of the negative realizations; all 0 if left out.
        patients: a letter for each image; all of different patients if left out.
    """
    whose = patients or "abcdefghijklmnopqrstuvwxyz"[: len(errors)]
    black = np.full((SIDE, SIDE), -1, np.float32)
    explanations = [
        explanation(black, black + np.float32(error**0.5), black, negative_score, applied_score)
        for error, applied_score, negative_score in zip(errors, applied, negative or [0.0] * len(errors), strict=True)
    ]
    images = [image(str(row), patient) for row, patient in enumerate(whose)]
    cohort = Cohort("calibration", "true positives", images, [each.opened for each in explanations])
    return Explained(cohort, explanations).judged_by(draft())


def lively(masks: Sequence[np.ndarray | None]) -> Explained:
    """Explanations of random pictures with these lesion masks."""
    random = np.random.default_rng(5)
    explanations = [explanation(*random.uniform(-1, 1, (3, SIDE, SIDE)).astype(np.float32), 0.0, 0.0) for _ in masks]
    images = [image(str(row), f"p{row}", mask) for row, mask in enumerate(masks)]
    return Explained(Cohort("test", "true positives", images, [each.opened for each in explanations]), explanations)


def by_name(metrics: Sequence[Metric]) -> dict[str, Metric]:
    return {metric.name: metric for metric in metrics}


def metrics_of(some: Explained) -> dict[str, Metric]:
    return by_name(explanation_metrics(some, localise(some)))


# --- Who it is measured on ---


def cohort(*patients: str) -> Cohort:
    images = [image(str(row), patient) for row, patient in enumerate(patients)]
    opened = explained([0.0], [0.0]).cohort.opened[0]
    return Cohort("test", "images", images, [opened] * len(images))


def test_a_cohort_counts_its_patients() -> None:
    found = cohort("a", "a", "b")
    assert (len(found), found.known_patients, found.independent) == (3, 2, 2)
    assert str(found) == "test split, 3 images"
    assert [each.patient for each in found.select([True, True, False], "of these").images] == ["a", "a"]


def test_an_image_of_an_unknown_patient_counts_by_itself_and_no_number_of_patients_is_stated() -> None:
    found = cohort("", "a", "", "a")
    assert (found.independent, found.known_patients) == (3, 0)


# --- Metrics ---


def test_an_auc_is_left_out_where_a_class_is_missing() -> None:
    some = cohort("a", "b")
    assert not some.has_both_classes
    assert classifier_aucs(some) == []
    both = Cohort("test", "images", [some.images[0], replace(some.images[1], positive=False)], some.opened)
    assert [(metric.name, metric.value) for metric in classifier_aucs(both)] == [("classifier_auc", 0.5)]


def test_the_share_of_applied_negatives_that_are_negative() -> None:
    figures = metrics_of(explained([0.1] * 4, applied=[0.1, 0.49, 0.5, 0.9], negative=[0.0, 0.9, 0.0, 0.0]))
    assert figures["applied_negative_called_negative"].value == 0.5
    assert figures["negative_called_negative"].value == 0.75
    assert figures["reconstruction_called_positive"].value == 1
    assert figures["reconstruction_mse"].value == pytest.approx(0.1, rel=1e-5)
    assert figures["mean_absolute_difference"].value == pytest.approx(0.1**0.5, rel=1e-5)
    assert figures["reliable_share"].value == 0.25


def test_differences_in_one_place_are_told_from_differences_all_over() -> None:
    some = lively([None] * 6)
    same = Explained(some.cohort, [some.explanations[0]] * 6)
    assert metrics_of(same)["place_of_difference"].value == pytest.approx(1, abs=1e-5)
    assert metrics_of(same)["place_of_focus"].value == pytest.approx(1, abs=1e-5)
    assert metrics_of(some)["place_of_difference"].value < 0.3


def test_localisation_is_measured_where_there_is_a_mask() -> None:
    one, other = np.zeros((2, SIDE, SIDE), np.bool_)
    one[2:6, 2:6] = other[12:, 12:] = True
    other[0, 0] = True
    some = lively([None, one, other, None])
    figures = metrics_of(some)
    assert figures["residual_average_precision"].images == 2
    assert figures["chance_average_precision"].value == pytest.approx((16 + 17) / 2 / SIDE**2)
    strongest = [saliency(each.inverted.difference) for each in some.explanations[1:3] if each.inverted is not None]
    hits = [mask.ravel()[values.argmax()] for mask, values in zip((one, other), strongest, strict=True)]
    assert figures["difference_pointing"].value == np.mean(hits)
    assert "chance_average_precision" not in metrics_of(lively([None, None]))


# --- The verdict and its promise ---


def test_the_promise_counts_among_reliable_explanations_alone() -> None:
    # The threshold is interpolated between the two worst errors: the last explanation is above it.
    some = explained([0.01, 0.02, 0.03, 0.04, 1.0], [0.1, 0.9, 0.1, 0.1, 0.9], [0, 0, 0, 0.7, 0], patients="aabbb")
    description = draft()
    judged = set_reliability(description, some)
    assert judged.reliable.tolist() == [True, False, True, False, False]
    reliability = description.reliability
    assert 0.04 < reliability.maximum_reconstruction_mse < 1
    assert reliability.method == "95% quantile over 5 true positives of the calibration split"
    promise = reliability.promise
    assert promise.coverage == pytest.approx(2 / 5)
    assert promise.applied_negative_called_negative == 1, "the verdict checks it"
    assert promise.lower_bound == pytest.approx(wilson_lower_bound(1, 2)), "two patients"
    assert not promise.HasField("difference_pointing"), "no lesion is marked"
    assert not reliability.HasField("minimum_difference_peak")
    assert (promise.images, promise.patients) == (5, 2)


def test_without_a_reliable_explanation_nothing_is_promised() -> None:
    description = draft()
    judged = set_reliability(description, explained([0.01, 0.02], [0.1, 0.1], negative=[0.9, 0.9]))
    promise = description.reliability.promise
    assert promise.coverage == 0
    assert not promise.HasField("applied_negative_called_negative")
    assert not promise.HasField("lower_bound")
    assert "reliable_applied_negative_called_negative" not in metrics_of(judged)


def test_unseen_patients_are_judged_by_the_calibration_s_threshold() -> None:
    description = draft()
    set_reliability(description, explained([0.01, 0.02], [0.1, 0.1]))
    unseen = explained([0.01, 0.015, 0.5, 0.6], [0.1, 0.9, 0.1, 0.1]).judged_by(description)
    figures = metrics_of(unseen)
    assert figures["reliable_share"].value == 0.25
    assert figures["reliable_applied_negative_called_negative"].value == 1
    assert figures["reliable_applied_negative_called_negative"].images == 1


def pointed(peaks: Sequence[float], hits: Sequence[bool]) -> Explained:
    """Explanations whose difference is one patch of this strength, on the marked lesion or beside it."""
    x = np.full((SIDE, SIDE), -1, np.float32)
    lesion = np.zeros((SIDE, SIDE), bool)
    lesion[:8, :8] = True
    explanations = []
    for peak, hit in zip(peaks, hits, strict=True):
        difference = np.zeros((SIDE, SIDE), np.float32)
        difference[(slice(1, 7), slice(1, 7)) if hit else (slice(9, 15), slice(9, 15))] = peak
        explanations.append(explanation(x, x + difference, x, 0.0, 0.0))
    images = [image(str(row), f"p{row}", lesion) for row in range(len(peaks))]
    cohort = Cohort("calibration", "true positives", images, [each.opened for each in explanations])
    return Explained(cohort, explanations).judged_by(draft())


def test_a_weak_difference_is_given_up_where_that_makes_the_rest_point_at_the_lesion() -> None:
    some = pointed([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3], [True] * 5 + [False] * 2)
    assert least_peak(some) == pytest.approx(0.5), "two of seven may be given up"
    description = draft()
    description.reliability.maximum_reconstruction_mse = 4
    judged = set_reliability(description, some)
    # The worst reconstruction, here the strongest patch, is not reliable for its error.
    assert judged.reliable.tolist() == [False, True, True, True, True, False, False]
    assert description.reliability.promise.difference_pointing == 1
    bound = description.reliability.promise.difference_pointing_lower_bound
    assert bound == pytest.approx(wilson_lower_bound(1, 4, chosen_among=3)), "of six, 4, 5 or 6 may be kept"
    assert bound < wilson_lower_bound(1, 4)
    assert metrics_of(judged)["reliable_difference_pointing"].value == 1


def test_as_many_point_at_the_lesion_as_wanted_even_if_the_next_one_does_not() -> None:
    peaks = [1.0 - number / 20 for number in range(14)]
    some = pointed(peaks, [True] * 12 + [False] * 2)
    assert 12 / 14 > POINTING > 12 / 15
    assert least_peak(some) == pytest.approx(peaks[12]), "of thirteen, and one more beside it, twelve are 0.857"


def test_no_more_is_given_up_than_may_be() -> None:
    assert least_peak(pointed([0.9, 0.8, 0.7], [True, False, False])) == pytest.approx(0.8)
    assert least_peak(pointed([0.9, 0.8, 0.7], [True, True, True])) == pytest.approx(0.7)
    assert least_peak(explained([0.1], [0.1])) is None, "no lesion is marked"


# --- Familiarity ---


def checked(values: Sequence[Sequence[float]]) -> Cohort:
    """Images of which these K measures were taken, none of which may exceed 1: [N, K]."""
    opened = [
        OpenedImage(
            np.zeros((1, 1, SIDE, SIDE), np.float32),
            PLACEMENT,
            score(1.0),
            tuple(ImageCheck(f"m{column}", value, 1.0) for column, value in enumerate(row)),
            None,
            (),
        )
        for row in values
    ]
    return Cohort("test", "images", [image(str(row), f"p{row}") for row in range(len(opened))], opened)


def test_real_images_that_are_called_unfamiliar_are_counted() -> None:
    description = draft()
    description.familiarity.method = "fitted"
    measure_familiarity(description, checked([[0.5, 1.0], [0.5, 1.1], [np.nan, 0.0], [7.0, 7.0], [0.0, 0.0]]))
    assert description.familiarity.false_alarm_rate == pytest.approx(3 / 5)
    assert description.familiarity.measured_on == "test split, 5 images"
    assert description.familiarity.method == "fitted"


# --- The curve ---


def test_the_curve_keeps_the_best_reconstructed() -> None:
    errors = [0.5, 0.1, 0.4, 0.2, 0.3]
    some = explained(errors, applied=[0.9, 0.1, 0.9, 0.1, 0.1], negative=[0, 0, 0.9, 0, 0])
    curve = curve_points(some, localise(some), 4.0)
    assert [point.coverage for point in curve] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1])
    assert [point.images for point in curve] == [1, 2, 3, 4, 5]
    assert [point.maximum_reconstruction_mse for point in curve] == pytest.approx(sorted(errors), rel=1e-5)
    assert [point.applied_negative_called_negative for point in curve] == pytest.approx([1, 1, 1, 0.75, 0.6])
    assert [point.negative_called_negative for point in curve] == pytest.approx([1, 1, 1, 0.75, 0.8])
    assert not any(point.HasField("residual_average_precision") for point in curve)


def test_the_curve_localises_where_an_image_that_is_kept_has_a_mask() -> None:
    mask = np.zeros((SIDE, SIDE), np.bool_)
    mask[:4] = True
    some = lively([None] * 4)
    worst = int(some.figures["reconstruction_mse"].argmax())
    some = lively([mask if row == worst else None for row in range(4)])
    localised = localise(some)
    curve = curve_points(some, localised, 4.0)
    assert [point.HasField("residual_average_precision") for point in curve] == [False, False, False, True]
    assert curve[-1].residual_average_precision == pytest.approx(localised["residual"][worst]["average_precision"])
    assert curve[-1].residual_pointing == localised["residual"][worst]["pointing_game"]
