"""Reads a model bundle and refuses one whose schema, hashes or shapes do not agree, saying which."""

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from medxgan.bundle.errors import BundleError
from medxgan.bundle.graphs import (
    ATTRIBUTION_PARTS,
    GENERATOR_ROLES,
    PARTED_ROLES,
    REQUIRED_ROLES,
    Shape,
    signature,
)
from medxgan.bundle.hashing import sha256_of
from medxgan.bundle.schema import CARD_FILE, DESCRIPTION_FILE, SIGNATURES_FILE, parse_description
from medxgan.v1 import bundle_pb2
from medxgan.v1.bundle_pb2 import GraphFormat, GraphRole

_FLOAT32_BYTES = 4


@dataclass(frozen=True)
class LoadedBundle:
    """A bundle that passed every check.

    Attributes:
        folder: the folder NAME/VERSION/ that holds the graphs.
        description: the content of `bundle.json`.
        sha256: SHA-256 of `bundle.json`, lower-case hexadecimal; it holds the hash of every other file.
        signed_by: id of a trusted key whose signature was checked; empty where none was, or none was asked for.
    """

    folder: Path
    description: bundle_pb2.Bundle
    sha256: str
    signed_by: str = ""

    @property
    def name(self) -> str:
        """NAME/VERSION."""
        return f"{self.description.name}/{self.description.version}"

    @property
    def has_generator(self) -> bool:
        """Whether there is a generator to invert; else the bundle classifies and attributes only."""
        return self.description.HasField("latent")

    def graphs(self, role: GraphRole, form: GraphFormat = bundle_pb2.GRAPH_FORMAT_ONNX) -> tuple[bundle_pb2.Graph, ...]:
        """The graphs of this role in this format, the cheapest first; of most roles there is one or none."""
        return tuple(graph for graph in self.description.graphs if (graph.role, graph.format) == (role, form))

    def whole_graph(self, role: GraphRole) -> bundle_pb2.Graph:
        """The ONNX graph of this role that has the most outputs; the bundle has one."""
        return max(self.graphs(role), key=lambda graph: len(graph.outputs))

    def graph(self, role: GraphRole, form: GraphFormat = bundle_pb2.GRAPH_FORMAT_ONNX) -> bundle_pb2.Graph | None:
        """The graph of this role in this format, the cheapest of several, or None where the bundle has none."""
        return next(iter(self.graphs(role, form)), None)


def load_bundle(folder: Path) -> LoadedBundle:
    """Read the bundle in the folder NAME/VERSION/ and check all of it.

    Raises:
        BundleError: something is missing or does not agree; the message names the file and the field.
    """
    folder = folder.resolve()
    try:
        return _load(folder)
    except BundleError as error:
        raise BundleError(f"{folder.parent.name}/{folder.name}: {error}") from error


def _load(folder: Path) -> LoadedBundle:
    content = _content(folder / DESCRIPTION_FILE)
    description = parse_description(content)
    _check_identity(description, folder)
    _check_supported(description.image)
    if description.HasField("inversion"):
        _check_defaults(description.inversion)
    _check_roles(description)
    for graph in description.graphs:
        _check_signature(graph, description)
    _check_files(description, folder)
    return LoadedBundle(folder, description, hashlib.sha256(content).hexdigest())


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise BundleError(f"{file.name}: can't be read ({error.strerror})") from error


def _check_identity(bundle: bundle_pb2.Bundle, folder: Path) -> None:
    if bundle.name != folder.parent.name:
        raise BundleError(f"{DESCRIPTION_FILE}: name: {bundle.name!r} lies in the folder {folder.parent.name!r}")
    if bundle.version != folder.name:
        raise BundleError(f"{DESCRIPTION_FILE}: version: {bundle.version!r} lies in the folder {folder.name!r}")


def _check_supported(image: bundle_pb2.ImageSpecification) -> None:
    """See that it is what this release can serve of what the schema can say."""
    if image.channels != 1:
        raise BundleError(
            f"{DESCRIPTION_FILE}: image.channels: expected 1, since this release serves grey images only, "
            f"got {image.channels}"
        )
    if image.height != image.width:
        raise BundleError(
            f"{DESCRIPTION_FILE}: image.width: expected {image.height}, since this release serves square images only, "
            f"got {image.width}"
        )


def _check_defaults(inversion: bundle_pb2.InversionSpecification) -> None:
    learning_rates, weights = inversion.learning_rate_range, inversion.reconstruction_weight_range
    for field, low, default, high in (
        ("default_steps", 1, inversion.default_steps, inversion.maximum_steps),
        ("default_learning_rate", learning_rates.minimum, inversion.default_learning_rate, learning_rates.maximum),
        ("default_reconstruction_weight", weights.minimum, inversion.default_reconstruction_weight, weights.maximum),
    ):
        if not low <= default <= high:
            raise BundleError(f"{DESCRIPTION_FILE}: inversion.{field}: expected {low:g} to {high:g}, got {default:g}")


def _check_roles(bundle: bundle_pb2.Bundle) -> None:
    named = [(graph.role, graph.format, _part(graph)) for graph in bundle.graphs]
    filled = {(role, form) for role, form, _ in named}
    for role in (*REQUIRED_ROLES, *(GENERATOR_ROLES if bundle.HasField("latent") else ())):
        if (role, bundle_pb2.GRAPH_FORMAT_ONNX) not in filled:
            raise BundleError(f"{DESCRIPTION_FILE}: graphs: no ONNX graph of {GraphRole.Name(role)}")
    for role, form, part in named:
        if named.count((role, form, part)) > 1:
            raise BundleError(
                f"{DESCRIPTION_FILE}: graphs: {GraphRole.Name(role)} is named twice in {GraphFormat.Name(form)}"
            )
    parts = [
        tuple(output.name for output in graph.outputs)
        for graph in bundle.graphs
        if graph.role == bundle_pb2.GRAPH_ROLE_ATTRIBUTION
    ]
    if ATTRIBUTION_PARTS[-1] not in parts:
        raise BundleError(
            f"{DESCRIPTION_FILE}: graphs: no ONNX graph of GRAPH_ROLE_ATTRIBUTION with the outputs "
            f"{', '.join(ATTRIBUTION_PARTS[-1])}"
        )


def _part(graph: bundle_pb2.Graph) -> tuple[str, ...]:
    """What tells a graph from others of its role: its outputs, where there may be others."""
    return tuple(output.name for output in graph.outputs) if graph.role in PARTED_ROLES else ()


def _check_signature(graph: bundle_pb2.Graph, bundle: bundle_pb2.Bundle) -> None:
    expected = signature(graph.role, bundle)
    stated = {tensor.name for tensor in graph.outputs}
    outputs = {
        name: shape for name, shape in expected.outputs.items() if name in stated or name not in expected.optional
    }
    _check_tensors(f"{graph.file}: inputs", graph.inputs, expected.inputs)
    _check_tensors(f"{graph.file}: outputs", graph.outputs, outputs)


def _check_tensors(
    where: str, tensors: Iterable[bundle_pb2.TensorSpecification], expected: Mapping[str, Shape]
) -> None:
    stated = {tensor.name: tensor for tensor in tensors}
    if list(stated) != list(expected):
        raise BundleError(f"{where}: expected {', '.join(expected)}, got {', '.join(stated)}")
    for name, shape in expected.items():
        tensor = stated[name]
        if tensor.data_type != bundle_pb2.DATA_TYPE_FLOAT32:
            raise BundleError(f"{where}: {name}: expected float32")
        if not _agrees(tensor.shape, shape):
            raise BundleError(f"{where}: {name}: expected shape {_text(shape)}, got {_text(tensor.shape)}")


def _agrees(stated: Sequence[int], expected: Shape) -> bool:
    return len(stated) == len(expected) and all(
        extent == wanted or (wanted is None and extent > 0) for extent, wanted in zip(stated, expected, strict=True)
    )


def _text(shape: Iterable[int | None]) -> str:
    return "[" + ", ".join("*" if extent is None else str(extent) for extent in shape) + "]"


def _check_files(bundle: bundle_pb2.Bundle, folder: Path) -> None:
    """See that every file of the folder is the one that the description names.

    A file that it does not name is refused: an ONNX graph may read its weights from any file of its folder, and weights
    that no hash covers could change unseen.
    """
    hashes: dict[str, str] = {}
    stated = [(graph.file, graph.sha256) for graph in bundle.graphs]
    stated += [(data.file, data.sha256) for data in bundle.data_files]
    for name, sha256 in stated:
        try:
            found = hashes[name] = hashes.get(name) or sha256_of(folder / name)
        except OSError as error:
            raise BundleError(f"{name}: can't be read ({error.strerror})") from error
        if found != sha256:
            raise BundleError(f"{name}: SHA-256 is {found}, {DESCRIPTION_FILE} states {sha256}")
    for file in sorted(folder.iterdir()):
        if file.name not in {*hashes, DESCRIPTION_FILE, CARD_FILE, SIGNATURES_FILE}:
            raise BundleError(f"{file.name}: not named by {DESCRIPTION_FILE}, so that no hash covers what it holds")
    for graph in bundle.graphs:
        for weight in graph.weights:
            _check_weight(graph.file, weight, bundle, folder)


def _check_weight(graph: str, weight: bundle_pb2.StoredWeight, bundle: bundle_pb2.Bundle, folder: Path) -> None:
    if weight.file not in {file.file for file in bundle.data_files}:
        raise BundleError(f"{graph}: weights: {weight.name}: {weight.file} is not one of the data files")
    end = weight.offset + math.prod(weight.shape) * _FLOAT32_BYTES
    if end > (folder / weight.file).stat().st_size:
        raise BundleError(f"{graph}: weights: {weight.name}: reaches beyond the end of {weight.file}")
