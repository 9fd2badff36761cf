"""A bundle that does not agree with itself is refused, and the refusal says which part."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from medxgan.bundle import BundleError, load_bundle
from medxgan.bundle.schema import SCHEMA_VERSION

Edit = Callable[[dict[str, Any]], None]


def edit(folder: Path, change: Edit) -> None:
    path = folder / "bundle.json"
    fields = json.loads(path.read_bytes())
    change(fields)
    path.write_text(json.dumps(fields), encoding="utf-8")


def graph(fields: dict[str, Any], file: str) -> dict[str, Any]:
    return next(each for each in fields["graphs"] if each["file"] == file)


@pytest.mark.parametrize("file", ["classifier.onnx", "inversion_step.pt2", "weights.bin"])
def test_a_changed_byte_is_refused(folder, file):
    content = bytearray((folder / file).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / file).write_bytes(content)
    with pytest.raises(BundleError, match=rf"^tiny/1: {file}: SHA-256 is [0-9a-f]{{64}}, bundle\.json states "):
        load_bundle(folder)


@pytest.mark.parametrize("content", ["", "[", '{"schema_version": 2, "x": ' + "[" * 200_000])
def test_a_description_that_is_no_json_is_refused(folder, content):
    (folder / "bundle.json").write_text(content)
    with pytest.raises(BundleError, match=r"^tiny/1: bundle\.json: not JSON"):
        load_bundle(folder)


@pytest.mark.parametrize("file", ["generator.onnx", "weights.bin", "bundle.json"])
def test_a_missing_file_is_refused(folder, file):
    (folder / file).unlink()
    with pytest.raises(BundleError, match=rf"^tiny/1: {file}: can't be read \(No such file or directory\)"):
        load_bundle(folder)


def test_a_folder_in_the_place_of_a_file_is_refused(folder):
    (folder / "weights.bin").unlink()
    (folder / "weights.bin").mkdir()
    with pytest.raises(BundleError, match=r"^tiny/1: weights\.bin: can't be read"):
        load_bundle(folder)


@pytest.mark.parametrize("name", ["other.bin", "generator.onnx.data", ".hidden", "notes.txt"])
def test_a_file_that_no_hash_covers_is_refused(folder, name):
    """An ONNX graph could read its weights from there."""
    (folder / name).write_bytes(b"weights")
    with pytest.raises(BundleError, match=rf"^tiny/1: {name}: not named by bundle\.json"):
        load_bundle(folder)


def test_a_folder_inside_is_refused(folder):
    (folder / "weights").mkdir()
    with pytest.raises(BundleError, match=r"^tiny/1: weights: not named by bundle\.json"):
        load_bundle(folder)


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", "\xff", '{"schema_version": 2', '{"schema_version": "two"}', '{"schema_version": null}']
)
def test_a_description_that_is_none_is_refused(folder, content):
    (folder / "bundle.json").write_text(content, encoding="latin-1")
    with pytest.raises(BundleError, match=r"^tiny/1: bundle\.json: "):
        load_bundle(folder)


@pytest.mark.parametrize(
    ("version", "hint"), [(SCHEMA_VERSION + 1, "a newer medxgan reads it"), (SCHEMA_VERSION - 1, "export it again")]
)
@pytest.mark.parametrize("name", ["schema_version", "schemaVersion"])
def test_another_schema_is_refused_whatever_else_it_holds(folder, version, hint, name):
    (folder / "bundle.json").write_text(json.dumps({name: version, "image": 7}), encoding="utf-8")
    with pytest.raises(BundleError, match=rf"schema_version: expected {SCHEMA_VERSION}, got {version}; {hint}"):
        load_bundle(folder)


def drop(file: str) -> Edit:
    return lambda fields: fields["graphs"].remove(graph(fields, file))


def set_shape(file: str, side: str, index: int, shape: list[int]) -> Edit:
    return lambda fields: graph(fields, file)[side][index].update(shape=shape)


def set_inversion(**values: float) -> Edit:
    return lambda fields: fields["inversion"].update(values)


def set_image(**values: int) -> Edit:
    return lambda fields: fields["image"].update(values)


def set_class(**values: object) -> Edit:
    return lambda fields: fields["classification"].update(values)


def set_weight(**values: object) -> Edit:
    return lambda fields: graph(fields, "inversion_step.pt2")["weights"][0].update(values)


def twice(file: str) -> Edit:
    return lambda fields: fields["graphs"].append(graph(fields, file))


def drop_output(file: str, name: str) -> Edit:
    def change(fields: dict[str, Any]) -> None:
        stated = graph(fields, file)
        stated["outputs"] = [each for each in stated["outputs"] if each["name"] != name]

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(lambda fields: fields.pop("image"), "image: value is required", id="missing field"),
        pytest.param(lambda fields: fields.pop("latent"), "latent, inversion and reliability", id="half a generator"),
        pytest.param(drop("generator.onnx"), "latent, inversion and reliability", id="no generator, yet a latent code"),
        pytest.param(drop("close.onnx"), "latent, inversion and reliability", id="nothing to close with"),
        pytest.param(
            set_image(channels=3),
            "image.channels: expected 1, since this release serves grey images only, got 3",
            id="colour",
        ),
        pytest.param(
            set_image(width=48),
            "image.width: expected 32, since this release serves square images only, got 48",
            id="not square",
        ),
        pytest.param(set_image(channels=2), "image.channels", id="channels that mean nothing"),
        pytest.param(set_image(height="much"), "bundle.json: ", id="no number"),
        pytest.param(lambda fields: fields.update(name="chest"), "name: 'chest' lies in the folder 'tiny'", id="name"),
        pytest.param(lambda fields: fields.update(version="2"), "version: '2' lies in the folder '1'", id="version"),
        pytest.param(set_class(positive_class="cat"), "positive_class must be the name of one", id="no such class"),
        pytest.param(
            set_class(outputs=[{"name": name} for name in ("lesion", "clear", "clear")]),
            "no two outputs",
            id="a class named twice",
        ),
        pytest.param(set_class(outputs=[{"name": "lesion"}]), "softmax needs two outputs or more", id="softmax of one"),
        pytest.param(set_class(decision_threshold=1), "decision_threshold", id="a threshold of 1"),
        pytest.param(drop("open.onnx"), "no ONNX graph of GRAPH_ROLE_OPEN", id="role left out"),
        pytest.param(drop("attribution_2.onnx"), "no ONNX graph of GRAPH_ROLE_ATTRIBUTION with", id="no whole one"),
        pytest.param(drop("inversion_step.onnx"), "no ONNX graph of GRAPH_ROLE_INVERSION_STEP", id="only the program"),
        pytest.param(twice("open.onnx"), "GRAPH_ROLE_OPEN is named twice in GRAPH_FORMAT_ONNX", id="twice"),
        pytest.param(
            twice("inversion_step.pt2"), "INVERSION_STEP is named twice in GRAPH_FORMAT_TORCH_EXPORT", id="two programs"
        ),
        pytest.param(
            lambda fields: graph(fields, "open.onnx").update(role="GRAPH_ROLE_TRANSMOGRIFY"),
            "graphs[0].role",
            id="a role that is not known",
        ),
        pytest.param(
            set_shape("generator.onnx", "outputs", 0, [-1, 1, 64, 64]),
            "generator.onnx: outputs: image: expected shape [-1, 1, 32, 32], got [-1, 1, 64, 64]",
            id="another image size",
        ),
        pytest.param(
            set_shape("inversion_step.onnx", "inputs", 0, [-1, 99]),
            "inversion_step.onnx: inputs: z: expected shape [-1, 18], got [-1, 99]",
            id="another latent size",
        ),
        pytest.param(
            set_shape("inversion_step.onnx", "inputs", 6, [-1]),
            "inversion_step.onnx: inputs: learning_rate: expected shape [-1, 18], got [-1]",
            id="one learning rate for all latents",
        ),
        pytest.param(
            set_shape("classifier.onnx", "outputs", 0, [1]),
            "classifier.onnx: outputs: logit: expected shape [-1], got [1]",
            id="a fixed batch",
        ),
        pytest.param(
            set_shape("attribution_0.onnx", "outputs", 1, [-1, 4, -1, 4]),
            "attribution_0.onnx: outputs: activations: expected shape [-1, *, *, *], got [-1, 4, -1, 4]",
            id="activations without a size",
        ),
        pytest.param(
            lambda fields: graph(fields, "generator.onnx")["outputs"][0].update(name="picture"),
            "generator.onnx: outputs: expected image, logit, got picture, logit",
            id="another tensor name",
        ),
        pytest.param(
            lambda fields: graph(fields, "classifier.onnx")["inputs"][0].update(data_type="DATA_TYPE_UINT8"),
            "classifier.onnx: inputs: x: expected float32",
            id="another type",
        ),
        pytest.param(
            lambda fields: graph(fields, "attribution_1.onnx")["inputs"].pop(),
            "attribution_1.onnx: inputs: expected x, target, got x",
            id="no target for one of several classes",
        ),
        pytest.param(
            drop_output("open.onnx", "unfamiliarity"),
            "open.onnx: outputs: expected x, box, logit, unfamiliarity, z, got x, box, logit, z",
            id="measures that nothing measures",
        ),
        pytest.param(
            lambda fields: fields.pop("familiarity"),
            "open.onnx: outputs: expected x, box, logit, z, got x, box, logit, unfamiliarity, z",
            id="a measurement that nothing describes",
        ),
        pytest.param(
            lambda fields: fields["familiarity"]["measures"].pop(),
            "open.onnx: outputs: unfamiliarity: expected shape [-1, 1], got [-1, 2]",
            id="another number of measures",
        ),
        pytest.param(
            set_inversion(default_steps=1000, maximum_steps=200),
            "inversion.default_steps: expected 1 to 200, got 1000",
            id="default steps out of range",
        ),
        pytest.param(
            set_inversion(default_learning_rate=7),
            "inversion.default_learning_rate: expected 0.001 to 0.2, got 7",
            id="default rate out of range",
        ),
        pytest.param(
            set_inversion(default_reconstruction_weight=0.25),
            "inversion.default_reconstruction_weight: expected 0.5 to 32, got 0.25",
            id="default weight out of range",
        ),
        pytest.param(
            lambda fields: fields["inversion"]["learning_rate_range"].update(minimum=1),
            "minimum must not exceed maximum",
            id="a range that holds nothing",
        ),
        pytest.param(
            set_weight(offset="4"),
            "inversion_step.pt2: weights: generator.weight: reaches beyond the end of weights.bin",
            id="a weight beyond the end",
        ),
        pytest.param(set_weight(shape=[101]), "reaches beyond the end of weights.bin", id="a weight too long"),
        pytest.param(
            set_weight(file="classifier.onnx"),
            "inversion_step.pt2: weights: generator.weight: classifier.onnx is not one of the data files",
            id="a weight elsewhere",
        ),
        pytest.param(set_weight(file="../other.bin"), "../other.bin is not one of", id="a weight outside"),
        pytest.param(
            lambda fields: graph(fields, "close.onnx").update(file="../close.onnx"), "graphs[", id="a graph outside"
        ),
        pytest.param(
            lambda fields: fields["data_files"][0].update(file="../weights.bin"),
            "data_files[0].file",
            id="a data file outside",
        ),
        pytest.param(
            lambda fields: graph(fields, "close.onnx").update(sha256="0" * 63), "sha256", id="a hash too short"
        ),
    ],
)
def test_a_description_that_does_not_agree_is_refused(folder, change, message):
    edit(folder, change)
    with pytest.raises(BundleError) as refusal:
        load_bundle(folder)
    assert str(refusal.value).startswith("tiny/1: ")
    assert message in str(refusal.value)


def test_one_file_under_two_hashes_is_refused(folder):
    """Of the two graphs that name it, the first would be served under a hash that is not its own."""

    def change(fields: dict[str, Any]) -> None:
        graph(fields, "attribution_0.onnx").update(file="attribution_1.onnx")
        (folder / "attribution_0.onnx").unlink()

    edit(folder, change)
    with pytest.raises(BundleError, match=r"^tiny/1: attribution_1\.onnx: SHA-256 is "):
        load_bundle(folder)


def test_a_first_guess_without_a_generator_is_refused(folder):
    def change(fields: dict[str, Any]) -> None:
        for part in ("latent", "inversion", "reliability"):
            del fields[part]
        generating = ("GRAPH_ROLE_GENERATOR", "GRAPH_ROLE_INVERSION_STEP", "GRAPH_ROLE_CLOSE")
        fields["graphs"] = [each for each in fields["graphs"] if each["role"] not in generating]

    edit(folder, change)
    with pytest.raises(BundleError, match=r"open\.onnx: outputs: expected x, box, logit, unfamiliarity, got .*, z"):
        load_bundle(folder)
