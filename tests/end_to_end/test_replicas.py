"""A server with several copies of a model answers as one with a single copy does."""

import json
import shutil
from pathlib import Path

import grpc
import numpy as np
import pytest

from medxgan.v1.explanation_pb2 import MAP_KIND_DIFFERENCE, ExplainRequest, Image, MapRequest
from medxgan.v1.explanation_pb2_grpc import ExplanationServiceStub


@pytest.fixture
def models(tiny_bundle: Path, tmp_path: Path) -> Path:
    """Takes long enough for requests to meet."""
    folder = shutil.copytree(tiny_bundle, tmp_path / "models" / "tiny" / "1")
    description = json.loads((folder / "bundle.json").read_text())
    description["inversion"] |= {"default_steps": 60}
    (folder / "bundle.json").write_text(json.dumps(description))
    return tmp_path / "models"


def differences(channel: grpc.Channel, images: list[Image]) -> list[np.ndarray]:
    stub = ExplanationServiceStub(channel)
    asked = [
        stub.Explain.future(ExplainRequest(image=image, maps=[MapRequest(kind=MAP_KIND_DIFFERENCE)]))
        for image in images
    ]
    return [np.frombuffer(each.result(timeout=120).maps[0].tensor.data, np.float32) for each in asked]


def test_many_callers_get_the_same_maps_from_two_copies_as_from_one(serving, models, images) -> None:
    with serving(models, replicas=1, threads=1) as channel:
        alone = [differences(channel, [image])[0] for image in images]
    with serving(models, replicas=2, threads=1) as channel:
        together = differences(channel, images)
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_allclose(other, one, atol=0.02)
