"""From a trained model to a bundle: the graphs, their description and the model card in one folder."""

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path

import protovalidate
from google.protobuf.message import Message

from medxgan.bundle import load_bundle
from medxgan.bundle.hashing import sha256_of
from medxgan.bundle.schema import (
    CARD_FILE,
    DESCRIPTION_FILE,
    NAME_PATTERN,
    SCHEMA_VERSION,
    VERSION_PATTERN,
    WEIGHTS_FILE,
    description_json,
)
from medxgan.export.computations import Computation, computations
from medxgan.export.errors import DescriptionError, DestinationError
from medxgan.export.model_card import model_card
from medxgan.export.onnx_graphs import OPSET, onnx_model, part_of, write_onnx
from medxgan.export.programs import export_program, output_specifications, write_program
from medxgan.export.verification import verify, verify_conversion
from medxgan.export.weight_file import WeightFile
from medxgan.training.model import TrainedModel
from medxgan.training.networks import ExternalClassifier
from medxgan.v1.bundle_pb2 import (
    GRAPH_FORMAT_ONNX,
    GRAPH_FORMAT_TORCH_EXPORT,
    GRAPH_ROLE_INVERSION_STEP,
    Bundle,
    DataFile,
    Graph,
    LatentSpecification,
)

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
    check_destination(out)
    description = _describe(model, name=out.parent.name, number=out.name)
    if model.classifier_file is not None and isinstance(model.classifier, ExternalClassifier):
        verify_conversion(model.classifier_file, model.classifier, model.image.height)
    with being_written(out) as folder:
        folder.mkdir()
        weights = WeightFile(folder / WEIGHTS_FILE)
        for computation in computations(model, description):
            graphs = _write_graphs(computation, folder, weights)
            verify(model, graphs, folder)
            description.graphs.extend(graphs)
        if weights.file.exists():
            description.data_files.append(DataFile(file=WEIGHTS_FILE, sha256=sha256_of(weights.file)))
        _validate("bundle", description)
        (folder / DESCRIPTION_FILE).write_text(description_json(description), encoding="utf-8")
        (folder / CARD_FILE).write_text(model_card(description), encoding="utf-8")
        load_bundle(folder)


@contextmanager
def being_written(out: Path) -> Iterator[Path]:
    """A folder NAME/VERSION, still to be made, that becomes `out` in one step when all went well.

    It lies beside `out`, on the same file system: a server that looks for new bundles sees all of one or none.

    Args:
        out: the bundle's folder, absolute; it must not hold anything.
    """
    new = [folder for folder in out.parents if not folder.exists()]
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=".") as temporary:
            made = Path(temporary) / out.parent.name / out.name
            made.parent.mkdir()
            yield made
            made.replace(out)
    except BaseException:
        with suppress(OSError):  # something else came there meanwhile
            for folder in new:
                folder.rmdir()
        raise


def check_destination(out: Path) -> None:
    """See that `out` can become the folder NAME/VERSION of a new bundle.

    Raises:
        DestinationError: it has another name, or holds something.
    """
    if not re.fullmatch(NAME_PATTERN, out.parent.name):
        raise DestinationError(
            f"{out}: expected NAME/VERSION with a name of lower-case letters, digits and hyphens, "
            f'found the name "{out.parent.name}"'
        )
    if not re.fullmatch(VERSION_PATTERN, out.name):
        raise DestinationError(f'{out}: expected NAME/VERSION with a whole number as version, found "{out.name}"')
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DestinationError(f"{out}: exists already; a bundle never changes, so give it another version")


def _write_graphs(computation: Computation, folder: Path, weights: WeightFile) -> list[Graph]:
    """Write a computation in every format and part that a server may want it in, and describe the files."""
    program = export_program(computation)
    specifications = output_specifications(computation, program)
    model = onnx_model(computation, program)
    graphs = []
    for name, outputs in computation.files.items():
        file = folder / f"{name}.onnx"
        write_onnx(part_of(model, outputs), file, weights)
        graphs.append(
            Graph(
                role=computation.role,
                format=GRAPH_FORMAT_ONNX,
                file=file.name,
                sha256=sha256_of(file),
                opset=OPSET,
                inputs=computation.inputs,
                outputs=[specifications[output] for output in outputs],
            )
        )
    if computation.role == GRAPH_ROLE_INVERSION_STEP:
        file = folder / "inversion_step.pt2"
        places = write_program(program, file, weights)
        graphs.append(
            Graph(
                role=computation.role,
                format=GRAPH_FORMAT_TORCH_EXPORT,
                file=file.name,
                sha256=sha256_of(file),
                inputs=computation.inputs,
                outputs=specifications.values(),
                weights=places,
            )
        )
    return graphs


def _describe(model: TrainedModel, name: str, number: str) -> Bundle:
    """The bundle's description, but for its graphs.

    Raises:
        DescriptionError: a field breaks a rule of bundle.proto, or the parts of the model have different sizes.
    """
    generator = model.generator
    sizes = {"description": (model.image.height, model.image.width)}
    sizes["preprocessing"] = (model.preprocess.size,) * 2
    if generator is not None:
        sizes["generator"] = (generator.image_size,) * 2
    if len({*sizes.values()}) > 1:
        found = ", ".join(f"{height} x {width} in the {part}" for part, (height, width) in sizes.items())
        raise DescriptionError(f"image: expected one size, found {found}")
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
        familiarity=None if model.familiarity is None else model.familiarity.description,
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
    if model.familiarity is not None:
        parts["familiarity"] = description.familiarity
    parts |= {f"metrics[{index}]": metric for index, metric in enumerate(description.metrics)}
    for part, message in parts.items():
        _validate(part, message)
    return description


def _validate(part: str, message: Message) -> None:
    try:
        protovalidate.validate(message)
    except protovalidate.ValidationError as error:
        raise DescriptionError(f"{part}: {error}") from error
