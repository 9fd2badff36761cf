"""From a computation to a `torch.export` program, and its file for the Torch engine."""

import math
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from medxgan.export.computations import ANY, Computation
from medxgan.export.weight_file import SMALLEST, WeightFile
from medxgan.v1.bundle_pb2 import DATA_TYPE_FLOAT32, Graph, StoredWeight, TensorSpecification

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
    # The sample is of no use either, and as large as the weights.
    program.example_inputs = None
    return program


def output_specifications(computation: Computation, program: ExportedProgram) -> dict[str, TensorSpecification]:
    """Names, types and shapes of the program's results, by name."""
    (output,) = program.graph.find_nodes(op="output")
    return {
        name: TensorSpecification(
            name=name,
            data_type=DATA_TYPE_FLOAT32,
            shape=[extent if isinstance(extent, int) else ANY for extent in node.meta["val"].shape],
        )
        for name, node in zip(computation.outputs, output.args[0], strict=True)
    }


def write_program(program: ExportedProgram, file: Path, weights: WeightFile) -> list[StoredWeight]:
    """Save the program for `torch.export.load`, its large weights blank, and say where these are.

    `read_program` puts them back; any reader has to, before it makes a module of the program.
    """
    places: list[StoredWeight] = []
    originals: list[tuple[dict[str, Tensor], str, Tensor]] = []
    for stored in (program.state_dict, program.constants):
        for name, value in stored.items():
            if not isinstance(value, Tensor) or value.dtype != torch.float32 or value.nbytes < SMALLEST:
                continue
            offset = weights.add(value.detach().cpu().contiguous().numpy().astype("<f4").tobytes())
            places.append(StoredWeight(name=name, shape=value.shape, file=weights.file.name, offset=offset))
            originals.append((stored, name, value))
    for stored, name, value in originals:
        stored[name] = _blank(value)
    try:
        with warnings.catch_warnings():
            # A blank weight does not fill its storage by itself; that is what makes it small.
            warnings.filterwarnings("ignore", "No complete tensor found in the group", UserWarning)
            torch.export.save(program, file)
    finally:
        for stored, name, value in originals:
            stored[name] = value
    return places


def read_program(graph: Graph, folder: Path) -> ExportedProgram:
    """The program that a bundle's graph names, its weights put back."""
    program = torch.export.load(folder / graph.file)
    for weight in graph.weights:
        count = math.prod(weight.shape)
        values = np.fromfile(folder / weight.file, "<f4", count, offset=weight.offset).reshape(weight.shape)
        stored = program.state_dict if weight.name in program.state_dict else program.constants
        stored[weight.name] = _like(stored[weight.name], torch.from_numpy(values))
    return program


def _blank(weight: Tensor) -> Tensor:
    """Zeros of the same shape, type and kind that take the room of a single one."""
    return _like(weight, torch.zeros((), dtype=weight.dtype).expand(weight.shape))


def _like(weight: Tensor, values: Tensor) -> Tensor:
    """Values as a parameter where the weight is one: a program keeps the two kinds apart."""
    return nn.Parameter(values, requires_grad=False) if isinstance(weight, nn.Parameter) else values
