"""Bundles that are read, and what of their description is understood."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format

from medxgan.bundle import LoadedBundle, load_bundle
from medxgan.bundle.graphs import ATTRIBUTION_PARTS, output_names, signature
from medxgan.bundle.hashing import sha256_of
from medxgan.bundle.schema import description_json, parse_description
from medxgan.v1 import bundle_pb2


@pytest.fixture
def rewrite(folder: Path) -> Callable[[Callable[[dict[str, Any]], None]], LoadedBundle]:
    """Changes the description and reads the bundle again."""

    def change_and_load(change: Callable[[dict[str, Any]], None]) -> LoadedBundle:
        file = folder / "bundle.json"
        fields = json.loads(file.read_bytes())
        change(fields)
        file.write_text(json.dumps(fields), encoding="utf-8")
        return load_bundle(folder)

    return change_and_load


def test_a_sound_bundle_is_loaded(folder: Path) -> None:
    bundle = load_bundle(folder)
    assert bundle.name == "tiny/1"
    assert bundle.folder == folder.resolve()
    assert bundle.sha256 == hashlib.sha256((folder / "bundle.json").read_bytes()).hexdigest()
    assert bundle.has_generator


def test_graphs_are_found_by_role_and_format(folder: Path) -> None:
    bundle = load_bundle(folder)
    program = bundle.graph(bundle_pb2.GRAPH_ROLE_INVERSION_STEP, bundle_pb2.GRAPH_FORMAT_TORCH_EXPORT)
    assert program is not None
    assert program.file == "inversion_step.pt2"
    assert bundle.graph(bundle_pb2.GRAPH_ROLE_CLASSIFIER, bundle_pb2.GRAPH_FORMAT_TORCH_EXPORT) is None
    parts = bundle.graphs(bundle_pb2.GRAPH_ROLE_ATTRIBUTION)
    assert [tuple(output.name for output in graph.outputs) for graph in parts] == list(ATTRIBUTION_PARTS)
    assert bundle.graph(bundle_pb2.GRAPH_ROLE_ATTRIBUTION) == parts[0], "the cheapest"


def test_a_path_that_is_not_resolved_names_the_bundle_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert load_bundle(Path()).name == "tiny/1"


def test_the_description_comes_back_as_it_was_written(folder: Path) -> None:
    content = (folder / "bundle.json").read_bytes()
    description = parse_description(content)
    assert description_json(description).encode() == content
    assert description.classification.decision_threshold == 0.3, "a double"
    assert description.provenance.seed == 2**60 + 1


def test_canonical_json_names_are_read_too(folder: Path) -> None:
    description = load_bundle(folder).description
    canonical = json_format.MessageToJson(description)
    assert '"schemaVersion"' in canonical
    assert '"schema_version"' not in canonical
    (folder / "bundle.json").write_text(canonical, encoding="utf-8")
    assert load_bundle(folder).description == description


def test_fields_that_are_not_known_are_ignored(rewrite, folder: Path) -> None:
    description = load_bundle(folder).description

    def add(fields: dict[str, Any]) -> None:
        fields["invented_later"] = {"a": [1, 2]}
        fields["image"]["depth"] = 64
        fields["graphs"][0]["inputs"][0]["layout"] = "NHWC"

    assert rewrite(add).description == description


def test_a_bundle_without_a_generator_is_read(rewrite, folder: Path) -> None:
    generating = ("GENERATOR", "INVERSION_STEP", "CLOSE")

    def drop(fields: dict[str, Any]) -> None:
        for part in ("latent", "inversion", "reliability"):
            del fields[part]
        for graph in fields["graphs"]:
            if graph["role"].removeprefix("GRAPH_ROLE_") in generating:
                (folder / graph["file"]).unlink()
        fields["graphs"] = [
            graph for graph in fields["graphs"] if graph["role"].removeprefix("GRAPH_ROLE_") not in generating
        ]
        fields["graphs"][0]["outputs"] = [each for each in fields["graphs"][0]["outputs"] if each["name"] != "z"]

    assert not rewrite(drop).has_generator


@pytest.mark.parametrize("output", ["z"])
def test_an_output_that_may_be_left_out_may_be_left_out(rewrite, output: str) -> None:
    def drop(fields: dict[str, Any]) -> None:
        opening = fields["graphs"][0]
        opening["outputs"] = [each for each in opening["outputs"] if each["name"] != output]

    names = [each.name for each in rewrite(drop).description.graphs[0].outputs]
    assert names == ["x", "box", "logit", "unfamiliarity"]


def test_the_card_may_be_missing(folder: Path) -> None:
    (folder / "MODEL_CARD.md").unlink()
    assert load_bundle(folder).name == "tiny/1"


def test_classes_are_named_in_the_order_of_the_outputs(folder: Path) -> None:
    classification = load_bundle(folder).description.classification
    assert output_names(classification) == ["lesion", "effusion"]


def test_an_attribution_of_one_output_takes_no_target(folder: Path) -> None:
    description = load_bundle(folder).description
    assert list(signature(bundle_pb2.GRAPH_ROLE_ATTRIBUTION, description).inputs) == ["x", "target"]
    del description.classification.outputs[1]
    assert list(signature(bundle_pb2.GRAPH_ROLE_ATTRIBUTION, description).inputs) == ["x"]


def test_a_role_that_is_not_known_has_no_signature(folder: Path) -> None:
    with pytest.raises(ValueError, match="no signature for 0"):
        signature(bundle_pb2.GRAPH_ROLE_UNSPECIFIED, load_bundle(folder).description)


def test_the_hash_is_of_the_whole_file(tmp_path: Path) -> None:
    content = bytes(range(256)) * 10_000
    (tmp_path / "weights.bin").write_bytes(content)
    assert sha256_of(tmp_path / "weights.bin") == hashlib.sha256(content).hexdigest()
