"""Reads a model bundle and refuses one whose schema, hashes or shapes do not agree, saying which."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import protovalidate
from google.protobuf import json_format

from medxgan.server.errors import BundleError
from medxgan.server.graphs import GENERATOR_ROLES, REQUIRED_ROLES, Shape, signature
from medxgan.v1 import bundle_pb2
from medxgan.v1.bundle_pb2 import GraphFormat, GraphRole

SCHEMA_VERSION = 1
"""The newest version of `bundle.json` that this server reads."""


@dataclass(frozen=True)
class LoadedBundle:
    """A bundle that passed every check.

    Attributes:
        folder: the folder NAME/VERSION/ that holds the graphs.
        description: the content of `bundle.json`.
        sha256: SHA-256 of `bundle.json`, lower-case hexadecimal; it holds the hash of every graph.
    """

    folder: Path
    description: bundle_pb2.Bundle
    sha256: str

    @property
    def has_generator(self) -> bool:
        """Whether the bundle explains; else it classifies and attributes only."""
        return self.description.HasField("latent")

    def graph(self, role: GraphRole, form: GraphFormat = bundle_pb2.GRAPH_FORMAT_ONNX) -> bundle_pb2.Graph | None:
        """The graph of this role in this format, or None where the bundle has none."""
        return next((graph for graph in self.description.graphs if (graph.role, graph.format) == (role, form)), None)


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
    content = _read(folder / "bundle.json")
    description = _parse(content)
    _check_identity(description, folder)
    if description.HasField("inversion"):
        _check_defaults(description.inversion)
    _check_roles(description)
    for graph in description.graphs:
        _check_signature(graph, description)
        _check_file(graph, folder)
    return LoadedBundle(folder, description, hashlib.sha256(content).hexdigest())


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BundleError(f"{path.name}: can't be read ({error.strerror})") from error


def _parse(content: bytes) -> bundle_pb2.Bundle:
    try:
        fields = json.loads(content)
    except ValueError as error:
        raise BundleError(f"bundle.json: not JSON ({error})") from error
    # Looked at before the rest: a newer schema may have fields that this one can't parse.
    version = fields.get("schema_version") if isinstance(fields, dict) else None
    if not isinstance(version, int):
        raise BundleError("bundle.json: schema_version: expected an integer")
    if version > SCHEMA_VERSION:
        raise BundleError(
            f"bundle.json: schema_version: {version} is newer than {SCHEMA_VERSION}, which this server reads"
        )
    try:
        description = json_format.ParseDict(fields, bundle_pb2.Bundle())
        protovalidate.validate(description)
    except (json_format.ParseError, protovalidate.ValidationError) as error:
        raise BundleError(f"bundle.json: {error}") from error
    return description


def _check_identity(bundle: bundle_pb2.Bundle, folder: Path) -> None:
    if bundle.name != folder.parent.name:
        raise BundleError(f"bundle.json: name: {bundle.name!r} lies in the folder {folder.parent.name!r}")
    if bundle.version != folder.name:
        raise BundleError(f"bundle.json: version: {bundle.version!r} lies in the folder {folder.name!r}")


def _check_defaults(inversion: bundle_pb2.InversionSpecification) -> None:
    learning_rates, weights = inversion.learning_rate_range, inversion.reconstruction_weight_range
    for field, low, default, high in (
        ("default_steps", 1, inversion.default_steps, inversion.maximum_steps),
        ("default_learning_rate", learning_rates.minimum, inversion.default_learning_rate, learning_rates.maximum),
        ("default_reconstruction_weight", weights.minimum, inversion.default_reconstruction_weight, weights.maximum),
    ):
        if not low <= default <= high:
            raise BundleError(f"bundle.json: inversion.{field}: expected {low:g} to {high:g}, got {default:g}")


def _check_roles(bundle: bundle_pb2.Bundle) -> None:
    named = [(graph.role, graph.format) for graph in bundle.graphs]
    has_generator = bundle.HasField("latent")
    if not has_generator and any(role == bundle_pb2.GRAPH_ROLE_ENCODER for role, _ in named):
        raise BundleError("bundle.json: graphs: an encoder without the generator whose latent code it guesses")
    for role in (*REQUIRED_ROLES, *(GENERATOR_ROLES if has_generator else ())):
        if (role, bundle_pb2.GRAPH_FORMAT_ONNX) not in named:
            raise BundleError(f"bundle.json: graphs: no ONNX graph of {GraphRole.Name(role)}")
    for role, form in named:
        if named.count((role, form)) > 1:
            raise BundleError(f"bundle.json: graphs: {GraphRole.Name(role)} is named twice in {GraphFormat.Name(form)}")


def _check_signature(graph: bundle_pb2.Graph, bundle: bundle_pb2.Bundle) -> None:
    expected = signature(graph.role, bundle)
    _check_tensors(f"{graph.file}: inputs", graph.inputs, expected.inputs)
    _check_tensors(f"{graph.file}: outputs", graph.outputs, expected.outputs)


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


def _agrees(stated: Iterable[int], expected: Shape) -> bool:
    extents = list(stated)
    return len(extents) == len(expected) and all(
        extent == wanted or (wanted is None and extent > 0) for extent, wanted in zip(extents, expected, strict=True)
    )


def _text(shape: Iterable[int | None]) -> str:
    return "[" + ", ".join("*" if extent is None else str(extent) for extent in shape) + "]"


def _check_file(graph: bundle_pb2.Graph, folder: Path) -> None:
    found = hashlib.sha256(_read(folder / graph.file)).hexdigest()
    if found != graph.sha256:
        raise BundleError(f"{graph.file}: SHA-256 is {found}, bundle.json states {graph.sha256}")
