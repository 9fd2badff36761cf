"""Settings of ONNX operators as exporters of many makes and ages write them, against ONNX Runtime."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper
from tests.training.onnx_graphs import RANDOM, model, node, weights, whole

from medxgan.training.networks.onnx_module import OnnxModule


def scales(*numbers: float) -> np.ndarray:
    return np.array(numbers, np.float32)


def reduction(operator: str, opset: int, axes: tuple[int, ...] | None, **settings: int) -> onnx.ModelProto:
    """Of positive numbers: a logarithm has no others."""
    first = helper.make_node("Exp", ["x"], ["e"])
    if axes is None:
        return model(first, helper.make_node(operator, ["e"], ["y"], **settings), opset=opset)
    if opset < 18:
        return model(first, helper.make_node(operator, ["e"], ["y"], axes=axes, **settings), opset=opset)
    return model(first, helper.make_node(operator, ["e", "a"], ["y"], **settings), opset=opset, a=whole(*axes))


def gemm(transposed: tuple[int, int], *bias: int) -> onnx.ModelProto:
    left, right = transposed
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["m"], axes=[1], keepdims=0),
        helper.make_node("Reshape", ["m", "rows"], ["r"]),
        helper.make_node("Transpose", ["r"], ["t"], perm=[1, 0] if left else [0, 1]),
        helper.make_node("Gemm", ["t", "w", "b"], ["y"], transA=left, transB=right, alpha=0.5, beta=0.7),
    ]
    return model(*nodes, opset=13, rows=whole(-1, 72), w=weights(*((5, 72) if right else (72, 5))), b=weights(*bias))


def after_transposing(*nodes: onnx.NodeProto, **constants: np.ndarray) -> onnx.ModelProto:
    """Of [B, H, W, C]."""
    return model(helper.make_node("Transpose", ["x"], ["t"], perm=[0, 2, 3, 1]), *nodes, **constants)


REDUCTIONS = ("ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceSumSquare")

POOLINGS = [
    ([3, 3], [2, 2], [1, 1, 1, 1]),
    ([3, 2], [2, 3], [0, 0, 1, 1]),
    ([3, 3], [3, 3], [1, 1, 0, 0]),
    ([3, 3], [1, 1], [2, 2, 2, 2]),
]

MODELS = {
    **{f"Flatten from {axis}": model(node("Flatten", axis=axis)) for axis in (2, 3, 4, -1, -2)},
    "the outputs of a Dropout and a norm that nothing reads": model(
        helper.make_node("LayerNormalization", ["x", "w"], ["a", "mean", "deviation"]),
        helper.make_node("Dropout", ["a"], ["y", "mask"]),
        w=weights(8),
    ),
    "Dropout that drops nothing": model(node("Dropout", "r", "t"), r=np.float32(0.5), t=np.array(False)),
    "indices of a MaxPool that nothing reads": model(
        helper.make_node("MaxPool", ["x"], ["y", "indices"], kernel_shape=[2, 2])
    ),
    **{f"{each} of an attribute": reduction(each, 11, (-1, 2), keepdims=0) for each in REDUCTIONS},
    **{f"{each} of an input": reduction(each, 18, (1, 3)) for each in REDUCTIONS},
    **{f"{each} of no axes": reduction(each, 18, None, noop_with_empty_axes=1) for each in REDUCTIONS},
    "Clip without bounds": model(node("Clip")),
    "Clip to what is computed": model(
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Gather", ["s", "three"], ["d"]),
        helper.make_node("Cast", ["d"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["one", "f"], ["bound"]),
        helper.make_node("Clip", ["x", "", "bound"], ["y"]),
        three=np.int64(3),
        one=np.float32(1),
    ),
    **{
        f"positions along axis {axis}": model(
            helper.make_node("Shape", ["x"], ["s"]),
            helper.make_node("Gather", ["s", "axis"], ["d"]),
            helper.make_node("Range", ["zero", "d", "one"], ["r"]),
            helper.make_node("Cast", ["r"], ["f"], to=TensorProto.FLOAT),
            helper.make_node("Reshape", ["f", "wanted"], ["places"]),
            helper.make_node("Add", ["x", "places"], ["y"]),
            axis=np.int64(axis),
            zero=np.int64(0),
            one=np.int64(1),
            wanted=whole(*(-1 if each == axis else 1 for each in range(4))),
        )
        for axis in (0, 3)
    },
    **{f"Pad {mode}": model(node("Pad", "p", mode=mode), p=whole(0, 0, 1, 2, 0, 0, 3, 1)) for mode in ("edge", "wrap")},
    "Pad of stated axes": model(node("Pad", "p", "v", "a"), p=whole(1, 2, 3, 1), v=np.float32(0.7), a=whole(-1, 2)),
    "Pad by what is computed": model(
        helper.make_node("Shape", ["x"], ["s"], start=2),
        helper.make_node("Mod", ["s", "window"], ["rest"]),
        helper.make_node("Concat", ["none", "none", "none", "rest"], ["p"], axis=0),
        helper.make_node("Pad", ["x", "p"], ["y"]),
        window=whole(4),
        none=whole(0, 0),
    ),
    "Pad as PyTorch writes it": model(
        helper.make_node("Shape", ["x"], ["s"], start=2),
        helper.make_node("Mod", ["s", "window"], ["rest"]),
        helper.make_node("Concat", ["zeros", "rest", "none"], ["flat"], axis=0),
        helper.make_node("Reshape", ["flat", "pairs"], ["table"]),
        helper.make_node("Slice", ["table", "last", "first", "axis", "last"], ["turned"]),
        helper.make_node("Transpose", ["turned"], ["sides"], perm=[1, 0]),
        helper.make_node("Reshape", ["sides", "all"], ["p"]),
        helper.make_node("Pad", ["x", "p"], ["y"]),
        window=whole(4),
        zeros=whole(0, 0, 0, 1),
        none=whole(0, 0),
        pairs=whole(-1, 2),
        last=whole(-1),
        first=whole(-(2**63) + 1),
        axis=whole(0),
        all=whole(-1),
    ),
    "Pad of channels": model(node("Pad", "p"), p=whole(0, 1, 0, 0, 0, 2, 0, 0)),
    "Pad that cuts off": model(node("Pad", "p"), p=whole(0, 0, -1, 0, 0, 0, -2, 1)),
    **{
        f"Pad {mode} with the channels last": after_transposing(
            helper.make_node("Pad", ["t", "p"], ["y"], mode=mode), p=whole(0, 1, 1, 0, 0, 2, 2, 0)
        )
        for mode in ("constant", "reflect", "edge", "wrap")
    },
    **{
        f"{operator} {kernel} {strides} {pads} {settings}": model(
            node(operator, kernel_shape=kernel, strides=strides, pads=pads, **settings)
        )
        for kernel, strides, pads in POOLINGS
        for operator, settings in (
            ("AveragePool", {"count_include_pad": 0}),
            ("AveragePool", {"count_include_pad": 1}),
            ("AveragePool", {"count_include_pad": 0, "ceil_mode": 1}),
            ("MaxPool", {"ceil_mode": 1}),
        )
    },
    "AveragePool SAME_UPPER": model(node("AveragePool", kernel_shape=[2, 3], strides=[2, 2], auto_pad="SAME_UPPER")),
    **{
        f"ConvTranspose {settings}": model(
            node("ConvTranspose", "w", "b", strides=[2, 2], **settings), w=weights(4, 3, 3, 3), b=weights(3)
        )
        for settings in (
            {"pads": [0, 0, 1, 1]},
            {"output_shape": [18, 16]},
            {"output_shape": [18, 16], "auto_pad": "SAME_UPPER"},
            {"auto_pad": "SAME_LOWER"},
        )
    },
    "Conv along one axis": model(
        helper.make_node("Reshape", ["x", "s"], ["r"]),
        helper.make_node("Conv", ["r", "w"], ["y"], pads=[1, 0]),
        s=whole(0, 4, 72),
        w=weights(3, 4, 3),
    ),
    **{f"Gemm {left}{right}": gemm((left, right), 1, 5) for left in (0, 1) for right in (0, 1)},
    "Gemm with a single bias": gemm((0, 0), 1, 1),
    **{
        f"Resize that rounds {rounding}": model(
            node("Resize", "", "s", nearest_mode=rounding, coordinate_transformation_mode="asymmetric"),
            s=scales(1, 1, 0.6, 1.7),
        )
        for rounding in ("floor", "ceil", "round_prefer_ceil")
    },
    "old Resize": model(node("Resize", "s", mode="linear"), opset=10, s=scales(1, 1, 2, 1.5)),
    "Resize as TensorFlow does": model(
        node("Resize", "roi", "s", coordinate_transformation_mode="tf_half_pixel_for_nn"),
        opset=11,
        roi=scales(),
        s=scales(1, 1, 0.6, 1.7),
    ),
    "Resize of stated axes": model(node("Resize", "", "", "s", mode="linear", axes=[3, 2]), s=whole(5, 12)),
    "Resize with the channels last": after_transposing(
        helper.make_node("Resize", ["t", "", "s"], ["y"], mode="nearest"), s=scales(1, 2, 3, 1)
    ),
    "remainder of a division": model(node("Mod", "c", fmod=1), c=np.float32(0.7)),
    **{operator: model(node(operator)) for operator in ("Atan", "Cosh", "Round", "Shrink", "Sign", "Sinh")},
    "one or the other": model(
        helper.make_node("Greater", ["x", "zero"], ["a"]),
        helper.make_node("Less", ["x", "one"], ["b"]),
        helper.make_node("Xor", ["a", "b"], ["c"]),
        helper.make_node("Where", ["c", "x", "zero"], ["y"]),
        zero=np.float32(0),
        one=np.float32(1),
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_converted_graph_computes_what_onnx_runtime_does(name: str) -> None:
    session = onnxruntime.InferenceSession(MODELS[name].SerializeToString(), providers=["CPUExecutionProvider"])
    converted = OnnxModule(MODELS[name]).eval()
    for batch in (1, 3):
        x = RANDOM.normal(size=(batch, 4, 9, 8)).astype(np.float32)
        (expected,) = session.run(["y"], {"x": x})
        found = converted(torch.from_numpy(x)).detach()
        torch.testing.assert_close(found, torch.from_numpy(expected), rtol=1e-4, atol=1e-5)


def test_a_file_for_one_picture_that_cuts_it_up_takes_any_number_of_them() -> None:
    """Windows, and a class token that is held for one picture."""
    graph = model(
        helper.make_node("Reshape", ["x", "windows"], ["w"]),
        helper.make_node("Softmax", ["w"], ["s"], axis=-1),
        helper.make_node("Reshape", ["s", "tokens"], ["t"]),
        helper.make_node("Concat", ["token", "t"], ["y"], axis=1),
        windows=whole(12, 3, 8),
        tokens=whole(1, 36, 8),
        token=weights(1, 1, 8),
    )
    graph.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    x = RANDOM.normal(size=(3, 4, 9, 8)).astype(np.float32)
    expected = np.concatenate([session.run(["y"], {"x": each[None]})[0] for each in x])
    torch.testing.assert_close(OnnxModule(graph)(torch.from_numpy(x)), torch.from_numpy(expected))
