"""What a reader is told, from figures that are made up here; a figure that is missing is not spoken of."""

from collections.abc import Mapping
from pathlib import Path

import protovalidate
import pytest
from google.protobuf import json_format

from medxgan.export.model_card import model_card
from medxgan.export.model_card.figures import Figures
from medxgan.export.model_card.markdown import of_hundred
from medxgan.export.model_card.verdict import verdict
from medxgan.v1.bundle_pb2 import (
    Bundle,
    Classification,
    CoveragePoint,
    Metric,
    Reliability,
    ReliabilityPromise,
)

SHIPPED = sorted((Path(__file__).parents[2] / "models").glob("*/*/bundle.json"))

MEASURED = {
    "classifier_auc": 0.943,
    "reliable_share": 0.94,
    "applied_negative_called_negative": 0.814,
    "reliable_difference_pointing": 0.85,
    "residual_average_precision": 0.62,
    "difference_average_precision": 0.38,
    "intensity_average_precision": 0.223,
    "chance_average_precision": 0.0335,
    "residual_pointing": 0.71,
    "difference_pointing": 0.5,
    "intensity_pointing": 0.29,
}

PROMISE = ReliabilityPromise(
    measured_on="calibration split, 200 true positives of patients not trained on",
    images=200,
    patients=150,
    coverage=0.955,
    applied_negative_called_negative=1,
    lower_bound=0.97,
    difference_pointing=0.87,
    difference_pointing_lower_bound=0.8123,
)


def card(
    figures: Mapping[str, float],
    *,
    images: int = 57,
    patients: int = 40,
    promise: ReliabilityPromise | None = None,
    curve: list[CoveragePoint] | None = None,
    limitations: list[str] | None = None,
    generator: bool = True,
) -> str:
    """The card of a bundle of which nothing is known but this."""
    bundle = Bundle(name="made-up", version="3")
    bundle.image.modality = "frontal chest radiograph"
    bundle.image.aspect = 1
    bundle.classification.positive_class = "pneumonia"
    bundle.classification.negative_class = "no finding"
    bundle.classification.decision_threshold = 0.5
    bundle.provenance.limitations.extend(limitations or [])
    if generator:
        bundle.latent.z1_size = 2
        bundle.inversion.default_steps = 100
        bundle.reliability.CopyFrom(
            Reliability(maximum_reconstruction_mse=0.02, method="by hand", promise=promise, curve=curve)
        )
    for name, value in figures.items():
        where = f"test split, {images} images"
        bundle.metrics.append(Metric(name=name, value=value, measured_on=where, images=images, patients=patients))
    return model_card(bundle)


def box(text: str) -> str:
    """The lines of the box "In short"."""
    return "\n".join(line for line in text.splitlines() if line.startswith(">"))


# --- In short ---


def test_the_box_says_what_was_found_in_plain_sentences() -> None:
    text = box(card(MEASURED))
    for sentence in (
        "The classifier was measured on: test split, 57 images (of 40 patients).",
        "Of 100 pairs of a positive image (pneumonia) and a negative one (no finding), the classifier scores the "
        "positive one higher in 94; guessing would in 50.",
        "Of 100 images that the classifier rightly called positive, 94 got an explanation that the server calls "
        "reliable.",
        "Of 100 images that the classifier rightly called positive, 81 were called negative once the change shown by "
        "the explanation was taken away from them.",
        "Of 100 explanations that the server calls reliable, 85 have the strongest change on the marked lesion.",
        "Of 100 images with a marked lesion, the residual map is strongest on the lesion in 71; a random point lies on "
        "it in 3, the brightest point of the image in 29.",
        "Of 100 pixels that the residual map points out, 62 lie on the lesion, averaged over cut-offs from a little of "
        "the lesion to all of it; of a random map 3, of plain brightness 22.",
    ):
        assert sentence in text


def test_the_box_comes_first() -> None:
    text = card(MEASURED)
    assert text.index("> **In short**") < text.index("\n## ")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("classifier_auc", "guessing would"),
        ("reliable_share", "calls reliable."),
        ("applied_negative_called_negative", "taken away"),
        ("reliable_difference_pointing", "strongest change on the"),
        ("chance_average_precision", "with a marked lesion"),
        ("intensity_pointing", "random point"),
        ("intensity_average_precision", "random map"),
    ],
)
def test_without_a_figure_there_is_no_sentence(name: str, sentence: str) -> None:
    assert sentence in box(card(MEASURED))
    assert sentence not in box(card({key: value for key, value in MEASURED.items() if key != name}))


def test_a_poor_figure_is_said_to_be_poor() -> None:
    text = box(card(MEASURED | {"reliable_share": 0.276, "applied_negative_called_negative": 0.1}))
    assert "only 28 got an explanation" in text
    assert "only 10 were called negative" in text


@pytest.mark.parametrize(
    ("residual", "said"),
    [
        (0.03, "no better than a random one"),
        (0.2, "no better than plain brightness"),
        (0.62, None),
    ],
)
def test_a_map_that_a_simpler_one_equals_is_said_to_be_no_better(residual: float, said: str | None) -> None:
    text = box(card(MEASURED | {"residual_average_precision": residual}))
    assert ("no better" in text) == (said is not None)
    assert said is None or said in text


def test_the_difference_map_is_spoken_of_where_the_residual_map_was_not_measured() -> None:
    older = {key: value for key, value in MEASURED.items() if not key.startswith("residual")}
    assert "Of 100 pixels that the difference map points out, only 38 lie on the lesion" in box(card(older))


def test_an_unknown_number_of_patients_is_said() -> None:
    assert "57 images (of an unknown number of patients)" in box(card(MEASURED, patients=0))
    assert "patients)" not in box(card(MEASURED, images=0, patients=0))


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (0, "0"),
        (0.001, "fewer than 1"),
        (0.28, "28"),
        (0.996, "more than 99"),
        (1, "100"),
    ],
)
def test_rounding_makes_neither_none_nor_all(share: float, words: str) -> None:
    assert of_hundred(share) == words


# --- The verdict ---


def test_the_card_says_what_is_promised_and_that_it_was_kept() -> None:
    text = card(MEASURED, promise=PROMISE)
    row = f"| Set on: {PROMISE.measured_on} | 95.5 % | 87 % | 81.2 % |"
    assert row in text
    assert "| Unseen: test split, 57 images | 94 % | 85 % |  |" in text
    assert "Unseen patients **kept the promise**: 85 %, at least 81.2 % promised." in text


def test_a_promise_that_was_not_kept_is_called_so() -> None:
    text = card(MEASURED | {"reliable_difference_pointing": 0.7}, promise=PROMISE)
    assert "Unseen patients **did not keep the promise**: 70 %, at least 81.2 % promised." in text
    assert "**kept the promise**" not in text


def test_where_nothing_was_reliable_nothing_is_promised_or_judged() -> None:
    text = card(MEASURED, promise=ReliabilityPromise(measured_on="calibration split", images=2, coverage=0))
    assert "so nothing is promised" in text
    assert "kept the promise" not in text
    unseen = {key: value for key, value in MEASURED.items() if key != "reliable_difference_pointing"}
    assert "has not been measured" in card(unseen, promise=PROMISE)


def test_without_marked_lesions_no_place_is_promised() -> None:
    promise = ReliabilityPromise(measured_on="calibration split", images=2, coverage=1)
    promise.applied_negative_called_negative, promise.lower_bound = 1, 0.5
    assert "**nothing is promised of the place**" in card(MEASURED, promise=promise)
    assert "kept the promise" not in card(MEASURED, promise=promise)


def test_the_check_of_the_peak_is_named_where_the_bundle_has_one() -> None:
    bundle = Reliability(maximum_reconstruction_mse=0.01, method="by hand")
    classes = Classification(decision_threshold=0.5)
    assert "nowhere as great" not in verdict(bundle, classes, Figures(()))
    bundle.minimum_difference_peak = 0.75
    assert "nowhere as great as 0.75" in verdict(bundle, classes, Figures(()))


def test_the_curve_is_a_table_with_a_column_for_all_that_was_measured() -> None:
    first = CoveragePoint(
        coverage=0.1,
        images=6,
        maximum_reconstruction_mse=0.003,
        negative_called_negative=1,
        applied_negative_called_negative=0.9,
    )
    assert "| 10 % | 6 | 0.003 | 100 % | 90 % |\n" in card(MEASURED, curve=[first])
    second = CoveragePoint()
    second.CopyFrom(first)
    second.coverage, second.images = 1, 57
    second.residual_average_precision, second.residual_pointing = 0.4, 0.5
    text = card(MEASURED, curve=[first, second])
    assert "| 10 % | 6 | 0.003 | 100 % | 90 % | not measured | not measured |\n" in text
    assert "| 100 % | 57 | 0.003 | 100 % | 90 % | 0.4 | 50 % |\n" in text


# --- Shortcuts ---


def test_a_gap_between_all_and_within_a_source_is_explained() -> None:
    text = card({"classifier_auc": 0.9, "classifier_auc_within_nih": 0.7, "classifier_auc_within_own": 0.95})
    assert "| nih | 0.7 | -0.200 | test split, 57 images (of 40 patients) |" in text
    assert "| own | 0.95 | +0.050 |" in text
    assert "Within nih the figure is lower than over all" in text


def test_no_gap_is_no_sign_of_a_shortcut() -> None:
    assert "Within no source" in card({"classifier_auc": 0.9, "classifier_auc_within_nih": 0.9})
    assert "telling the sources apart" not in card({"classifier_auc": 0.9})


def test_known_limits_are_listed() -> None:
    text = card(MEASURED, limitations=["All positives come from one hospital."])
    assert "## Known shortcuts and limitations\n\n- All positives come from one hospital." in text
    assert "None are stated." in card(MEASURED)


# --- The tables, and bundles of other kinds ---


def test_figures_have_readable_names_beside_their_own_and_the_command_that_makes_them() -> None:
    text = card(MEASURED | {"something_new": 1})
    assert "| Explanations called reliable (`reliable_share`) | 0.94 |" in text
    assert "| Something new (`something_new`) | 1 |" in text
    assert "`medxgan evaluate RUN --data ROOT --report DIR`" in text
    assert "Nothing has been measured." in card({})


def test_a_bundle_without_generator_says_nothing_of_explanations() -> None:
    text = card({"classifier_auc": 0.943}, generator=False)
    assert "This bundle holds no generator" in text
    assert "scores the positive one higher in 94" in text
    assert "reliable" not in text


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.parents[1].name)
def test_bundles_from_before_the_promise_have_a_card(file: Path) -> None:
    description = json_format.Parse(file.read_text(encoding="utf-8"), Bundle())
    protovalidate.validate(description)
    assert model_card(description).startswith(f"# {description.name}, version {description.version}\n")


# --- The rules of the fields ---


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"lower_bound": 0.9, "applied_negative_called_negative": 0.8}, "does not exceed it"),
        ({"difference_pointing_lower_bound": 0.9}, "does not exceed it"),
        ({"difference_pointing": None}, "stated together"),
        ({"lower_bound": None}, "stated together"),
        ({"coverage": 1.5}, "coverage"),
        ({"images": 0}, "images"),
        ({"measured_on": ""}, "measured_on"),
    ],
)
def test_a_promise_that_contradicts_itself_is_refused(change: dict[str, object], complaint: str) -> None:
    promise = ReliabilityPromise()
    promise.CopyFrom(PROMISE)
    protovalidate.validate(promise)
    for name, value in change.items():
        if value is None:
            promise.ClearField(name)
        else:
            setattr(promise, name, value)
    with pytest.raises(protovalidate.ValidationError, match=complaint):
        protovalidate.validate(promise)
