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
from medxgan.server.embedded import EmbeddedServer
from medxgan.training.configuration import TrainingConfig, load_configuration
from medxgan.training.evaluation import evaluate, resize_masks
from medxgan.training.train_classifier import train_classifier
from medxgan.training.train_generator import train_generator

CONFIG = Path(__file__).parents[2] / "training" / "configs" / "phantom.toml"
IMAGES = 60


@pytest.fixture(scope="module")
def configuration() -> TrainingConfig:
    return load_configuration(CONFIG)


@pytest.fixture(scope="module")
def models(configuration: TrainingConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("run")
    train_classifier(configuration, run, run)
    train_generator(configuration, run, run)
    evaluate(run, run)
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
    masks = resize_masks(configuration, test)[:, 0]
    chosen = torch.flatten(masks, 1).any(1).numpy().nonzero()[0][:IMAGES]
    with EmbeddedServer(models) as server, Client(server.address) as client, ThreadPoolExecutor(8) as callers:
        explanations = list(callers.map(lambda row: client.explain(test.images[row]), chosen))

    positive = [index for index, explanation in enumerate(explanations) if explanation.scores.original >= 0.5]
    assert len(positive) > len(chosen) / 2
    found = torch.from_numpy(np.stack([np.abs(explanations[index].difference) for index in positive]))
    seen = torch.from_numpy(np.stack([explanations[index].original + 1 for index in positive]))
    truth = masks[torch.from_numpy(chosen[positive])]
    smooth = F.avg_pool2d(found[:, None], 5, 1, 2)[:, 0]

    precision = average_precision(smooth, truth)
    intensity, chance = average_precision(seen, truth), float(truth.float().mean())
    assert precision > 2 * chance
    assert precision > intensity
    negative = [explanations[index].scores.negative_realization < 0.5 for index in positive]
    assert np.mean(negative) > 0.9
