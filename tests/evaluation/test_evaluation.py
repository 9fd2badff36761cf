"""A whole evaluation of a tiny bundle: the same however often it is interrupted, and honest about what it compares."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medxgan.evaluation.errors import ImagesError, MethodError, RecordsError
from medxgan.evaluation.evaluation import RECORDS_FILE, Outcome
from medxgan.evaluation.metrics.deletion_insertion import SHARES
from medxgan.evaluation.report.markdown import markdown
from medxgan.evaluation.report.writing import write_report
from medxgan.evaluation.saliency import BASELINES
from medxgan.evaluation.summary import summarise
from medxgan.server.images.film import Film
from medxgan.training.data.source import PhantomData
from medxgan.v1 import bundle_pb2

from .conftest import SMALL, Evaluate


class InterruptionError(Exception):
    """Stands for whatever ends a process."""


def without_times(report: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in report.items() if key not in {"cost", "command"}}


@pytest.fixture(scope="module")
def report(outcome: Outcome) -> dict[str, Any]:
    return summarise(outcome, "medxgan evaluate tiny/1")


def test_patients_that_are_not_known_are_not_counted(outcome: Outcome, report: dict[str, Any]) -> None:
    assert report["images"]["patients"] == len(outcome.images)
    someone = [replace(each, patient_known=row > 0) for row, each in enumerate(outcome.images)]
    unknown = summarise(replace(outcome, images=someone), "medxgan evaluate tiny/1")
    assert unknown["images"]["patients"] is None
    assert "images of an unknown number of patients" in markdown(unknown, [])


def stop_after(count: int) -> Any:
    def stop(done: int, total: int) -> None:
        if done == count:
            raise InterruptionError

    return stop


@pytest.mark.parametrize("torn", [0, 30])
def test_an_interrupted_evaluation_gives_the_same_report(
    evaluate: Evaluate, report: dict[str, Any], tmp_path: Path, torn: int
) -> None:
    with pytest.raises(InterruptionError):
        evaluate(tmp_path, on_progress=stop_after(2))
    path = tmp_path / RECORDS_FILE
    if torn:
        path.write_bytes(path.read_bytes()[:-torn])
    kept = path.read_bytes()
    resumed = summarise(evaluate(tmp_path), "again")
    assert without_times(resumed) == without_times(report)
    if not torn:
        assert path.read_bytes().startswith(kept)


def test_a_finished_evaluation_is_not_made_again(evaluate: Evaluate, tmp_path: Path) -> None:
    first = evaluate(tmp_path, images=2, sanity_images=0)
    before = (tmp_path / RECORDS_FILE).read_bytes()
    second = evaluate(tmp_path, images=2, sanity_images=0)
    assert (tmp_path / RECORDS_FILE).read_bytes() == before
    assert first.records == second.records


def test_more_images_go_on_with_the_fewer(evaluate: Evaluate, tmp_path: Path) -> None:
    few = evaluate(tmp_path, images=1, sanity_images=0)
    more = evaluate(tmp_path, images=3, sanity_images=0)
    assert more.explained[:1] == few.explained
    assert more.records[0] == few.records[0]
    assert len(more.records) == 3


def test_other_settings_are_refused_unless_fresh(evaluate: Evaluate, tmp_path: Path) -> None:
    evaluate(tmp_path, images=1, sanity_images=0)
    with pytest.raises(RecordsError, match="seed was 0 and is 1") as caught:
        evaluate(tmp_path, images=1, sanity_images=0, seed=1)
    assert "bundle" not in str(caught.value).replace("--", "")
    with pytest.raises(RecordsError, match="methods was"):
        evaluate(tmp_path, images=1, sanity_images=0, methods=("gradient",))
    again = evaluate(tmp_path, images=1, sanity_images=0, seed=1, fresh=True)
    assert again.header["seed"] == 1


def test_every_method_and_baseline_has_its_figures(report: dict[str, Any]) -> None:
    localisation_and_faithfulness = {"average_precision", "pointing_game", "iou", "deletion_auc", "insertion_auc"}
    assert list(report["methods"]) == ["difference", "gradient", "grad_cam"]
    assert list(report["baselines"]) == list(BASELINES)
    for own in (*report["methods"].values(), *report["baselines"].values()):
        assert own["all"].keys() >= localisation_and_faithfulness
        for estimate in own["all"].values():
            assert estimate["images"] >= 1
    for own in report["methods"].values():
        assert own["all"].keys() >= {"robustness_0.02", "robustness_0.05", "sanity"}
    assert report["explanations"]["all"].keys() >= {
        "reconstruction_ssim",
        "label_flips",
        "applied_label_flips",
        "changed_share",
        "reliable",
    }


def test_the_figures_are_those_of_the_explained_images(report: dict[str, Any], outcome: Outcome) -> None:
    images = {image.id: image for image in outcome.images}
    threshold = report["model"]["decision_threshold"]
    scores = dict(zip(images, outcome.scores, strict=True))
    for own in outcome.records:
        assert images[own[0]["image"]].positive
        assert own[0]["score"] == pytest.approx(scores[own[0]["image"]], abs=1e-6)
        assert own[0]["score"] >= threshold
    of_gradient = [record for own in outcome.records for record in own if record.get("method") == "gradient"]
    wanted = np.mean([record["figures"]["deletion_auc"] for record in of_gradient])
    assert report["methods"]["gradient"]["all"]["deletion_auc"]["value"] == pytest.approx(wanted)
    curve = np.asarray(report["curves"]["deletion"]["gradient"])
    assert np.trapezoid(curve, dx=1 / SHARES) == pytest.approx(wanted)
    assert curve[0] == pytest.approx(np.mean([own[0]["score"] for own in outcome.records]), abs=1e-5)


def test_reliable_images_are_counted_alone(report: dict[str, Any], outcome: Outcome) -> None:
    reliable = [own for own in outcome.records if own[0]["verdict"] == "VERDICT_STATUS_RELIABLE"]
    assert sum(report["verdicts"].values()) == len(outcome.records)
    assert report["explanations"]["all"]["reliable"]["value"] == pytest.approx(len(reliable) / len(outcome.records))
    own = report["methods"]["gradient"]["reliable"]
    assert own.get("deletion_auc", {"images": 0})["images"] == len(reliable)


def test_the_verdicts_threshold_is_on_the_error_that_the_coverage_curve_sorts_by(
    report: dict[str, Any], outcome: Outcome
) -> None:
    maximum = outcome.bundle.description.reliability.maximum_reconstruction_mse
    for own in outcome.records:
        figures = own[0]["figures"]
        passed = (
            figures["reconstruction_mse"] <= maximum and figures["label_flips"] and not figures["classifier_disagrees"]
        )
        assert figures["reliable"] == bool(passed)
    errors = sorted(own[0]["figures"]["reconstruction_mse"] for own in outcome.records)
    assert [point["largest_mse"] for point in report["coverage"]["points"]] == errors
    last = report["coverage"]["points"][-1]
    for figure in ("label_flips", "applied_label_flips"):
        assert last[figure] == report["explanations"]["all"][figure]
    assert last["maps"]["difference"]["average_precision"]["value"] == pytest.approx(
        report["methods"]["difference"]["all"]["average_precision"]["value"]
    )


def test_shortcuts_are_measured_where_they_are_asked_for(
    evaluate: Evaluate, report: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def left_half(film: Film, specification: bundle_pb2.ImageSpecification) -> dict[str, np.ndarray]:
        half = np.zeros((specification.height, specification.height), np.bool_)
        half[:, : specification.height // 2] = True
        return {"frame": half}

    monkeypatch.setattr("medxgan.evaluation.measurement.shortcut_regions", left_half)
    asked = evaluate(tmp_path, images=2, sanity_images=0, shortcuts="chest-film")
    written = write_report(asked, tmp_path, "medxgan evaluate")
    for own in (*written["methods"].values(), *written["baselines"].values()):
        assert "mass_frame" in own["all"]
        assert not {"mass_marks", "mass_outside_lungs"} & own["all"].keys()
    # The halves of a map that knows nothing have half of its mass each.
    assert written["baselines"]["centre"]["all"]["mass_frame"]["value"] == pytest.approx(1)
    assert written["explanations"]["all"]["lung_fields_found"]["value"] == 0
    assert "mass_frame" not in written["ranking"]["gradient"]
    section = (tmp_path / "report.md").read_text().split("## Shortcuts")[1].split("\n## ")[0]
    assert "not drawn by a radiologist" in section
    assert "Of 2 films, 0 have two plausible lung fields" in section
    assert "**" not in section
    assert "mass_frame" not in report["methods"]["gradient"]["all"]


def test_the_ranking_holds_every_method_best_first(report: dict[str, Any]) -> None:
    means = [own["mean"] for own in report["ranking"].values()]
    assert report["ranking"].keys() == report["methods"].keys()
    assert means == sorted(means)
    by_deletion = sorted(report["methods"], key=lambda name: report["methods"][name]["all"]["deletion_auc"]["value"])
    assert sorted(report["methods"], key=lambda name: report["ranking"][name]["deletion_auc"]) == by_deletion


def test_methods_are_compared_with_the_best_baseline(report: dict[str, Any]) -> None:
    values = {name: own["all"]["insertion_auc"]["value"] for name, own in report["baselines"].items()}
    best = max(values, key=lambda name: values[name])
    for name, own in report["against_baselines"].items():
        assert own["insertion_auc"]["baseline"] == best
        gain = report["methods"][name]["all"]["insertion_auc"]["value"] - values[best]
        assert own["insertion_auc"]["value"] == pytest.approx(gain)


def test_the_sanity_check_reaches_all_layers(report: dict[str, Any]) -> None:
    sanity = report["sanity"]
    assert [stage["layers_random"] for stage in sanity["stages"]] == [1, 2, 3, 4, 5]
    assert (sanity["layers"], sanity["images"]) == (5, SMALL.sanity_images)
    for name, curve in sanity["similarity"].items():
        assert curve[-1] == report["methods"][name]["all"]["sanity"]["value"]
    assert sanity["similarity"]["gradient"][-1] < 0.9


def test_the_report_is_written(outcome: Outcome, tmp_path: Path) -> None:
    written = write_report(outcome, tmp_path, "medxgan evaluate tiny/1")
    assert json.loads((tmp_path / "report.json").read_text()) == written
    text = (tmp_path / "report.md").read_text()
    for picture in ("localisation", "curves", "sanity", "coverage", "cost", "contact-sheet"):
        assert (tmp_path / f"{picture}.png").stat().st_size > 1000
        assert f"({picture}.png)" in text
    assert outcome.bundle.sha256 in text
    assert "medxgan evaluate tiny/1" in text
    faithfulness = text.split("## Faithfulness")[1].split("\n\n")[2].splitlines()
    best = min(written["methods"], key=lambda name: written["methods"][name]["all"]["deletion_auc"]["value"])
    bold = [row for row in faithfulness if row.split("|")[2].strip().startswith("**")]
    assert [row.split("|")[1].strip() for row in bold] == [best.replace("_", " ")]
    for definition in ("Petsiuk", "at least 25%", "whole patients"):
        assert definition in text
    assert len({row.count("|") for row in faithfulness}) == 1


def test_without_masks_generator_or_sanity_the_report_says_less(
    evaluate: Evaluate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("medxgan.evaluation.images._masks", lambda images, _: [None] * len(images))
    bare = evaluate(tmp_path, methods=("gradient",), images=2, sanity_images=0, sheet_images=0)
    written = write_report(bare, tmp_path, "medxgan evaluate")
    text = (tmp_path / "report.md").read_text()
    assert written["sanity"] is None
    assert written["verdicts"] == {}
    assert not {"average_precision", "sanity"} & written["methods"]["gradient"]["all"].keys()
    assert not (tmp_path / "localisation.png").exists()
    assert not (tmp_path / "contact-sheet.png").exists()
    for absent in ("## Localisation", "## Sanity", "## Shortcuts", "## Coverage", "RELIABLE", "## Maps"):
        assert absent not in text


def test_a_bundle_without_generator_is_compared_and_checked(
    evaluate: Evaluate, bundle_without_generator: Path, tmp_path: Path
) -> None:
    alone = evaluate(tmp_path, bundle=bundle_without_generator, methods=(), images=1, sanity_images=1)
    written = write_report(alone, tmp_path, "medxgan evaluate")
    assert len(written["methods"]) == 6
    assert written["sanity"]["similarity"].keys() == written["methods"].keys()
    assert set(written["explanations"]) == {"all"}


def test_an_unknown_method_is_named(evaluate: Evaluate, tmp_path: Path) -> None:
    with pytest.raises(MethodError, match="'lime' is unknown; there are difference"):
        evaluate(tmp_path, methods=("lime",))


def test_data_without_a_true_positive_are_refused(
    evaluate: Evaluate, phantom_data: PhantomData, tmp_path: Path
) -> None:
    negative = phantom_data.model_copy(update={"positive_share": 0.0})
    with pytest.raises(ImagesError, match="no true positive"):
        evaluate(tmp_path, data=negative)
