"""Files of a whole explanation, and the bundles that they are written from."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import typer
from numpy.typing import NDArray

from medxgan.bundle.hashing import sha256_of
from medxgan.export.command import export_onnx

ROOT = Path(__file__).parents[2]
MODELS = ROOT / "models"

Results = Mapping[str, NDArray[np.generic]]

STATUSES = {1: "RELIABLE", 2: "NOT_RELIABLE", 3: "NOT_APPLICABLE"}
REASONS = (
    "RECONSTRUCTION_TOO_FAR",
    "CLASSIFIER_DISAGREES",
    "NEGATIVE_IS_POSITIVE",
    "IMAGE_IS_NEGATIVE",
    "IMAGE_UNFAMILIAR",
    "APPLIED_NEGATIVE_IS_POSITIVE",
    "DIFFERENCE_TOO_WEAK",
)


def session_of(file: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # it warns of inputs that have a default
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])


def varied(bundle: Path, folder: Path, **inversion: object) -> Path:
    """A shipped bundle with another `inversion` in its description."""
    copy = folder / bundle.parent.name / bundle.name
    shutil.copytree(bundle, copy)
    description = json.loads((copy / "bundle.json").read_text())
    description["inversion"] |= inversion
    (copy / "bundle.json").write_text(json.dumps(description))
    return copy


def drop_first_guess(bundle: Path) -> None:
    """Take the output z from a bundle's OPEN graph."""
    file = bundle / "open.onnx"
    model = onnx.load(file, load_external_data=False)
    outputs = [output for output in model.graph.output if output.name != "z"]
    del model.graph.output[:]
    model.graph.output.extend(outputs)
    onnx.save(model, file)
    description = json.loads((bundle / "bundle.json").read_text())
    (graph,) = (graph for graph in description["graphs"] if graph["file"] == file.name)
    graph["outputs"] = [output for output in graph["outputs"] if output["name"] != "z"]
    graph["sha256"] = sha256_of(file)
    (bundle / "bundle.json").write_text(json.dumps(description))


def command() -> typer.Typer:
    app = typer.Typer()
    app.command()(export_onnx)
    return app
