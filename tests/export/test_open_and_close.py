"""The first and the last graph of a request, as a runtime computes them."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray

from medxgan.bundle import load_bundle
from medxgan.bundle.graphs import REALIZATIONS, signature
from medxgan.training.model import TrainedModel
from medxgan.v1.bundle_pb2 import GRAPH_ROLE_CLOSE, GRAPH_ROLE_OPEN

Tensors = dict[str, NDArray[np.float32]]


def run(file: Path, **inputs: NDArray[np.float32]) -> Tensors:
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


def opened(bundle: Path, image: NDArray[np.float32], pixel_aspect: float = 1) -> Tensors:
    inverted = np.zeros(len(image), np.float32)
    return run(bundle / "open.onnx", image=image, inverted=inverted, pixel_aspect=np.array([pixel_aspect], np.float32))


def films(height: int, width: int) -> NDArray[np.float32]:
    return np.random.default_rng(4).uniform(0, 4000, (3, 1, height, width)).astype(np.float32)


def test_outputs_are_those_of_the_signature(tiny_bundle: Path) -> None:
    bundle = load_bundle(tiny_bundle).description
    assert tuple(opened(tiny_bundle, films(40, 50))) == tuple(signature(GRAPH_ROLE_OPEN, bundle).outputs)
    x, z = np.zeros((2, 1, 32, 32), np.float32), np.zeros((2, 18), np.float32)
    assert tuple(run(tiny_bundle / "close.onnx", x=x, z=z)) == tuple(signature(GRAPH_ROLE_CLOSE, bundle).outputs)


def test_an_image_that_is_not_inverted_is_opened_by_a_graph_without_the_encoder(tiny_bundle: Path) -> None:
    bundle = load_bundle(tiny_bundle)
    score, whole = bundle.graphs(GRAPH_ROLE_OPEN)
    assert bundle.whole_graph(GRAPH_ROLE_OPEN) == whole
    image = films(40, 50)
    inputs = {"image": image, "inverted": np.zeros(3, np.float32), "pixel_aspect": np.ones(1, np.float32)}
    found, expected = run(tiny_bundle / score.file, **inputs), opened(tiny_bundle, image)
    assert expected.keys() - found.keys() == {"z"}
    for name, values in found.items():
        np.testing.assert_allclose(values, expected[name], rtol=1e-5, atol=1e-6)
    nodes = [len(onnx.load(tiny_bundle / each.file, load_external_data=False).graph.node) for each in (score, whole)]
    assert nodes[0] < nodes[1]


@pytest.mark.parametrize("pixel_aspect", [0.5, 1.0, 2.0])
def test_a_film_is_seen_by_the_shape_of_its_pixels(
    tiny_bundle: Path, tiny_model: TrainedModel, pixel_aspect: float
) -> None:
    image = films(60, 90)
    found = opened(tiny_bundle, image, pixel_aspect)
    aspect = torch.tensor([pixel_aspect])
    with torch.no_grad():
        x = tiny_model.preprocess(torch.from_numpy(image), torch.zeros(3), aspect)
        z = tiny_model.encoder(x)
    np.testing.assert_allclose(found["x"], x, atol=1e-4)  # float32 sums over a film's pixels
    expected = {0.5: [0, 30, 60, 60], 1.0: [0, 15, 60, 75], 2.0: [7.5, 0, 52.5, 90]}[pixel_aspect]
    assert found["box"].tolist() == expected
    np.testing.assert_allclose(found["z"], z, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("level", [0, 65535, np.nan, np.inf])
def test_a_blank_film_exceeds_every_maximum(tiny_bundle: Path, level: float) -> None:
    maxima = [measure.maximum for measure in load_bundle(tiny_bundle).description.familiarity.measures]
    found = opened(tiny_bundle, np.full((2, 1, 30, 40), level, np.float32))["unfamiliarity"]
    assert found.shape == (2, len(maxima))
    assert (found > maxima).all()


def test_close_draws_and_scores_each_picture(tiny_bundle: Path, tiny_model: TrainedModel) -> None:
    random = torch.Generator().manual_seed(5)
    z = torch.randn(4, 18, generator=random)
    generator, classifier = tiny_model.generator, tiny_model.classifier
    with torch.no_grad():
        x = (generator(torch.randn(4, 18, generator=random)) * 1.2).clamp(-1, 1)
        reconstruction, negative = generator(z), generator.negative(z)
        pictures = [reconstruction, negative, (x - (reconstruction - negative)).clamp(-1, 1)]
        logits = [classifier(picture) for picture in pictures]
    found = run(tiny_bundle / "close.onnx", x=x.numpy(), z=z.numpy())
    for name, picture, logit in zip(REALIZATIONS, pictures, logits, strict=True):
        np.testing.assert_allclose(found[name], picture, atol=1e-5, err_msg=name)
        np.testing.assert_allclose(found[f"{name}_logit"], logit, rtol=1e-4, atol=1e-4, err_msg=name)
