"""From a trained model to a bundle: the graphs, their description and the model card in one folder."""

import hashlib
import re
import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path

import protovalidate
from google.protobuf import json_format
from google.protobuf.message import Message

from medxgan.export.computations import Computation, computations
from medxgan.export.errors import DescriptionError, DestinationError
from medxgan.export.model_card import model_card
from medxgan.export.onnx_graphs import OPSET, write_onnx
from medxgan.export.programs import export_program, output_specifications, write_program
from medxgan.export.verification import verify, verify_conversion
from medxgan.training.model import TrainedModel
from medxgan.training.networks import ExternalClassifier
from medxgan.v1.bundle_pb2 import (
    GRAPH_FORMAT_ONNX,
    GRAPH_FORMAT_TORCH_EXPORT,
    GRAPH_ROLE_INVERSION_STEP,
    Bundle,
    Graph,
    GraphFormat,
    LatentSpecification,
)

SCHEMA_VERSION = 1
DESCRIPTION_FILE = "bundle.json"
CARD_FILE = "MODEL_CARD.md"

NAME_PATTERN = r"[a-z0-9][a-z0-9-]{0,62}"
VERSION_PATTERN = r"[1-9][0-9]{0,8}"

EXPORTERS = ("medxgan", "onnx", "onnxruntime", "onnxscript", "torch")
"""Libraries that have a say in what the graphs look like."""


def export_bundle(model: TrainedModel, out: Path) -> None:
    """Write a model's bundle. Every graph is first compared with PyTorch; without agreement nothing is written.

    Args:
        model: the trained networks and their description.
        out: the folder NAME/VERSION to write; it must not hold anything yet.

    Raises:
        DestinationError: `out` is not such a folder.
        UnsupportedOperatorError: the networks hold an operator that can't be stored, or whose gradient can't.
        TracingError: a network can't be written as one graph.
        DescriptionError: the model's description is not valid.
        VerificationError: a graph disagrees with PyTorch.
    """
    out = out.absolute()
    _check_destination(out)
    description = _describe(model, name=out.parent.name, number=out.name)
    if model.classifier_file is not None and isinstance(model.classifier, ExternalClassifier):
        verify_conversion(model.classifier_file, model.classifier, model.image.size)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / out.name
        folder.mkdir()
        for computation in computations(model):
            graphs = _write_graphs(computation, folder)
            verify(model, graphs, folder)
            description.graphs.extend(graphs)
        _validate("bundle", description)
        stored = json_format.MessageToJson(description, preserving_proto_field_name=True, indent=2, sort_keys=True)
        (folder / DESCRIPTION_FILE).write_text(stored + "\n", encoding="utf-8")
        (folder / CARD_FILE).write_text(model_card(description), encoding="utf-8")
        out.parent.mkdir(parents=True, exist_ok=True)
        if out.exists():
            out.rmdir()
        shutil.move(folder, out)


def _check_destination(out: Path) -> None:
    """See that `out` can become NAME/VERSION."""
    if not re.fullmatch(NAME_PATTERN, out.parent.name):
        raise DestinationError(
            f"{out}: expected NAME/VERSION with a name of lower-case letters, digits and hyphens, "
            f'found the name "{out.parent.name}"'
        )
    if not re.fullmatch(VERSION_PATTERN, out.name):
        raise DestinationError(f'{out}: expected NAME/VERSION with a whole number as version, found "{out.name}"')
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DestinationError(f"{out}: exists already; a bundle never changes, so give it another version")


def _write_graphs(computation: Computation, folder: Path) -> list[Graph]:
    """Write a computation in every format that a server may want it in, and describe the files."""
    program = export_program(computation)
    outputs = output_specifications(computation, program)

    def describe(file: Path, graph_format: GraphFormat, opset: int) -> Graph:
        return Graph(
            role=computation.role,
            format=graph_format,
            file=file.name,
            sha256=hashlib.sha256(file.read_bytes()).hexdigest(),
            opset=opset,
            inputs=computation.inputs,
            outputs=outputs,
        )

    file = folder / f"{computation.name}.onnx"
    write_onnx(computation, program, file)
    graphs = [describe(file, GRAPH_FORMAT_ONNX, OPSET)]
    if computation.role == GRAPH_ROLE_INVERSION_STEP:
        file = folder / f"{computation.name}.pt2"
        write_program(program, file)
        graphs.append(describe(file, GRAPH_FORMAT_TORCH_EXPORT, 0))
    return graphs


def _describe(model: TrainedModel, name: str, number: str) -> Bundle:
    """The bundle's description, but for its graphs.

    Raises:
        DescriptionError: a field breaks a rule of bundle.proto, or the parts of the model have different sizes.
    """
    generator = model.generator
    sizes = {"description": model.image.size, "preprocessing": model.preprocess.size}
    if generator is not None:
        sizes["generator"] = generator.image_size
    if len({*sizes.values()}) > 1:
        found = ", ".join(f"{size} in the {part}" for part, size in sizes.items())
        raise DescriptionError(f"image.size: expected one size, found {found}")
    description = Bundle(
        schema_version=SCHEMA_VERSION,
        name=name,
        version=number,
        image=model.image,
        classification=model.classification,
        latent=None if generator is None else LatentSpecification(z1_size=generator.z1_size, z2_size=generator.z2_size),
        inversion=model.inversion,
        reliability=model.reliability,
        provenance=model.provenance,
        metrics=model.metrics,
    )
    for library in EXPORTERS:
        description.provenance.versions[f"{library} (export)"] = version(library)
    parts: dict[str, Message] = {
        "image": description.image,
        "classification": description.classification,
        "provenance": description.provenance,
    }
    if generator is not None:
        parts |= {
            "latent": description.latent,
            "inversion": description.inversion,
            "reliability": description.reliability,
        }
    parts |= {f"metrics[{index}]": metric for index, metric in enumerate(description.metrics)}
    for part, message in parts.items():
        _validate(part, message)
    return description


def _validate(part: str, message: Message) -> None:
    try:
        protovalidate.validate(message)
    except protovalidate.ValidationError as error:
        raise DescriptionError(f"{part}: {error}") from error
