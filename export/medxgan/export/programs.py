"""From a computation to a `torch.export` program, and its file for the Torch engine."""

from pathlib import Path

import torch
from torch.export import Dim, ExportedProgram

from medxgan.export.computations import ANY, Computation
from medxgan.v1.bundle_pb2 import DATA_TYPE_FLOAT32, TensorSpecification

FREE_AXES = {0: Dim("batch", min=1, max=65536), 2: Dim("height", min=8, max=16384), 3: Dim("width", min=8, max=16384)}
"""The axes that a graph may leave free."""


def export_program(computation: Computation) -> ExportedProgram:
    """The computation as a program with free axes where its inputs say so, and no trace of the machine that made it."""
    shapes = tuple(
        {axis: FREE_AXES[axis] for axis, extent in enumerate(each.shape) if extent == ANY}
        for each in computation.inputs
    )
    program = torch.export.export(computation.module, computation.sample(), dynamic_shapes=shapes)
    for node in program.graph.nodes:
        # Where in the source a node comes from: paths of this machine, of no use to a reader of the file.
        for key in ("stack_trace", "source_fn_stack", "nn_module_stack", "torch_fn", "from_node"):
            node.meta.pop(key, None)
    return program


def output_specifications(computation: Computation, program: ExportedProgram) -> list[TensorSpecification]:
    """Names, types and shapes of the program's results."""
    (output,) = program.graph.find_nodes(op="output")
    return [
        TensorSpecification(
            name=name,
            data_type=DATA_TYPE_FLOAT32,
            shape=[extent if isinstance(extent, int) else ANY for extent in node.meta["val"].shape],
        )
        for name, node in zip(computation.outputs, output.args[0], strict=True)
    ]


def write_program(program: ExportedProgram, file: Path) -> None:
    """Save the program for `torch.export.load`."""
    torch.export.save(program, file)
