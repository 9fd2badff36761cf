"""A run from its measurement to its bundle, and a draft that is sealed."""

import json
import shutil
from pathlib import Path

import pytest

from medxgan.bundle import BundleError, load_bundle
from medxgan.evaluation.errors import ImagesError, SubjectError
from medxgan.evaluation.runs import evaluate_run, seal_bundle
from medxgan.export.errors import DestinationError
from medxgan.export.sealing import draft_folder, export_measured_run
from medxgan.training.data.source import PhantomData
from medxgan.training.model import TrainedModel
from medxgan.training.runs import RunError


@pytest.fixture
def draft(phantom_bundle: Path, tmp_path: Path) -> Path:
    """The phantom bundle as a draft."""
    folder = tmp_path / "models" / "tiny" / "1"
    shutil.copytree(phantom_bundle, folder)
    content = json.loads((folder / "bundle.json").read_text())
    del content["metrics"]
    content["reliability"] = {"maximum_reconstruction_mse": 4, "method": "not set"}
    (folder / "bundle.json").write_text(json.dumps(content))
    return folder


def test_a_run_with_lesion_masks_has_every_figure(small_run: Path) -> None:
    description = load_bundle(draft_folder(small_run)).description
    figures = {metric.name: metric for metric in description.metrics}
    assert figures.keys() >= {
        "classifier_auc",
        "disentanglement",
        "applied_negative_called_negative",
        "reliable_share",
        "place_of_focus",
        "residual_average_precision",
        "residual_pointing",
        "chance_average_precision",
    }
    explained = figures["reliable_share"].images
    assert figures["classifier_auc"].images > explained >= figures["reliable_share"].patients > 0
    reliability = description.reliability
    assert "of the calibration split" in reliability.method
    assert reliability.promise.measured_on.endswith("true positives of patients not trained on")
    whole = reliability.curve[-1]
    assert (whole.coverage, whole.images) == (1, explained)
    assert whole.applied_negative_called_negative == figures["applied_negative_called_negative"].value
    assert whole.residual_average_precision == pytest.approx(figures["residual_average_precision"].value)
    stored = json.loads((small_run / "evaluation.json").read_text())
    assert stored["reliability"]["method"] == reliability.method
    assert [each["name"] for each in stored["metrics"]] == list(figures)


def test_the_bundle_of_a_run_is_its_draft_under_another_name(small_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "drawn" / "7"
    export_measured_run(small_run, out)
    made, draft = load_bundle(out), load_bundle(draft_folder(small_run))
    assert made.name == "drawn/7"
    assert draft.name == "phantom/1"
    assert list(made.description.graphs) == list(draft.description.graphs)
    assert list(made.description.metrics) == list(draft.description.metrics)
    card = (out / "MODEL_CARD.md").read_text()
    assert card.startswith("# drawn, version 7\n")
    with pytest.raises(DestinationError, match="exists already"):
        export_measured_run(small_run, out)


def test_a_draft_has_its_run_s_name_as_a_bundle_may_have_it(tmp_path: Path) -> None:
    assert draft_folder(tmp_path / "Small run") == tmp_path / "Small run" / "draft" / "small-run" / "1"


def test_a_run_that_has_changed_since_is_not_exported(small_run: Path, tmp_path: Path) -> None:
    changed = shutil.copytree(small_run, tmp_path / small_run.name)
    with (changed / "options.json").open("a") as options:
        options.write("\n")
    with pytest.raises(RunError, match="has not been evaluated as it is now"):
        export_measured_run(changed, tmp_path / "phantom" / "7")


class ExportedAgainError(Exception):
    """Stands for an export."""


def test_a_run_is_not_measured_twice_unless_it_is_asked_for(
    small_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def export(model: TrainedModel, out: Path) -> None:
        raise ExportedAgainError

    monkeypatch.setattr("medxgan.evaluation.runs.export_bundle", export)
    again = shutil.copytree(small_run, tmp_path / small_run.name)
    assert evaluate_run(again, again, "cpu", 1).description == load_bundle(draft_folder(small_run)).description
    evaluation = again / "evaluation.json"
    evaluation.write_text(json.dumps(json.loads(evaluation.read_text()) | {"data": "of other images"}))
    with pytest.raises(ExportedAgainError):
        evaluate_run(again, again, "cpu", 1)
    with pytest.raises(ExportedAgainError):
        evaluate_run(again, again, "cpu", 1, fresh=True)


def test_a_bundle_that_states_figures_is_not_sealed_again_unless_it_is_asked_for(
    phantom_bundle: Path, phantom_data: PhantomData, tmp_path: Path
) -> None:
    with pytest.raises(SubjectError, match="--reseal"):
        seal_bundle(phantom_bundle, phantom_data, tmp_path, "cpu", 1)


def test_a_draft_is_sealed_with_thresholds_from_training_patients_where_no_others_are_set_aside(
    draft: Path, phantom_data: PhantomData, tmp_path: Path
) -> None:
    before = load_bundle(draft)
    measured = seal_bundle(draft, phantom_data, tmp_path, "cpu", 1)
    after = load_bundle(draft)
    assert list(after.description.metrics) == list(measured.metrics)
    assert after.description.reliability == measured.reliability
    assert "of the training split" in measured.reliability.method
    assert measured.reliability.promise.measured_on.endswith("of patients trained on")
    assert measured.reliability.maximum_reconstruction_mse < 4
    assert list(after.description.graphs) == list(before.description.graphs)
    assert measured.reliability.method in (draft / "MODEL_CARD.md").read_text()
    with pytest.raises(SubjectError):
        seal_bundle(draft, phantom_data, tmp_path, "cpu", 1)


def test_a_classifier_alone_is_measured_for_its_auc(
    bundle_without_generator: Path, phantom_data: PhantomData, tmp_path: Path
) -> None:
    folder = shutil.copytree(bundle_without_generator, tmp_path / "tiny" / "1")
    measured = seal_bundle(folder, phantom_data, tmp_path, "cpu", 1, again=True)
    assert [metric.name for metric in measured.metrics] == ["classifier_auc"]
    assert not measured.HasField("reliability")


def test_a_classifier_alone_is_not_measured_on_one_class(
    bundle_without_generator: Path, phantom_data: PhantomData, tmp_path: Path
) -> None:
    folder = shutil.copytree(bundle_without_generator, tmp_path / "tiny" / "1")
    positives = phantom_data.model_copy(update={"positive_share": 1.0})
    with pytest.raises(ImagesError, match="test split: expected images of both classes, found one"):
        seal_bundle(folder, positives, tmp_path, "cpu", 1, again=True)


def test_a_draft_is_measured_on_one_class_but_for_its_auc(
    draft: Path, phantom_data: PhantomData, tmp_path: Path
) -> None:
    measured = seal_bundle(draft, phantom_data.model_copy(update={"positive_share": 1.0}), tmp_path, "cpu", 1)
    assert "classifier_auc" not in {metric.name for metric in measured.metrics}
    assert "reliable_share" in {metric.name for metric in measured.metrics}


def test_a_classifier_that_finds_nothing_is_said(draft: Path, phantom_data: PhantomData, tmp_path: Path) -> None:
    content = json.loads((draft / "bundle.json").read_text())
    content["classification"]["decision_threshold"] = 1 - 1e-9
    (draft / "bundle.json").write_text(json.dumps(content))
    with pytest.raises(ImagesError, match="true positives"):
        seal_bundle(draft, phantom_data, tmp_path, "cpu", 1)


def test_what_is_no_bundle_is_not_sealed(phantom_data: PhantomData, tmp_path: Path) -> None:
    with pytest.raises(BundleError):
        seal_bundle(tmp_path / "tiny" / "1", phantom_data, tmp_path, "cpu", 1)
