"""Every stored graph against PyTorch, before a bundle is let out."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import onnxruntime
import torch
from torch import Tensor

from medxgan.export.comparison import GRADIENT, ROUNDING, VALUE, Output, require_agreement, require_variation
from medxgan.export.computations import frozen
from medxgan.export.inversion_step import STEP_INPUTS, STEP_OUTPUTS
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

Inputs = dict[str, Tensor]
Outputs = dict[str, Tensor]


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
        run = _onnx_runner(folder / graph.file) if graph.format == GRAPH_FORMAT_ONNX else _program_runner(folder / graph.file)
        for batch in BATCHES:
            if graph.role == GRAPH_ROLE_INVERSION_STEP:
                verify_step(model, graph.file, run, batch)
            else:
                draw, reference = _stateless(model, graph.role)
                verify_stateless(graph.file, run, draw, reference, batch)
