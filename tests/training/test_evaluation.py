"""What a run is measured for, and what the verdict's threshold is set on."""

import json
from pathlib import Path

import pytest

from medxgan.training.configuration import TrainingConfig, load_configuration
from medxgan.training.data.errors import DataError
from medxgan.training.evaluation import evaluate
from medxgan.training.train_classifier import train_classifier
from medxgan.training.train_generator import train_generator

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


def test_a_classifier_alone_is_measured_for_its_auc(tmp_path: Path) -> None:
    train_classifier(small(), tmp_path, tmp_path)
    evaluation = evaluate(tmp_path, tmp_path)
    assert [metric.name for metric in evaluation.metrics] == ["classifier_auc"]
    assert evaluation.reliability is None
    assert json.loads((tmp_path / "evaluation.json").read_text()).keys() == {"metrics"}


@pytest.mark.parametrize(("share", "split"), [(0.0, "training"), (0.4, "calibration")])
def test_the_threshold_is_set_on_images_that_nothing_was_trained_on_where_there_are_any(
    tmp_path: Path, share: float, split: str
) -> None:
    configuration = small(calibration_share=share)
    train_classifier(configuration, tmp_path, tmp_path)
    train_generator(configuration, tmp_path, tmp_path)
    reliability = evaluate(tmp_path, tmp_path).reliability
    assert reliability is not None
    assert f"of the {split} split" in reliability.method
    assert json.loads((tmp_path / "evaluation.json").read_text())["reliability"]["method"] == reliability.method


def test_a_classifier_that_finds_nothing_is_said(tmp_path: Path) -> None:
    configuration = small()
    classes = configuration.classes.model_copy(update={"decision_threshold": 1 - 1e-6})
    strict = configuration.model_copy(update={"classes": classes})
    train_classifier(strict, tmp_path, tmp_path)
    train_generator(strict, tmp_path, tmp_path)
    with pytest.raises(DataError, match="true positives"):
        evaluate(tmp_path, tmp_path)
