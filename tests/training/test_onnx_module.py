"""Converted ONNX graphs against ONNX Runtime, operator by operator."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from tests.training.onnx_graphs import RANDOM, model, node, weights, whole
from torch import Tensor

from medxgan.training.networks.onnx_module import OnnxError, OnnxModule, read_onnx

MODELS = {
    "Conv": model(node("Conv", "w", "b", strides=[2, 1], pads=[1, 0, 1, 0]), w=weights(6, 4, 3, 3), b=weights(6)),
    "grouped Conv": model(node("Conv", "w", group=2, dilations=[2, 2]), w=weights(6, 2, 3, 3)),
    "Conv with unequal pads": model(node("Conv", "w", strides=[2, 2], pads=[0, 0, 1, 1]), w=weights(6, 4, 3, 3)),
    "Conv SAME_UPPER": model(node("Conv", "w", strides=[2, 2], auto_pad="SAME_UPPER"), w=weights(6, 4, 3, 3)),
    "Conv SAME_LOWER": model(node("Conv", "w", strides=[2, 2], auto_pad="SAME_LOWER"), w=weights(6, 4, 2, 2)),
    "Conv VALID": model(node("Conv", "w", auto_pad="VALID"), w=weights(6, 4, 2, 2)),
    "ConvTranspose": model(
        node("ConvTranspose", "w", strides=[2, 2], pads=[1, 1, 1, 1], output_padding=[1, 1]), w=weights(4, 3, 3, 3)
    ),
    "BatchNormalization": model(
        node("BatchNormalization", "w", "b", "m", "v", epsilon=1e-3),
        w=weights(4),
        b=weights(4),
        m=weights(4),
        v=np.abs(weights(4)),
    ),
    "InstanceNormalization": model(node("InstanceNormalization", "w", "b"), w=weights(4), b=weights(4)),
    "LayerNormalization": model(node("LayerNormalization", "w", "b"), w=weights(8), b=weights(8)),
    "MaxPool": model(node("MaxPool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])),
    "MaxPool with unequal pads": model(node("MaxPool", kernel_shape=[3, 3], strides=[2, 2], pads=[0, 0, 1, 1])),
    "AveragePool": model(node("AveragePool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])),
    "AveragePool with pads": model(
        node("AveragePool", kernel_shape=[3, 2], strides=[2, 2], pads=[0, 0, 1, 1], count_include_pad=1)
    ),
    "GlobalAveragePool": model(node("GlobalAveragePool")),
    "GlobalMaxPool": model(node("GlobalMaxPool")),
    **{
        name: model(node(name))
        for name in (
            "Relu",
            "LeakyRelu",
            "Elu",
            "HardSigmoid",
            "HardSwish",
            "Tanh",
            "Softplus",
            "Erf",
            "Gelu",
            "Exp",
            "Abs",
            "Neg",
            "Identity",
            "LogSoftmax",
            "Mish",
            "Selu",
            "Softsign",
            "Dropout",
        )
    },
    "Sigmoid": model(helper.make_node("Sigmoid", ["x"], ["a"]), helper.make_node("Neg", ["a"], ["y"])),
    "Softmax": model(helper.make_node("Softmax", ["x"], ["a"]), helper.make_node("Neg", ["a"], ["y"])),
    "old Softmax": model(
        helper.make_node("Softmax", ["x"], ["a"], axis=2), helper.make_node("Neg", ["a"], ["y"]), opset=9
    ),
    "LRN": model(node("LRN", size=3, alpha=0.5, beta=0.6, bias=2.0)),
    "Sum": model(node("Sum", "x", "b"), b=weights(4, 1, 1)),
    "Max": model(node("Max", "b", "x"), b=weights(8)),
    "Min": model(node("Min", "b"), b=np.float32(0.2)),
    "Mean": model(node("Mean", "b"), b=weights(8)),
    "GroupNormalization": model(
        node("GroupNormalization", "w", "b", num_groups=2), opset=21, w=weights(4), b=weights(4)
    ),
    **{
        f"Resize {mode} {way}": model(
            node("Resize", "", "s", mode=mode, coordinate_transformation_mode=way),
            s=np.array([1, 1, 1.7, 0.6], np.float32),
        )
        for mode in ("nearest", "linear", "cubic")
        for way in ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric")
    },
    "Resize to a size that is computed": model(
        helper.make_node("Shape", ["x"], ["all"]),
        helper.make_node("Slice", ["all", "zero", "two"], ["first"]),
        helper.make_node("Slice", ["all", "two", "four"], ["sides"]),
        helper.make_node("Cast", ["sides"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["real", "factor"], ["larger"]),
        helper.make_node("Floor", ["larger"], ["floored"]),
        helper.make_node("Cast", ["floored"], ["target"], to=TensorProto.INT64),
        helper.make_node("Concat", ["first", "target"], ["size"], axis=0),
        helper.make_node("Resize", ["x", "", "", "size"], ["y"], mode="linear"),
        zero=whole(0),
        two=whole(2),
        four=whole(4),
        factor=np.array([1.5], np.float32),
    ),
    "Upsample": model(node("Upsample", "s", mode="nearest"), opset=9, s=np.array([1, 1, 2, 3], np.float32)),
    "half precision in between": model(
        helper.make_node("Cast", ["h"], ["w"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["x", "w"], ["y"]),
        h=weights(8).astype(np.float16),
    ),
    "a choice": model(
        helper.make_node("Greater", ["x", "b"], ["which"]),
        helper.make_node("Cast", ["which"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Where", ["which", "x", "b"], ["chosen"]),
        helper.make_node("Add", ["chosen", "mask"], ["y"]),
        b=weights(8),
    ),
    "a scale of a shape": model(
        helper.make_node("Shape", ["x"], ["all"], start=3),
        helper.make_node("Cast", ["all"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("Sqrt", ["real"], ["root"]),
        helper.make_node("Div", ["one", "root"], ["scale"]),
        helper.make_node("Mul", ["x", "scale"], ["y"]),
        one=np.array([1], np.float32),
    ),
    "a token for each picture": model(
        helper.make_node("Shape", ["x"], ["all"]),
        helper.make_node("Gather", ["all", "zero"], ["batch"]),
        helper.make_node("Unsqueeze", ["batch", "zeros"], ["first"]),
        helper.make_node("Concat", ["first", "rest"], ["wanted"], axis=0),
        helper.make_node("Shape", ["wanted"], ["length"]),
        helper.make_node("ConstantOfShape", ["length"], ["ones"], value=helper.make_tensor("", 7, [1], [1])),
        helper.make_node("Mul", ["ones", "minus"], ["minuses"]),
        helper.make_node("Equal", ["wanted", "minuses"], ["open"]),
        helper.make_node("Where", ["open", "ones", "wanted"], ["sizes"]),
        helper.make_node("Expand", ["token", "sizes"], ["tokens"]),
        helper.make_node("Concat", ["tokens", "x"], ["y"], axis=1),
        zero=np.int64(0),
        zeros=whole(0),
        rest=whole(-1, -1, -1),
        minus=np.int64(-1),
        token=weights(1, 1, 9, 8),
    ),
    "a shape as int32": model(
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Gather", ["shape", "order"], ["turned"]),
        helper.make_node("Cast", ["turned"], ["small"], to=TensorProto.INT32),
        helper.make_node("Slice", ["small", "zero", "one", "zero"], ["first"]),
        helper.make_node("Concat", ["first", "rest"], ["all"], axis=0),
        helper.make_node("Cast", ["all"], ["wanted"], to=TensorProto.INT64),
        helper.make_node("Reshape", ["x", "wanted"], ["y"]),
        order=whole(0, 2, 3, 1),
        zero=whole(0),
        one=whole(1),
        rest=np.array([-1], np.int32),
    ),
    "Gather of a table": model(node("Gather", "i", axis=3), i=np.array([[0, -1], [2, 2]], np.int64)),
    "Slice backwards": model(
        node("Slice", "s", "e", "a", "t"), s=whole(-1), e=whole(-(2**63) + 1), a=whole(2), t=whole(-1)
    ),
    "DepthToSpace": model(node("DepthToSpace", blocksize=2)),
    "Einsum": model(node("Einsum", "w", equation="bchw,wk->bchk"), w=weights(8, 3)),
    "tanh Gelu": model(node("Gelu", approximate="tanh")),
    "PRelu": model(node("PRelu", "slope"), slope=weights(4, 1, 1)),
    "Clip": model(node("Clip", "low", "high"), low=np.float32(0), high=np.float32(6)),
    "Clip without minimum": model(node("Clip", "", "high"), high=np.float32(0.5)),
    "old Clip": model(node("Clip", min=-0.5, max=1.0), opset=9),
    "Add": model(node("Add", "b"), b=weights(4, 1, 1)),
    "Sub": model(node("Sub", "b"), b=weights(1)),
    "Mul": model(node("Mul", "x")),
    "Div": model(node("Div", "b"), b=np.float32(3)),
    "Pow": model(node("Pow", "b"), b=np.float32(2)),
    "Pow with an integer": model(node("Pow", "b"), b=np.int64(2)),
    "MatMul": model(node("MatMul", "w"), w=weights(8, 3)),
    "MatMul of higher rank": model(node("MatMul", "w"), w=weights(4, 8, 3)),
    "ReduceMean": model(node("ReduceMean", "axes", keepdims=0), axes=whole(2, 3)),
    "old ReduceMean": model(node("ReduceMean", axes=[2, 3], keepdims=1), opset=13),
    "ReduceMax": model(node("ReduceMax", "axes"), axes=whole(-1)),
    "ReduceSum": model(node("ReduceSum", "axes"), axes=whole(1)),
    "Reshape": model(node("Reshape", "shape"), shape=whole(0, -1, 4)),
    "Transpose": model(node("Transpose", perm=[0, 2, 3, 1])),
    "Unsqueeze": model(node("Unsqueeze", "axes"), axes=whole(0, -1)),
    "Concat": model(node("Concat", "x", axis=1)),
    "Slice": model(
        node("Slice", "s", "e", "a", "t"), s=whole(1, -3), e=whole(9999, 9999), a=whole(2, 3), t=whole(2, 1)
    ),
    "Gather": model(node("Gather", "i", axis=1), i=whole(2, 0)),
    "Pad": model(node("Pad", "pads"), pads=whole(0, 0, 0, 1, 0, 0, 1, 2)),
    "reflecting Pad": model(node("Pad", "pads", mode="reflect"), pads=whole(0, 0, 2, 1, 0, 0, 1, 2)),
    "Flatten and Gemm": model(
        helper.make_node("Flatten", ["x"], ["flat"]),
        helper.make_node("Gemm", ["flat", "w", "b"], ["y"], alpha=0.5, beta=2.0),
        w=weights(288, 5),
        b=weights(5),
    ),
    "Squeeze": model(
        helper.make_node("GlobalAveragePool", ["x"], ["pooled"]),
        helper.make_node("Squeeze", ["pooled", "axes"], ["y"]),
        axes=whole(2, 3),
    ),
    "Split": model(
        helper.make_node("Split", ["x"], ["a", "b"], axis=1, num_outputs=2), helper.make_node("Sub", ["a", "b"], ["y"])
    ),
    "a shape that is computed": model(
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Gather", ["shape", "zero"], ["batch"]),
        helper.make_node("Unsqueeze", ["batch", "axes"], ["first"]),
        helper.make_node("Constant", [], ["rest"], value_ints=[-1]),
        helper.make_node("Concat", ["first", "rest"], ["wanted"], axis=0),
        helper.make_node("Reshape", ["x", "wanted"], ["y"]),
        zero=np.int64(0),
        axes=whole(0),
    ),
    "constants that are computed": model(
        helper.make_node("Identity", ["w"], ["same"]),
        helper.make_node("Transpose", ["same"], ["turned"], perm=[1, 0]),
        helper.make_node("MatMul", ["x", "turned"], ["y"]),
        w=weights(3, 8),
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_converted_graph_computes_what_onnx_runtime_does(name: str) -> None:
    session = onnxruntime.InferenceSession(MODELS[name].SerializeToString(), providers=["CPUExecutionProvider"])
    converted = OnnxModule(MODELS[name]).eval()
    for batch in (1, 3):
        x = RANDOM.normal(size=(batch, 4, 9, 8)).astype(np.float32)
        (expected,) = session.run(["y"], {"x": x})
        found: Tensor = converted(torch.from_numpy(x))
        torch.testing.assert_close(found.detach(), torch.from_numpy(expected), rtol=1e-4, atol=1e-5)


def test_a_file_for_one_picture_takes_any_number_of_them() -> None:
    graph = model(node("Reshape", "shape"), shape=whole(1, 288))
    x = torch.randn(3, 4, 9, 8)
    torch.testing.assert_close(OnnxModule(graph)(x), x.flatten(1))


@pytest.mark.parametrize(
    ("graph", "told"),
    [
        (model(node("Hardmax")), "node tested: operator Hardmax is not among those that can be converted: Abs, Add"),
        (model(node("Conv", "x")), "converted with a constant input 1 only"),
        (model(node("Flatten", axis=0)), "node tested: operator Flatten with axis 0 makes one row of all pictures"),
        (model(node("QuantizeLinear", "s"), s=np.float32(1)), "QuantizeLinear can't be converted: a quantized network"),
        (model(node("Loop")), "node tested: operator Loop can't be converted: what depends on values"),
        (
            model(
                node("BatchNormalization", "w", "w", "w", "w", training_mode=1),
                w=np.ones(4, np.float32),
            ),
            "node tested: operator BatchNormalization is converted in evaluation mode only",
        ),
        (
            model(node("Dropout", "r", "t"), r=np.float32(0.5), t=np.array(True)),
            "node tested: operator Dropout is converted in evaluation mode only",
        ),
        (
            model(node("Pad", "p"), p=whole(1, 0, 0, 0, 0, 0, 0, 0)),
            "node tested: operator Pad is converted for all axes",
        ),
        (model(node("AveragePool", kernel_shape=[2, 2], dilations=[2, 2])), "is converted without dilation only"),
        (model(node("Relu"), node("Relu"), opset=20), ""),
        (
            model(node("Resize", "", "s", antialias=1, mode="linear"), s=np.ones(4, np.float32)),
            "node tested: operator Res",
        ),
        (model(node("Concat")), "node tested: operator Concat can't be converted: KeyError: 'axis'"),
        (model(helper.make_node("Identity", ["w"], ["y"]), w=weights(2)), 'output "y" does not depend on the input'),
    ],
)
def test_what_can_not_be_converted_is_named(graph: onnx.ModelProto, told: str) -> None:
    if not told:
        graph.graph.output.append(graph.graph.output[0])
        told = "expected one output, found 2"
    with pytest.raises(OnnxError) as caught:
        OnnxModule(graph)
    assert told in str(caught.value)


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("no graph")
    with pytest.raises(OnnxError, match="expected an ONNX file"):
        read_onnx(tmp_path / "text.onnx")


@pytest.mark.parametrize("operator", ["Softmax", "Sigmoid"])
def test_a_last_softmax_or_sigmoid_is_left_out(operator: str) -> None:
    graph = model(
        helper.make_node("Flatten", ["x"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["logits"]),
        helper.make_node(operator, ["logits"], ["probabilities"]),
        helper.make_node("Identity", ["probabilities"], ["y"]),
        w=weights(288, 3),
    )
    converted = OnnxModule(graph)
    assert converted.ending == operator
    assert f"The {operator} that the file ends in was left out" in converted.conversion_notes[0]
    x = torch.randn(2, 4, 9, 8)
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    expected = torch.from_numpy(session.run(["y"], {"x": x.numpy()})[0])
    found = converted(x)
    torch.testing.assert_close(found.softmax(1) if operator == "Softmax" else found.sigmoid(), expected)
    assert not torch.allclose(found, expected)


def test_a_sigmoid_is_left_out_together_with_bounds_and_before_a_choice() -> None:
    graph = model(
        helper.make_node("Flatten", ["x"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["logits"]),
        helper.make_node("Sigmoid", ["logits"], ["all"]),
        helper.make_node("Clip", ["all", "low", "high"], ["bounded"]),
        helper.make_node("Gather", ["bounded", "column"], ["y"], axis=1),
        w=weights(288, 3),
        low=np.float32(1e-3),
        high=np.float32(1 - 1e-3),
        column=whole(2),
    )
    converted = OnnxModule(graph)
    x = torch.randn(16, 4, 9, 8, generator=torch.Generator().manual_seed(2))
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    expected = torch.from_numpy(session.run(["y"], {"x": x.numpy()})[0])
    found = converted(x).detach()
    assert converted.ending == "Sigmoid"
    torch.testing.assert_close(found.sigmoid().clamp(1e-3, 1 - 1e-3), expected)
    assert float(found.abs().max()) > 7, "beyond the bounds"


def test_one_column_of_a_softmax_stays_what_it_is() -> None:
    graph = model(
        helper.make_node("Flatten", ["x"], ["flat"]),
        helper.make_node("Softmax", ["flat"], ["all"], axis=1),
        helper.make_node("Gather", ["all", "column"], ["y"], axis=1),
        column=whole(1),
    )
    assert OnnxModule(graph).ending is None


def test_channels_that_come_last_in_a_file_come_first_in_the_module() -> None:
    graph = onnx.parser.parse_model("""
        <ir_version: 9, opset_import: ["" : 18]>
        network (float[B, 8, 8, 3] x) => (float[B, 3] y) { y = ReduceMean <keepdims = 0> (x, axes) }
    """)
    graph.graph.initializer.append(numpy_helper.from_array(whole(1, 2), "axes"))
    converted = OnnxModule(graph)
    assert (converted.channels_last, converted.picture) == (True, (3, 8, 8))
    x = torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(converted(x), x.mean((2, 3)))


def test_what_fails_when_it_runs_names_its_node() -> None:
    graph = model(node("Reshape", "shape"), shape=whole(7, 7))
    with pytest.raises(RuntimeError) as caught:
        OnnxModule(graph)(torch.zeros(2, 4, 9, 8))
    assert caught.value.__notes__ == ["node tested"]
