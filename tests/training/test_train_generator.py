"""What the generator's training does beside its objective: the falling learning rate and the precision."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from medxgan.training.averaging import remaining
from medxgan.training.configuration import TrainingConfig, load_configuration
from medxgan.training.train_classifier import train_classifier
from medxgan.training.train_generator import train_generator

PHANTOM = Path(__file__).parents[2] / "training" / "configs" / "phantom.toml"


def test_the_learning_rate_falls_over_the_last_share_of_the_steps() -> None:
    assert [remaining(progress, 0.4) for progress in (0.0, 0.3, 0.6)] == [1, 1, 1]
    assert remaining(0.8, 0.4) == pytest.approx(0.5, abs=2e-3)
    rates = [remaining(step / 50, 0.4) for step in range(51)]
    assert rates == sorted(rates, reverse=True)
    assert 0 < rates[-1] < 0.01


def test_without_decay_the_learning_rate_stays() -> None:
    assert {remaining(step / 50, 0.0) for step in range(51)} == {1.0}


def configured(precision: str) -> TrainingConfig:
    stated = load_configuration(PHANTOM).model_dump()
    stated["data"] |= {"count": 60, "size": 48}
    stated["classifier"] |= {"width": 4, "epochs": 1}
    stated["familiarity"] |= {"steps": 2}
    stated["generator"] |= {
        "channels": (8, 8, 6), "pathology_channels": (8, 6, 4), "fine_z1": 2, "fine_z2": 2,
        "discriminator_channels": (4, 6, 8), "encoder_channels": (4, 6, 8),
        "steps": 3, "batch_size": 4, "precision": precision,
    }  # fmt: skip
    return TrainingConfig.model_validate(stated)


@pytest.mark.slow
def test_half_precision_rounds_the_losses_and_keeps_the_weights_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Also by a processor that imitates it, and would train in float32.
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: True)
    losses: dict[str, dict[str, float]] = {}
    for precision in ("32-true", "bf16-mixed"):
        folder = tmp_path / precision
        train_classifier(configured(precision), folder, folder)
        train_generator(configured(precision), folder, folder)
        losses[precision] = json.loads((folder / "generator" / "metrics.jsonl").read_text())
        weights = load_file(folder / "generator" / "checkpoint.safetensors")
        assert {value.dtype for name, value in weights.items() if name.endswith("weight")} == {torch.float32}
    assert losses["bf16-mixed"] != losses["32-true"]
    assert losses["bf16-mixed"] == pytest.approx(losses["32-true"], rel=0.02, abs=0.01)
