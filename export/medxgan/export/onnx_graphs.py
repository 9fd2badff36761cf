"""From a program to an ONNX file."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from onnx_ir import Model
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
from onnxscript.optimizer import fold_constants
from torch.export import ExportedProgram

from medxgan.export.computations import Computation

OPSET = 20


def write_onnx(computation: Computation, program: ExportedProgram, file: Path) -> None:
    """Write the program as one ONNX file, weights inside, with the tensor names of the computation."""
    with _quiet_exporter():
        exported = torch.onnx.export(
            program,
            dynamo=True,
            opset_version=OPSET,
            input_names=[each.name for each in computation.inputs],
            output_names=list(computation.outputs),
            optimize=False,
            verbose=False,
        )
    if exported is None:
        raise TypeError("torch.onnx.export returned no program")
    _tidy(exported.model)
    exported.model.graph.name = computation.name
    exported.save(file, external_data=False)


def _tidy(model: Model) -> None:
    """Simplify the graph without changing a bit of what it computes.

    The exporter's own optimizer is not used: it takes numbers that are nearly 0 for 0, and drops Adam's epsilon.
    """
    InlinePass()(model)
    fold_constants(model)
    simplify = Sequential(
        RemoveUnusedNodesPass(),
        RemoveUnusedFunctionsPass(),  # type: ignore[no-untyped-call]
        RemoveUnusedOpsetsPass(),
        LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
        DeduplicateInitializersPass(),
        CommonSubexpressionEliminationPass(),
        OutputFixPass(),
        NameFixPass(),
        # Stack traces and module names say where the graph was made, not what it computes.
        ClearMetadataAndDocStringPass(),
    )
    simplify(model)


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
