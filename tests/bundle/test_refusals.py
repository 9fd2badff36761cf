"""A bundle that does not agree with itself is refused, and the refusal says which part."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from medxgan.server.bundle import SCHEMA_VERSION, load_bundle
from medxgan.server.errors import BundleError
from medxgan.v1 import bundle_pb2

Edit = Callable[[dict[str, Any]], None]


@pytest.fixture
def folder(tiny_bundle: Path, tmp_path: Path) -> Path:
    """A copy that the test may spoil."""
    return shutil.copytree(tiny_bundle, tmp_path / "tiny" / "1")


def edit(folder: Path, change: Edit) -> None:
    path = folder / "bundle.json"
    fields = json.loads(path.read_bytes())
    change(fields)
    path.write_text(json.dumps(fields), encoding="utf-8")


def graph(fields: dict[str, Any], file: str) -> dict[str, Any]:
    return next(each for each in fields["graphs"] if each["file"] == file)


def test_a_sound_bundle_is_loaded(tiny_bundle):
    bundle = load_bundle(tiny_bundle)
    assert (bundle.description.name, bundle.description.version) == ("tiny", "1")
    assert bundle.sha256 == hashlib.sha256((tiny_bundle / "bundle.json").read_bytes()).hexdigest()
    step = bundle.graph(bundle_pb2.GRAPH_ROLE_INVERSION_STEP, bundle_pb2.GRAPH_FORMAT_TORCH_EXPORT)
    assert step is not None
    assert step.file == "inversion_step.pt2"
    assert bundle.graph(bundle_pb2.GRAPH_ROLE_CLASSIFIER, bundle_pb2.GRAPH_FORMAT_TORCH_EXPORT) is None


@pytest.mark.parametrize("file", ["classifier.onnx", "inversion_step.pt2"])
def test_a_changed_byte_is_refused(folder, file):
    content = bytearray((folder / file).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / file).write_bytes(content)
    with pytest.raises(BundleError, match=rf"^tiny/1: {file}: SHA-256 is "):
        load_bundle(folder)


def test_a_missing_graph_is_refused(folder):
    (folder / "generator.onnx").unlink()
    with pytest.raises(BundleError, match=r"^tiny/1: generator\.onnx: can't be read"):
        load_bundle(folder)


def test_a_bundle_without_its_description_is_refused(folder):
    (folder / "bundle.json").unlink()
    with pytest.raises(BundleError, match=r"^tiny/1: bundle\.json: can't be read"):
        load_bundle(folder)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"schema_version": 1', '{"schema_version": "one"}'])
def test_a_description_that_is_none_is_refused(folder, content):
    (folder / "bundle.json").write_text(content, encoding="utf-8")
    with pytest.raises(BundleError, match=r"^tiny/1: bundle\.json: "):
        load_bundle(folder)


def test_a_newer_schema_is_refused_whatever_else_it_holds(folder):
    edit(folder, lambda fields: fields.update(schema_version=SCHEMA_VERSION + 1, invented_later={"a": 1}))
    with pytest.raises(BundleError, match=rf"schema_version: {SCHEMA_VERSION + 1} is newer than {SCHEMA_VERSION}"):
        load_bundle(folder)


def drop(file: str) -> Edit:
    return lambda fields: fields["graphs"].remove(graph(fields, file))


def set_shape(file: str, side: str, index: int, shape: list[int]) -> Edit:
    return lambda fields: graph(fields, file)[side][index].update(shape=shape)


def set_inversion(**values: float) -> Edit:
    return lambda fields: fields["inversion"].update(values)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(lambda fields: fields.update(color="red"), "color", id="unknown field"),
        pytest.param(lambda fields: fields.pop("image"), "image: value is required", id="missing field"),
        pytest.param(lambda fields: fields.pop("latent"), "latent, inversion and reliability", id="half a generator"),
        pytest.param(drop("generator.onnx"), "latent, inversion and reliability", id="no generator, yet a latent code"),
        pytest.param(lambda fields: fields["image"].update(channels=3), "image.channels", id="colour"),
        pytest.param(lambda fields: fields.update(name="chest"), "name: 'chest' lies in the folder 'tiny'", id="name"),
        pytest.param(lambda fields: fields.update(version="2"), "version: '2' lies in the folder '1'", id="version"),
        pytest.param(drop("attribution.onnx"), "no ONNX graph of GRAPH_ROLE_ATTRIBUTION", id="role left out"),
        pytest.param(drop("inversion_step.onnx"), "no ONNX graph of GRAPH_ROLE_INVERSION_STEP", id="only the program"),
        pytest.param(
            lambda fields: fields["graphs"].append(graph(fields, "encoder.onnx")), "ENCODER is named twice", id="twice"
        ),
        pytest.param(
            set_shape("generator.onnx", "outputs", 0, [-1, 1, 64, 64]),
            r"generator.onnx: outputs: image: expected shape [-1, 1, 32, 32], got [-1, 1, 64, 64]",
            id="another image size",
        ),
        pytest.param(
            set_shape("inversion_step.onnx", "inputs", 0, [-1, 99]),
            "inversion_step.onnx: inputs: z: expected shape",
            id="another latent size",
        ),
        pytest.param(
            set_shape("classifier.onnx", "outputs", 0, [1]),
            "classifier.onnx: outputs: logit: expected shape [-1], got [1]",
            id="a fixed batch",
        ),
        pytest.param(
            lambda fields: graph(fields, "encoder.onnx")["outputs"][0].update(name="code"),
            "encoder.onnx: outputs: expected z, got code",
            id="another tensor name",
        ),
        pytest.param(
            lambda fields: graph(fields, "classifier.onnx")["inputs"][0].update(data_type="DATA_TYPE_UINT8"),
            "classifier.onnx: inputs: x: expected float32",
            id="another type",
        ),
        pytest.param(
            set_inversion(default_steps=1000, maximum_steps=200),
            "inversion.default_steps: expected 1 to 200, got 1000",
            id="default steps out of range",
        ),
        pytest.param(
            set_inversion(default_learning_rate=7), "inversion.default_learning_rate", id="default rate out of range"
        ),
    ],
)
def test_a_description_that_does_not_agree_is_refused(folder, change, message):
    edit(folder, change)
    with pytest.raises(BundleError) as refusal:
        load_bundle(folder)
    assert message in str(refusal.value)
