"""From a program to ONNX files."""

import logging
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from onnx_ir import AttrInt64, ExternalTensor, Graph, Model, Node, Shape, Value, save
from onnx_ir.passes import Sequential
from onnx_ir.passes.common import (
    ClearMetadataAndDocStringPass,
    CommonSubexpressionEliminationPass,
    DeduplicateInitializersPass,
    InlinePass,
    LiftConstantsToInitializersPass,
    NameFixPass,
    OutputFixPass,
    RemoveUnusedFunctionsPass,
    RemoveUnusedNodesPass,
    RemoveUnusedOpsetsPass,
)
from onnxscript import opset20
from onnxscript.optimizer import fold_constants
from torch.export import ExportedProgram

from medxgan.export.computations import Computation
from medxgan.export.errors import UnsupportedOperatorError
from medxgan.export.weight_file import SMALLEST, WeightFile

OPSET = opset20.version

LARGEST_WEIGHT = 2**31
"""Bytes; more than any has."""


def onnx_model(computation: Computation, program: ExportedProgram) -> Model:
    """The program as an ONNX model with the tensor names of the computation.

    Raises:
        UnsupportedOperatorError: ONNX has no form of an operator.
    """
    with _quiet_exporter(), _known_operators():
        exported = torch.onnx.export(
            program,
            dynamo=True,
            opset_version=OPSET,
            input_names=[each.name for each in computation.inputs],
            output_names=list(computation.outputs),
            custom_translation_table={torch.ops.aten.max_pool2d_with_indices.default: _max_pool2d_with_indices},
            optimize=False,
            verbose=False,
        )
    if exported is None:
        raise TypeError("torch.onnx.export returned no program")
    _tidy(exported.model)
    return exported.model


def part_of(model: Model, outputs: Sequence[str]) -> Model:
    """What these outputs need of a model, in the order that the model has them. Every input stays.

    ONNX Runtime computes a whole graph whichever outputs are fetched; a graph of its own for a part does less work and
    is fused better. Its fast layout for convolutions ends at a MaxPool that gives indices, read or not: where the part
    leaves them unread, they go.
    """
    part = model.clone()
    part.graph.outputs[:] = [output for output in part.graph.outputs if output.name in outputs]
    RemoveUnusedNodesPass()(part)
    return part


def write_onnx(model: Model, file: Path, weights: WeightFile) -> None:
    """Write a model, its large weights into the file of weights beside it. The model then refers to that file."""
    model.graph.name = file.stem
    for value in model.graph.initializers.values():
        tensor = value.const_value
        if tensor is None or tensor.nbytes < SMALLEST:
            continue
        content = tensor.tobytes()
        value.const_value = ExternalTensor(
            weights.file.name,
            weights.add(content),
            len(content),
            tensor.dtype,
            shape=Shape(tensor.shape.numpy()),
            name=value.name or "",
            base_dir=weights.file.parent,
        )
    save(model, file)


def _max_pool2d_with_indices(
    x: Any,
    kernel_size: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0, 0),
    dilation: Sequence[int] = (1, 1),
    ceil_mode: bool = False,
) -> tuple[Any, Any]:
    """Max-pooling of x: [B, C, H, W] with H and W fixed.

    PyTorch counts positions within each H x W plane, ONNX from the first plane of all. The exporter's own translation
    finds the difference by a second max-pooling of the whole of x; the remainder of a division does as well.
    """
    pooled, positions = opset20.MaxPool(
        x,
        kernel_shape=kernel_size,
        strides=stride or kernel_size,
        pads=[*padding, *padding],
        dilations=dilation,
        ceil_mode=int(ceil_mode),
    )
    plane: Any = opset20.Constant(value_int=x.shape[2] * x.shape[3])
    return pooled, opset20.Mod(positions, plane)


def _tidy(model: Model) -> None:
    """Simplify the graph without changing a bit of what it computes.

    The exporter's own optimizer is not used: it takes numbers that are nearly 0 for 0, and drops Adam's epsilon.
    """
    InlinePass()(model)
    _untranspose(model.graph)
    fold_constants(model)
    simplify = Sequential(
        RemoveUnusedNodesPass(),
        RemoveUnusedFunctionsPass(),  # type: ignore[no-untyped-call]
        RemoveUnusedOpsetsPass(),
        LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
        # Large weights too: what is computed twice of the same picture is found by its weights being the same.
        DeduplicateInitializersPass(size_limit=LARGEST_WEIGHT),
        CommonSubexpressionEliminationPass(),
        OutputFixPass(),
        NameFixPass(),
        # Stack traces and module names say where the graph was made, not what it computes.
        ClearMetadataAndDocStringPass(),
    )
    simplify(model)


def _untranspose(graph: Graph) -> None:
    """Let linear layers read their weight as it is stored, forward and back, instead of two transposed copies of it."""
    for node in graph:
        for index, value in enumerate(node.inputs[:2]):
            transposed = _transposed(value.producer() if value is not None else None)
            if transposed is None:
                continue
            if node.op_type == "Gemm":
                key = ("transA", "transB")[index]
                flag = node.attributes.get_int(key, 0)
                node.attributes[key] = AttrInt64(key, 1 - flag)
                node.replace_input_with(index, transposed)
            elif (twice := _transposed(transposed.producer())) is not None:
                node.replace_input_with(index, twice)


def _transposed(node: Node | None) -> Value | None:
    """What a node swaps the two axes of, or None where it does anything else."""
    if node is None or node.op_type != "Transpose" or node.attributes.get_ints("perm", ()) != (1, 0):
        return None
    return node.inputs[0]


@contextmanager
def _known_operators() -> Iterator[None]:
    """Say which operator the exporter can't translate."""
    try:
        yield
    except torch.onnx.OnnxExporterError as error:
        operator = re.search(r"(?:aten|prims|torchvision)[.:]+[\w.]+", str(error.__cause__ or error))
        name = "of a network" if operator is None else operator.group()
        raise UnsupportedOperatorError(name, "has no form in ONNX") from error


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Keep back what the exporter says of itself: a deprecated call of its own, and operators of absent libraries."""
    logger = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)` is deprecated", FutureWarning)
            yield
    finally:
        logger.setLevel(level)
