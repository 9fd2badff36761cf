import copy
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from medxgan.export.computations import ANY, Computation, sample, tensor
from medxgan.export.decompositions import gradient_decompositions
from medxgan.export.onnx_graphs import onnx_model, write_onnx
from medxgan.export.programs import export_program
from medxgan.export.tracing import trace
from medxgan.export.weight_file import WeightFile
from medxgan.v1.bundle_pb2 import GRAPH_ROLE_CLASSIFIER


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(2, 2, 0, 1), (3, 2, 1, 1), (3, 1, 1, 1), (3, 2, 0, 2)])
@pytest.mark.parametrize("ceil_mode", [False, True])
def test_max_pooling_and_its_gradient(shape: tuple[int, int, int, int], ceil_mode: bool, tmp_path: Path) -> None:
    kernel, stride, padding, dilation = shape
    pool = nn.MaxPool2d(kernel, stride, padding, dilation, ceil_mode=ceil_mode)

    def pooled_and_gradient(x: Tensor) -> tuple[Tensor, Tensor]:
        pooled, pull_back = torch.func.vjp(pool, x)  # type: ignore[misc]
        return pooled, pull_back(pooled)[0]

    inputs = (tensor("x", ANY, 3, 11, 12),)
    traced = trace(pooled_and_gradient, sample(inputs), gradient_decompositions())
    computation = Computation(GRAPH_ROLE_CLASSIFIER, traced, inputs, ("pooled", "gradient"))
    model = onnx_model(computation, export_program(computation))
    write_onnx(model, tmp_path / "pool.onnx", WeightFile(tmp_path / "weights.bin"))

    session = onnxruntime.InferenceSession(tmp_path / "pool.onnx", providers=["CPUExecutionProvider"])
    x = torch.randint(-9, 10, (4, 3, 11, 12)).float()
    found = session.run(["pooled", "gradient"], {"x": x.numpy()})
    for value, expected in zip(found, pooled_and_gradient(x), strict=True):
        np.testing.assert_array_equal(value, expected)


@pytest.mark.slow
def test_what_two_networks_of_equal_weights_see_of_one_picture_is_computed_once() -> None:
    """An encoder holds a copy of the classifier, and looks at the picture that the classifier is asked about."""
    classifier = nn.Sequential(nn.Conv2d(1, 40, 3), nn.ReLU(), nn.Conv2d(40, 40, 3))
    copied = copy.deepcopy(classifier)
    other = nn.Conv2d(40, 2, 1)
    inputs = (tensor("x", ANY, 1, 12, 12),)
    traced = trace(lambda x: (classifier(x), other(copied(x))), sample(inputs), gradient_decompositions())
    computation = Computation(GRAPH_ROLE_CLASSIFIER, traced, inputs, ("score", "code"))
    model = onnx_model(computation, export_program(computation))
    assert classifier[2].weight.nbytes > 1024
    assert [node.op_type for node in model.graph].count("Conv") == 3
