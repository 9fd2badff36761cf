"""What the tests of the evaluation share: a small phantom set, and settings that keep an evaluation short."""

import asyncio
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.bundle_copies import put_copy

from medxgan.bundle import load_bundle
from medxgan.evaluation.evaluation import Outcome, evaluate_bundle
from medxgan.evaluation.images import labelled_images
from medxgan.evaluation.served import open_images, served
from medxgan.evaluation.settings import EvaluationSettings
from medxgan.training.data.source import PhantomData, load

SMALL = EvaluationSettings(
    methods=("gradient", "grad_cam", "difference"), images=4, sanity_images=1, sheet_images=1, provider="cpu"
)

Evaluate = Callable[..., Outcome]


@pytest.fixture(scope="session")
def phantom_data() -> PhantomData:
    return PhantomData(kind="phantom", count=80, size=48, seed=5, test_share=0.5)


@pytest.fixture(scope="session")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same set as the section of a file."""
    file = tmp_path_factory.mktemp("config") / "data.toml"
    file.write_text('[data]\nkind = "phantom"\ncount = 80\nsize = 48\nseed = 5\ntest_share = 0.5\n')
    return file


@pytest.fixture(scope="session")
def phantom_bundle(tiny_bundle: Path, phantom_data: PhantomData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny bundle, whose classifier has learned nothing, with a threshold that half of the phantoms pass."""

    async def scores() -> list[float]:
        async with served(tiny_bundle, "cpu", 1) as model:
            images = labelled_images(load(phantom_data, Path()), "test", model.bundle.description.image)
            return [opened.score.probability for opened in await open_images(model, images)]

    folder = tmp_path_factory.mktemp("models") / "tiny" / "1"
    shutil.copytree(tiny_bundle, folder)
    return adapt(folder, float(np.median(asyncio.run(scores()))), phantom_data)


@pytest.fixture(scope="session")
def bundle_without_generator(
    plain_models: Path, phantom_bundle: Path, phantom_data: PhantomData, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The same classifier alone."""
    models = tmp_path_factory.mktemp("alone") / "models"
    put_copy(plain_models / "plain" / "1", models, "tiny/1", limitation="Has learned nothing.")
    folder = models / "tiny" / "1"
    return adapt(folder, load_bundle(phantom_bundle).description.classification.decision_threshold, phantom_data)


def adapt(folder: Path, threshold: float, data: PhantomData) -> Path:
    """Give a bundle another threshold, and the data that it names."""
    file = folder / "bundle.json"
    content = json.loads(file.read_text())
    content["classification"]["decision_threshold"] = threshold
    content["provenance"]["configuration"]["data"] = data.model_dump_json()
    file.write_text(json.dumps(content))
    return folder


@pytest.fixture(scope="session")
def evaluate(phantom_bundle: Path, phantom_data: PhantomData) -> Evaluate:
    """Evaluate the bundle on the phantom set; settings by name change `SMALL`."""

    def call(
        out: Path,
        *,
        bundle: Path = phantom_bundle,
        data: PhantomData = phantom_data,
        fresh: bool = False,
        on_progress: Any = None,
        **changes: Any,
    ) -> Outcome:
        settings = replace(SMALL, **changes)
        return evaluate_bundle(bundle, data, out, out, settings, fresh=fresh, on_progress=on_progress)

    return call


@pytest.fixture(scope="session")
def outcome(evaluate: Evaluate, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """An evaluation that was not interrupted."""
    return evaluate(tmp_path_factory.mktemp("report"))
