"""From a program to an ONNX file."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from onnx_ir.passes.common import ClearMetadataAndDocStringPass
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
            verbose=False,
        )
    if exported is None:
        raise TypeError("torch.onnx.export returned no program")
    # Stack traces and module names say where the graph was made, not what it computes.
    ClearMetadataAndDocStringPass()(exported.model)
    exported.model.graph.name = computation.name
    exported.save(file, external_data=False)


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
