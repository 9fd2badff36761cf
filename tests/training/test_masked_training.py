"""The terms that the masked form adds to the objective, and a training with it from data with masks and strata."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file
from torch import Tensor, nn

from medxgan.training import masked_objective, report
from medxgan.training.configuration import TrainingConfig, load_configuration
from medxgan.training.data import source
from medxgan.training.data.phantom import phantoms
from medxgan.training.dataset import lesion_masks
from medxgan.training.keep_run import keep_run
from medxgan.training.networks import FeatureEncoder, MaskedGenerator
from medxgan.training.objective import Batch
from medxgan.training.runs import Run
from medxgan.training.train_classifier import train_classifier
from medxgan.training.train_generator import train_generator

CONFIGS = Path(__file__).parents[2] / "training" / "configs"


def batch(label: list[float], placed: list[float]) -> Batch:
    rows = len(label)
    focus = torch.zeros(rows, 1, 16, 16)
    focus[:, :, :8] = 1
    return Batch(torch.zeros(rows, 1, 16, 16), torch.tensor(label), focus, placed=torch.tensor(placed))


def test_a_mask_in_its_place_costs_less_and_only_known_places_count() -> None:
    right = torch.full((2, 1, 4, 4), 0.02)
    right[:, :, :2] = 0.98
    known, unknown = batch([1.0, 1.0], [1.0, 1.0]), batch([1.0, 1.0], [0.0, 0.0])
    assert masked_objective.place(known, right) < 0.05
    assert masked_objective.place(known, 1 - right) > 2
    assert masked_objective.place(unknown, 1 - right).item() == 0


def test_to_add_costs_five_times_as_much_outside_and_nothing_in_negatives() -> None:
    positive, negative = batch([1.0], [1.0]), batch([0.0], [1.0])
    inside, outside = torch.zeros(1, 1, 16, 16), torch.zeros(1, 1, 16, 16)
    inside[:, :, :8] = 0.4
    outside[:, :, 8:] = 0.4
    assert masked_objective.sparsity(positive, inside).item() == pytest.approx(0.2)
    assert masked_objective.sparsity(positive, outside).item() == pytest.approx(1.0)
    assert masked_objective.sparsity(negative, outside).item() == 0


def test_the_anatomy_is_the_image_without_its_pathology() -> None:
    known = batch([1.0], [1.0])
    image, added = torch.full((1, 1, 16, 16), 0.5), torch.full((1, 1, 16, 16), 0.7)
    negative = masked_objective.applied_negative(image, added)
    torch.testing.assert_close(negative, torch.full_like(image, -0.2))
    assert masked_objective.reconstruction(known, negative, negative).item() == 0
    assert masked_objective.reconstruction(known, image, negative).item() == pytest.approx(4 * 0.49 + 0.35)


class Finder(nn.Module):
    """Finds in any image the pathology that it was told to."""

    def __init__(self, code: Tensor) -> None:
        super().__init__()
        self.code = code

    def pathology_code(self, x: Tensor) -> Tensor:
        return self.code.expand(len(x), -1)


def test_pathology_that_is_found_again_costs_nothing() -> None:
    torch.manual_seed(0)
    generator = MaskedGenerator(6, 3, (12, 10, 8, 6), 2, 3, 0.5).eval()
    z2 = 2 * torch.randn(1, generator.z2_size)
    with torch.no_grad():
        added, _ = generator.pathology(z2)
    assert added.max() > 0.02
    images = torch.rand(2, 1, 64, 64) - 0.9
    both, healthy = torch.tensor([1.0, 0.0]), torch.zeros(2)
    mixed, alone = (Batch(images, label, torch.zeros_like(images)) for label in (both, healthy))
    pathologies = torch.cat([added, 0 * added])

    def cost(code: Tensor, images: Batch) -> float:
        return masked_objective.transfer(Finder(code), generator, images, pathologies).item()  # type: ignore[arg-type]

    assert cost(z2, mixed) == pytest.approx(0, abs=1e-6)
    assert cost(0 * z2, mixed) == pytest.approx(added.mean().item(), rel=1e-4)
    assert cost(z2, alone) == 0


def test_conditions_tell_class_and_stratum() -> None:
    known = Batch(torch.zeros(4, 1, 8, 8), torch.zeros(4), torch.zeros(4, 1, 8, 8), torch.tensor([0, 0, 1, 1]))
    assert known.condition(torch.tensor([0.0, 1.0, 0.0, 1.0])).tolist() == [0, 1, 2, 3]


@pytest.fixture
def films(tmp_path: Path) -> Path:
    """An .npz set of drawn slices with masks, a split, and a view that goes with the label."""
    drawn = phantoms(120, 64, 1, 0.5)
    positive = drawn.labels.astype(bool)
    random = np.random.default_rng(0)
    view = np.where(random.random(len(drawn)) < np.where(positive, 0.8, 0.2), "AP", "PA")
    split = np.where(random.random(len(drawn)) < 0.2, "test", "train")
    np.savez(
        tmp_path / "films.npz",
        images=np.stack(drawn.images),
        labels=drawn.labels,
        masks=drawn.masks,
        view=view,
        split=split,
        patient=np.array([f"p{row}" for row in range(len(drawn))]),
    )
    return tmp_path


def configured(precision: str = "32-true") -> TrainingConfig:
    stated = load_configuration(CONFIGS / "chest-rsna.toml").model_dump()
    stated["data"] |= {"path": "films.npz"}
    stated["image"] |= {"size": 64}
    stated["familiarity"] |= {"steps": 2}
    stated["refinement"] |= {"passes": 0}
    stated["classifier"] |= {"channels": (4, 6, 8, 8), "epochs": 1, "batch_size": 16, "precision": precision}
    stated["generator"] |= {
        "channels": (8, 8, 6, 6), "z1_size": 8, "z2_size": 2, "fine_z1": 2, "fine_z2": 2,
        "discriminator_channels": (4, 6), "encoder_channels": (4, 6, 8, 8),
        "steps": 2, "pathology_steps": 2, "batch_size": 8, "checkpoint_interval": 1, "precision": precision,
    }  # fmt: skip
    return TrainingConfig.model_validate(stated)


def test_masks_and_strata_come_with_the_rows(films: Path) -> None:
    split = source.load(configured().data, films)
    assert split.calibration is not None
    for part in (split.train, split.calibration, split.test):
        assert part.strata is not None
        assert set(part.strata) == {"AP", "PA"}
        masks = lesion_masks(part, 32)
        assert masks.shape == (len(part), 1, 32, 32)
        covered = masks.flatten(1).amax(1) > 0.5
        assert covered.tolist() == part.labels.astype(bool).tolist()


def test_a_masked_training_makes_a_run_that_opens(films: Path) -> None:
    run = films / "run"
    train_classifier(configured(), films, run)
    figures = [json.loads(line) for line in (run / "classifier" / "metrics.jsonl").read_text().splitlines()]
    assert "calibration_auc" in figures[-1]
    train_generator(configured("bf16-mixed"), films, run)
    for stage, terms in (("pathology", {"place", "transfer", "discriminator"}), ("generator", {"reconstruction"})):
        logged = json.loads((run / stage / "metrics.jsonl").read_text().splitlines()[-1])
        assert logged["step"] == 2
        assert terms < set(logged)
        assert np.isfinite(list(logged.values())).all()

    opened = Run.open(run)
    generator, encoder = opened.generator()
    assert isinstance(generator, MaskedGenerator)
    assert isinstance(encoder, FeatureEncoder)
    assert encoder(torch.zeros(2, 1, 64, 64)).shape == (2, generator.z1_size + generator.z2_size)
    # The encoder's copy of the classifier is the run's, untouched by the training and by the moving average.
    kept = opened.classifier().state_dict()
    assert all(torch.equal(value, kept[key]) for key, value in encoder.classifier.state_dict().items())
    # The second stage moves the anatomy and leaves the first stage's pathology as it is.
    first, second = (load_file(run / stage / "checkpoint.safetensors") for stage in ("pathology", "generator"))
    for key, moves in (("generator.last.weight", False), ("generator.anatomy.project.weight", True)):
        assert torch.equal(first[f"average.{key}"], second[f"average.{key}"]) is not moves
    assert not torch.equal(first["average.generator.last.weight"], first["live.generator.last.weight"])


def test_a_training_that_is_called_again_goes_on(films: Path) -> None:
    train_classifier(configured(), films, films / "run")
    for steps in (1, 3):
        stated = configured().model_dump()
        stated["generator"] |= {"steps": steps}
        train_generator(TrainingConfig.model_validate(stated), films, films / "run")
    logged = (films / "run" / "generator" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in logged] == [1, 2, 3]
    assert len((films / "run" / "pathology" / "metrics.jsonl").read_text().splitlines()) == 2


def test_the_averaged_weights_alone_are_a_run_that_opens_and_goes_on(films: Path) -> None:
    run, kept = films / "run", films / "kept"
    train_classifier(configured(), films, run)
    train_generator(configured(), films, run)
    keep_run(Run.open(run), kept)
    whole, small = ((folder / "generator" / "checkpoint.safetensors").stat().st_size for folder in (run, kept))
    assert small < whole / 2
    x = torch.rand(2, 1, 64, 64)
    pairs = [Run.open(folder).generator() for folder in (run, kept)]
    images = [generator(encoder(x)) for generator, encoder in pairs if encoder is not None]
    assert torch.equal(images[0], images[1])
    assert Run.open(kept).familiarity() is not None

    stated = configured().model_dump()
    stated["generator"] |= {"steps": 3}
    train_generator(TrainingConfig.model_validate(stated), films, kept)
    assert not (kept / "pathology").exists()
    logged = (kept / "generator" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in logged] == [3]


def test_the_report_has_a_figure_of_everything(
    films: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    train_classifier(configured(), films, films / "run")
    train_generator(configured(), films, films / "run")
    # An untrained classifier may call nothing positive.
    monkeypatch.setattr(report, "probability", lambda _network, x: torch.linspace(0.6, 0.9, len(x)))
    monkeypatch.setattr("sys.argv", ["report", str(films / "run"), "--data", str(films), "--fresh", "--steps", "1"])
    # How well made pictures are told from real ones is not asked here.
    monkeypatch.setattr(report, "fresh_classifier", partial(report.fresh_classifier, steps=4))
    capsys.readouterr()
    report.main()
    figures = json.loads(capsys.readouterr().out)
    assert figures["part"] == "calibration"
    assert set(figures["border"]) == {"all", "AP", "PA"}
    assert {"grad_cam", "difference", "mean_of_training_masks"} <= set(figures["place"])
    assert figures["place"]["grad_cam"]["pointing_gain"] == [0, 0, 0]
    low, high = figures["place"]["difference"]["average_precision"][1:]
    assert 0 < low <= figures["place"]["difference"]["average_precision"][0] <= high < 1
    assert len(figures["applied_over_real_AP"]["octaves_finest_first"]) == 4
    assert set(figures["fresh_classifier_auc"]) == {"all", "AP", "PA"}


@pytest.mark.parametrize("change", [1.0, 2.0])
def test_sharpness_is_relative_to_real_pictures(change: float) -> None:
    torch.manual_seed(0)
    real = 0.1 * torch.randn(8, 1, 32, 32)
    figures = report.sharpness_figures(change * real, real)
    assert figures["contrast"] == pytest.approx(change, rel=1e-4)
    assert figures["laplacian"] == pytest.approx(change**2, rel=1e-4)
    assert figures["octaves_finest_first"] == pytest.approx([change**2] * 4, rel=1e-4)


@pytest.mark.parametrize(
    ("section", "change", "said"),
    [
        ("generator", {"encoder_channels": ()}, "needs generator.encoder_channels"),
        ("generator", {"form": "two-branch"}, 'needs generator.form = "masked"'),
        ("generator", {"weights": {}}, "needs generator.weights.place"),
        ("generator", {"judged_reduction": 16}, "judged_reduction"),
        ("classifier", {"form": "plain", "localisation": 0, "low_pass": 0}, 'needs classifier.form = "residual"'),
        ("classifier", {"form": "plain"}, 'needs form = "residual"'),
    ],
)
def test_what_does_not_go_together_is_refused(section: str, change: dict[str, object], said: str) -> None:
    stated = configured().model_dump()
    stated[section] |= change
    with pytest.raises(ValidationError, match=said):
        TrainingConfig.model_validate(stated)
