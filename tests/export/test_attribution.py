"""The stored attribution graph against autograd, and against captum for guided backpropagation."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from captum.attr import GuidedBackprop  # type: ignore[import-untyped]
from torch import Tensor

from medxgan.bundle.graphs import ATTRIBUTION_PARTS
from medxgan.training.model import TrainedModel


@pytest.fixture(scope="module")
def session(tiny_bundle: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(tiny_bundle / "attribution.onnx", providers=["CPUExecutionProvider"])


def attribute(session: onnxruntime.InferenceSession, x: Tensor) -> dict[str, Tensor]:
    outputs = session.run(list(ATTRIBUTION_PARTS[-1]), {"x": x.numpy()})
    return {name: torch.from_numpy(value) for name, value in zip(ATTRIBUTION_PARTS[-1], outputs, strict=True)}


def pictures(model: TrainedModel, batch: int) -> Tensor:
    with torch.no_grad():
        x: Tensor = model.generator(torch.randn(batch, 18, generator=torch.Generator().manual_seed(batch)))
    return x


def assert_close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.parametrize("batch", [1, 5])
def test_gradients_are_those_of_autograd(
    session: onnxruntime.InferenceSession, tiny_model: TrainedModel, batch: int
) -> None:
    classifier, x = tiny_model.classifier, pictures(tiny_model, batch)
    found = attribute(session, x)
    x.requires_grad_()
    activations = classifier.features(x)[-1]
    logit = classifier.head(activations)
    gradient, activation_gradients = torch.autograd.grad(logit.sum(), [x, activations])
    assert_close(found["logit"], classifier(x).detach())
    assert_close(found["activations"], activations.detach())
    assert_close(found["activation_gradients"], activation_gradients)
    assert_close(found["gradient"], gradient)


@pytest.mark.filterwarnings("ignore:Setting backward hooks on ReLU activations:UserWarning")
def test_guided_gradient_is_that_of_captum(session: onnxruntime.InferenceSession, tiny_model: TrainedModel) -> None:
    x = pictures(tiny_model, 4)
    expected = GuidedBackprop(tiny_model.classifier).attribute(x.clone().requires_grad_())
    found = attribute(session, x)
    assert_close(found["guided_gradient"], expected.detach())
    assert float((found["guided_gradient"] - found["gradient"]).abs().max()) > 0.1 * float(expected.abs().max())


def test_gradients_vary_with_the_image(session: onnxruntime.InferenceSession, tiny_model: TrainedModel) -> None:
    found = attribute(session, pictures(tiny_model, 2))
    for name in ATTRIBUTION_PARTS[-1]:
        first, second = found[name].numpy()
        assert np.abs(first - second).max() > 0.01 * np.abs(first).max(), name
