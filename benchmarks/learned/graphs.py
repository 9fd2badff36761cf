"""A bundle's graph as a PyTorch module, so that what goes into it has gradients."""

import math
from collections.abc import Sequence
from pathlib import Path

import onnx
import onnx.utils
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from medxgan.training.networks.onnx_module import OnnxModule, load_onnx

PACKED, UNPACKED = "packed", "unpacked"


class BundleGraph(nn.Module):
    """Part of a graph, frozen: from some of its tensors, by their names, to others.

    Args:
        file: the graph.
        inputs: tensors that are given, [B, ...] each and of a stated shape but for B; any that the file has.
        outputs: tensors wanted, likewise.

    Raises:
        OnnxError: an operator can't be converted.
    """

    def __init__(self, file: Path, inputs: Sequence[str], outputs: Sequence[str]) -> None:
        super().__init__()
        model = load_onnx(file)
        _count_rows_of(model, inputs[0])
        part = onnx.utils.Extractor(model).extract_model(list(inputs), list(outputs))
        self._inputs = [(each.name, _shape_of_row(each)) for each in part.graph.input]
        self._outputs = [(each.name, _shape_of_row(each)) for each in part.graph.output]
        self._module = OnnxModule(_packed(part)).eval().requires_grad_(False)

    def forward(self, **inputs: Tensor) -> dict[str, Tensor]:
        """The outputs, by their names, of the inputs by theirs."""
        rows = torch.cat([inputs[name].flatten(1) for name, _ in self._inputs], 1)
        results = torch.split(self._module(rows[:, None, None]), [math.prod(shape) for _, shape in self._outputs], 1)
        return {name: result.view(-1, *shape) for (name, shape), result in zip(self._outputs, results, strict=True)}


def _shape_of_row(value: onnx.ValueInfoProto) -> list[int]:
    return [each.dim_value for each in value.type.tensor_type.shape.dim[1:]]


def _count_rows_of(model: onnx.ModelProto, name: str) -> None:
    """All tensors of a batch have as many rows: have them counted of one that is there when a part is cut out."""
    for node in model.graph.node:
        limits = {each.name: each.i for each in node.attribute}
        if node.op_type == "Shape" and limits.get("start", 0) == 0 and limits.get("end") == 1:
            node.input[0] = name


def _packed(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model as `OnnxModule` takes it: with one input [B, 1, 1, N] and one output [B, M], all behind each other."""
    graph = model.graph
    inputs, outputs = list(graph.input), list(graph.output)
    sizes = [math.prod(_shape_of_row(each)) for each in inputs]
    flat = [f"{each.name} flat" for each in (*inputs, *outputs)]
    before = [
        helper.make_node("Reshape", [PACKED, "a row"], ["rows"]),
        helper.make_node("Split", ["rows", "sizes"], flat[: len(inputs)], axis=1),
    ]
    shapes = {"a row": [0, -1], "sizes": sizes}
    for each, name in zip(inputs, flat, strict=False):
        shapes[f"{each.name} shape"] = [0, *_shape_of_row(each)]
        before.append(helper.make_node("Reshape", [name, f"{each.name} shape"], [each.name]))
    behind = [
        helper.make_node("Reshape", [each.name, "a row"], [name])
        for each, name in zip(outputs, flat[len(inputs) :], strict=True)
    ]
    behind.append(helper.make_node("Concat", flat[len(inputs) :], [UNPACKED], axis=1))
    nodes = [*before, *graph.node, *behind]
    for field in (graph.node, graph.input, graph.output):
        del field[:]
    graph.node.extend(nodes)
    graph.initializer.extend(
        numpy_helper.from_array(torch.tensor(shape).numpy(), name) for name, shape in shapes.items()
    )
    graph.input.append(helper.make_tensor_value_info(PACKED, TensorProto.FLOAT, ["rows", 1, 1, sum(sizes)]))
    width = sum(math.prod(_shape_of_row(each)) for each in outputs)
    graph.output.append(helper.make_tensor_value_info(UNPACKED, TensorProto.FLOAT, ["rows", width]))
    return model
