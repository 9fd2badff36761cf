"""From drawn slices to a map over gRPC: train, evaluate, export, serve, explain; and the map finds the lesions."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torchmetrics.functional.classification import binary_average_precision

from medxgan.client import Client
from medxgan.evaluation.images import in_pixels_of_x
from medxgan.evaluation.runs import evaluate_run
from medxgan.server.embedded import EmbeddedServer
from medxgan.training.configuration import TrainingConfig, load_configuration
from medxgan.training.train_classifier import train_classifier
from medxgan.training.train_generator import train_generator

CONFIG = Path(__file__).parents[2] / "training" / "configs" / "phantom.toml"
IMAGES = 60

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def configuration() -> TrainingConfig:
    return load_configuration(CONFIG)


@pytest.fixture(scope="module")
def models(configuration: TrainingConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("run")
    train_classifier(configuration, run, run)
    train_generator(configuration, run, run)
    evaluate_run(run, run, "cpu", 1)
    folder = tmp_path_factory.mktemp("models")
    command = [Path(sys.executable).parent / "medxgan", "export", run, "--out", folder / "phantom" / "1"]
    subprocess.run(command, check=True)
    return folder


def average_precision(maps: torch.Tensor, masks: torch.Tensor) -> float:
    """Mean over images of the area under the precision-recall curve by pixel; maps: [N, S, S], not negative."""
    scores = [
        binary_average_precision(F.normalize(found.flatten(), dim=0), mask.flatten().long())
        for found, mask in zip(maps, masks, strict=True)
    ]
    return float(torch.stack(scores).mean())


@pytest.mark.timeout(600)
def test_the_difference_map_finds_lesions(configuration: TrainingConfig, models: Path) -> None:
    test = configuration.data.load(Path()).test
    assert test.masks is not None
    with EmbeddedServer(models) as server, Client(server.address) as client, ThreadPoolExecutor(8) as callers:
        bundle = client.model().bundle
        masks = np.stack([in_pixels_of_x(mask, bundle.image) for mask in test.masks])
        chosen = np.flatnonzero(masks.any((1, 2)))[:IMAGES]
        explanations = list(callers.map(lambda row: client.explain(test.images[row]), chosen))

    positive = [index for index, explanation in enumerate(explanations) if explanation.scores.original.positive]
    assert len(positive) > len(chosen) / 2
    found = torch.from_numpy(np.stack([np.abs(explanations[index].difference) for index in positive]))
    seen = torch.from_numpy(np.stack([explanations[index].original + 1 for index in positive]))
    truth = torch.from_numpy(masks[chosen[positive]])
    smooth = F.avg_pool2d(found[:, None], 5, 1, 2)[:, 0]

    precision = average_precision(smooth, truth)
    intensity, chance = average_precision(seen, truth), float(truth.float().mean())
    assert precision > 2 * chance
    assert precision > intensity
    negative = [not explanations[index].scores.negative_realization.positive for index in positive]
    assert np.mean(negative) > 0.9
    # What was measured before the export is what is served: these are a part of the images of the figures.
    stated = {metric.name: metric.value for metric in bundle.metrics}
    assert np.mean(negative) == pytest.approx(stated["negative_called_negative"], abs=0.1)
    assert bundle.reliability.maximum_reconstruction_mse > 0
