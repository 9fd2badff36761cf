"""The file: the graph, what it says of itself, and how it is checked before it is let out."""

import json
import tempfile
from importlib.metadata import version
from pathlib import Path

from onnx_ir import Model, save
from onnx_ir.external_data import load_to_model
from onnx_ir.passes import Sequential
from onnx_ir.passes.common import ClearMetadataAndDocStringPass, NameFixPass, RemoveUnusedNodesPass

from medxgan.bundle import LoadedBundle, load_bundle
from medxgan.bundle.graphs import output_names
from medxgan.export.errors import DestinationError, UnsupportedBundleError
from medxgan.export.one_file.explanation import explanation_graph
from medxgan.export.one_file.tensors import reason_name, status_name
from medxgan.export.one_file.verdict import REASONS, STATUSES
from medxgan.export.one_file.verification import verify_one_file

IR_VERSION = 10
"""Of the bundle's own graphs."""

LARGEST_WEIGHTS = 2**31 - 2**24
"""Bytes: a protobuf message has less than 2**31, and the nodes take some of them."""

RESEARCH_USE = "Research use only. Not a medical device."
PORTABILITY = (
    "For runtimes where medxgan does not run. The inversion is an ONNX Loop, which breaks CUDA graphs and TensorRT's "
    "engines: on a GPU serve the bundle."
)
"""Said in the file's metadata."""


def write_one_file(folder: Path, out: Path, *, with_defaults: bool = True) -> None:
    """Write a bundle's explanation as one file. It is compared with the bundle's graphs before it is let out.

    Args:
        folder: the bundle, NAME/VERSION/.
        out: the file to write; it must not exist yet.
        with_defaults: whether its settings are inputs that a caller may leave out, to have those of the bundle. Not
            every runtime lets a caller give an input that has a default.

    Raises:
        DestinationError: there is such a file, or no folder for it.
        BundleError: the folder holds no bundle, or a damaged one.
        UnsupportedBundleError: the bundle has no generator, or its weights are too large for one file.
        VerificationError: the file does not compute what the bundle's graphs compute.
    """
    if out.exists():
        raise DestinationError(f"{out}: exists already")
    if not out.absolute().parent.is_dir():
        raise DestinationError(f"{out}: there is no folder {out.absolute().parent}")
    bundle = load_bundle(folder)
    model = one_file_model(bundle, with_defaults=with_defaults)
    with tempfile.TemporaryDirectory(dir=out.absolute().parent) as temporary:
        made = Path(temporary) / out.name
        save(model, made)
        verify_one_file(bundle, made)
        made.replace(out)


def one_file_model(bundle: LoadedBundle, *, with_defaults: bool = True) -> Model:
    """The explanation as a model, its weights in memory. The arguments are those of `write_one_file`.

    Raises:
        UnsupportedBundleError: the bundle has no generator, or its weights are too large for one file.
    """
    graph = explanation_graph(bundle, with_defaults=with_defaults)
    model = Model(graph, ir_version=IR_VERSION, producer_name="medxgan", producer_version=version("medxgan"))
    tidy = Sequential(RemoveUnusedNodesPass(), NameFixPass(), ClearMetadataAndDocStringPass())
    tidy(model)
    load_to_model(model)
    size = sum(value.const_value.nbytes for value in graph.initializers.values() if value.const_value is not None)
    if size > LARGEST_WEIGHTS:
        raise UnsupportedBundleError(
            f"{bundle.name}: expected at most {LARGEST_WEIGHTS} bytes of weights for one file, got {size}"
        )
    description = bundle.description
    classification = description.classification
    graph.doc_string = (
        f"Explains {classification.positive_class} in one image ({description.image.modality}). {RESEARCH_USE}"
    )
    model.metadata_props.update(
        {
            "model": description.name,
            "version": description.version,
            "bundle_sha256": bundle.sha256,
            "classes": json.dumps(output_names(classification)),
            "positive_class": classification.positive_class,
            "negative_class": classification.negative_class,
            "decision_threshold": repr(classification.decision_threshold),
            "verdicts": json.dumps({int(status): status_name(status) for status in STATUSES}),
            "reasons": json.dumps([reason_name(code) for code in REASONS]),
            "license": description.provenance.license,
            "intended_use": RESEARCH_USE,
            "portability": PORTABILITY,
        }
    )
    return model
