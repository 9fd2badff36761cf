"""Every stored graph against PyTorch, before a bundle is let out."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import onnxruntime
import torch
from torch import Tensor

from medxgan.export.comparison import GRADIENT, VALUE, Output, require_agreement, require_variation
from medxgan.export.freezing import frozen
from medxgan.export.reference import reference_attribution
from medxgan.export.step_verification import Runner, likely_images, verify_step
from medxgan.training.model import TrainedModel
from medxgan.v1.bundle_pb2 import (
    GRAPH_FORMAT_ONNX,
    GRAPH_ROLE_ATTRIBUTION,
    GRAPH_ROLE_CLASSIFIER,
    GRAPH_ROLE_ENCODER,
    GRAPH_ROLE_GENERATOR,
    GRAPH_ROLE_INVERSION_STEP,
    GRAPH_ROLE_PREPROCESS,
    Graph,
    GraphRole,
)

BATCHES = (1, 3, 8)

DRAWS = 10
"""Batches of each size that a graph without state is tried with."""

Draw = Callable[[int, torch.Generator], dict[str, Tensor]]
"""Inputs of a graph: from the batch and a source of randomness."""


def verify(model: TrainedModel, graphs: list[Graph], folder: Path) -> None:
    """Check the stored graphs.

    Args:
        model: what they ought to compute.
        graphs: what the folder holds.
        folder: of the graphs.

    Raises:
        VerificationError: a graph disagrees with PyTorch.
    """
    model = replace(
        model,
        preprocess=frozen(model.preprocess),
        classifier=frozen(model.classifier),
        generator=frozen(model.generator),
        encoder=None if model.encoder is None else frozen(model.encoder),
    )
    for graph in graphs:
        run = _onnx_runner(graph, folder) if graph.format == GRAPH_FORMAT_ONNX else _program_runner(graph, folder)
        for batch in BATCHES:
            if graph.role == GRAPH_ROLE_INVERSION_STEP:
                verify_step(model, graph.file, run, batch)
            else:
                verify_stateless(graph.file, run, _draw(model, graph.role), _reference(model, graph.role), batch)


def verify_stateless(graph: str, run: Runner, draw: Draw, reference: Runner, batch: int) -> None:
    """Check a graph without state at one batch size.

    Args:
        graph: file name, for messages.
        run: runs the stored graph.
        draw: makes its inputs.
        reference: what it ought to compute.
        batch: rows.

    Raises:
        VerificationError: it disagrees, or gives the same for different inputs.
    """
    random = torch.Generator().manual_seed(batch)
    inputs = [draw(batch, random) for _ in range(DRAWS)]
    computed = [run(each) for each in inputs]
    expected = [reference(each) for each in inputs]
    for name in expected[0]:
        output = Output(graph, name, batch)
        found = torch.cat([each[name] for each in computed])
        wanted = torch.cat([each[name] for each in expected])
        largest = wanted.reshape(len(wanted), -1).abs().amax(1).reshape(-1, *[1] * (wanted.ndim - 1))
        if name.endswith(("gradient", "gradients")):
            require_agreement(output, found, wanted, largest, GRADIENT)
            require_variation(output, found, largest, "the input")
        else:
            # Pictures, latent codes and logits are all of the order of 1.
            require_agreement(output, found, wanted, largest.clamp_min(1), VALUE)
            require_variation(output, found, largest, "the input")


def _draw(model: TrainedModel, role: GraphRole) -> Draw:
    """What a graph of this role is tried with."""
    latents = model.generator.z1_size + model.generator.z2_size

    def levels(batch: int, random: torch.Generator) -> dict[str, Tensor]:
        height, width = torch.randint(model.image.size // 2, 4 * model.image.size, (2,), generator=random).tolist()
        depth = 255 if height % 2 else 65535
        return {
            "image": torch.randint(0, depth, (batch, 1, height, width), generator=random).float(),
            "inverted": torch.randint(0, 2, (batch,), generator=random).float(),
        }

    def code(batch: int, random: torch.Generator) -> dict[str, Tensor]:
        return {"z": torch.randn(batch, latents, generator=random)}

    def picture(batch: int, random: torch.Generator) -> dict[str, Tensor]:
        return {"x": likely_images(model.generator, batch, random)}

    return {GRAPH_ROLE_PREPROCESS: levels, GRAPH_ROLE_GENERATOR: code}.get(role, picture)


def _reference(model: TrainedModel, role: GraphRole) -> Runner:
    """What a graph of this role ought to compute."""

    def encode(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        if model.encoder is None:
            raise ValueError("an encoder's graph of a model without encoder")
        return {"z": model.encoder(inputs["x"])}

    references: dict[GraphRole, Runner] = {
        GRAPH_ROLE_PREPROCESS: lambda inputs: {"x": model.preprocess(inputs["image"], inputs["inverted"])},
        GRAPH_ROLE_CLASSIFIER: lambda inputs: {"logit": model.classifier(inputs["x"])},
        GRAPH_ROLE_GENERATOR: lambda inputs: {"image": model.generator(inputs["z"])},
        GRAPH_ROLE_ENCODER: encode,
        GRAPH_ROLE_ATTRIBUTION: lambda inputs: reference_attribution(model.classifier, inputs["x"]),
    }
    return references[role]


def _onnx_runner(graph: Graph, folder: Path) -> Runner:
    """Runs an ONNX graph by the names that its description states."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(folder / graph.file, options, providers=["CPUExecutionProvider"])
    names = [each.name for each in graph.outputs]

    def run(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        outputs = session.run(names, {name: value.numpy() for name, value in inputs.items()})
        return {name: torch.from_numpy(value) for name, value in zip(names, outputs, strict=True)}

    return run


def _program_runner(graph: Graph, folder: Path) -> Runner:
    """Runs a `torch.export` program, whose tensors have the order of its description instead of names."""
    program = torch.export.load(folder / graph.file).module()

    def run(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        outputs = program(*(inputs[each.name] for each in graph.inputs))
        return {each.name: value for each, value in zip(graph.outputs, outputs, strict=True)}

    return run
