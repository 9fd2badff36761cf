import dataclasses
import hashlib
import re
import zipfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from google.protobuf import json_format
from torch import Tensor

from medxgan.bundle import load_bundle
from medxgan.bundle.graphs import ATTRIBUTION_PARTS
from medxgan.export import decompositions
from medxgan.export.bundle import export_bundle
from medxgan.export.errors import DescriptionError, DestinationError, VerificationError
from medxgan.export.model_card import model_card
from medxgan.training.model import TrainedModel
from medxgan.training.preprocessing import Preprocess
from medxgan.v1.bundle_pb2 import Bundle, Classification, GraphRole


@pytest.fixture(scope="module")
def description(tiny_bundle: Path) -> Bundle:
    return json_format.Parse((tiny_bundle / "bundle.json").read_text(encoding="utf-8"), Bundle())


def test_the_bundle_can_be_read(tiny_bundle: Path) -> None:
    assert load_bundle(tiny_bundle).description.name == "tiny"


def test_every_file_is_described_by_its_hash(tiny_bundle: Path, description: Bundle) -> None:
    hashes = {each.file: each.sha256 for each in (*description.graphs, *description.data_files)}
    found = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in tiny_bundle.iterdir()}
    assert found.keys() - hashes.keys() == {"bundle.json", "MODEL_CARD.md"}
    assert hashes.items() <= found.items()
    assert {GraphRole.Name(graph.role) for graph in description.graphs} == set(GraphRole.keys()[1:])


def test_one_description_is_written_in_one_way(tiny_bundle: Path, description: Bundle) -> None:
    """The bundle's identity is the hash of this text, and maps have no order of their own."""
    text = (tiny_bundle / "bundle.json").read_text(encoding="utf-8")
    keys = re.findall(r'"([^"]+)":', text[text.index('"versions": {') :].partition("}")[0])[1:]
    assert len(keys) > 1
    assert keys == sorted(keys)


def test_graphs_have_the_tensors_that_the_description_states(tiny_bundle: Path, description: Bundle) -> None:
    for stated in description.graphs:
        if not stated.file.endswith(".onnx"):
            continue
        graph = onnx.load(tiny_bundle / stated.file).graph
        for tensors, specifications in ((graph.input, stated.inputs), (graph.output, stated.outputs)):
            assert {each.name: list(each.shape) for each in specifications} == {
                each.name: [axis.dim_value or -1 for axis in each.type.tensor_type.shape.dim] for each in tensors
            }


def test_each_weight_is_stored_once_for_all_graphs(tiny_bundle: Path, tiny_model: TrainedModel) -> None:
    places: dict[str, set[tuple[str, str]]] = {}
    for file in tiny_bundle.glob("*.onnx"):
        for weight in onnx.load(file, load_external_data=False).graph.initializer:
            if weight.data_location == onnx.TensorProto.EXTERNAL:
                entries = {each.key: each.value for each in weight.external_data}
                assert int(entries["offset"]) % 4096 == 0
                places.setdefault(file.stem, set()).add((entries["offset"], entries["length"]))
    # The generator's linear layers are read the other way round by the gradient, from the same bytes.
    assert places["generator"] == places["close"] == places["inversion_step"]
    assert places["classifier"] < places["generator"]
    assert all(places["classifier"] <= each for each in places.values())
    stored = [int(length) for _, length in set.union(*places.values())]
    padding = 4096 * len(stored)
    assert sum(stored) <= (tiny_bundle / "weights.bin").stat().st_size < sum(stored) + padding
    parameters = (tiny_model.generator, tiny_model.encoder, tiny_model.classifier, tiny_model.familiarity.measures)
    assert sum(stored) <= sum(4 * each.numel() for module in parameters for each in module.state_dict().values())


@pytest.mark.parametrize("file", ["open", "classifier", "close", "inversion_step", "class_activation"])
def test_no_pooling_gives_indices_that_nothing_reads(tiny_bundle: Path, file: str) -> None:
    pools = [node for node in onnx.load(tiny_bundle / f"{file}.onnx").graph.node if node.op_type == "MaxPool"]
    assert pools
    assert all(len(node.output) == 1 for node in pools)


def test_the_parts_of_the_attribution_agree(tiny_bundle: Path, tiny_model: TrainedModel) -> None:
    sizes, found = [], []
    with torch.no_grad():
        x = tiny_model.generator(torch.randn(3, 18, generator=torch.Generator().manual_seed(1))).numpy()
    for name in ("class_activation", "gradient", "attribution"):
        session = onnxruntime.InferenceSession(tiny_bundle / f"{name}.onnx", providers=["CPUExecutionProvider"])
        names = [each.name for each in session.get_outputs()]
        found.append(dict(zip(names, session.run(names, {"x": x}), strict=True)))
        sizes.append(len(onnx.load(tiny_bundle / f"{name}.onnx").graph.node))
    assert [tuple(each) for each in found] == list(ATTRIBUTION_PARTS)
    assert sizes == sorted(set(sizes))
    for part in found[:-1]:
        for name, value in part.items():
            np.testing.assert_allclose(value, found[-1][name], rtol=1e-5, atol=1e-6, err_msg=name)


def test_no_file_says_where_it_was_made(tiny_bundle: Path) -> None:
    repository = Path(__file__).parents[2]
    for file in tiny_bundle.iterdir():
        paths = [str(repository).encode(), str(Path.home()).encode(), b"site-packages"]
        # Three bytes of a weight may spell it by chance.
        paths += [] if file.suffix == ".bin" else [b".py"]
        contents = [file.read_bytes()]
        if file.suffix == ".pt2":
            with zipfile.ZipFile(file) as archive:
                contents = [archive.read(name) for name in archive.namelist()]
        for content in contents:
            assert not [path for path in paths if path in content], file.name


def test_the_card_says_what_the_model_is(tiny_bundle: Path, description: Bundle) -> None:
    card = (tiny_bundle / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert card == model_card(description)
    assert card.startswith("# tiny, version 1\n\n**Not a medical device.**")
    assert "- Positive: lesion." in card
    assert (
        "| Area under the classifier's ROC curve (`classifier_auc`) | 0.5 | nothing | Area under the ROC curve. |"
        in card
    )
    assert "| Learning rate | 0.02 | 0.001 to 0.2 |" in card
    assert "- Has learned nothing." in card
    assert "Licence of the weights: Apache-2.0." in card


def test_what_disagrees_with_pytorch_is_not_written(
    tiny_model: TrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = decompositions.convolution_backward

    def slightly_wrong(*arguments: object) -> tuple[Tensor, None, None]:
        gradient, *_ = right(*arguments)  # type: ignore[arg-type]
        return gradient * 1.01, None, None

    monkeypatch.setattr(decompositions, "convolution_backward", slightly_wrong)
    with pytest.raises(VerificationError, match=r"inversion_step\.onnx, output next_.*, batch 1: disagrees"):
        export_bundle(tiny_model, tmp_path / "models" / "wrong" / "1")
    assert not (tmp_path / "models").exists()


def test_a_bundle_is_never_written_over(tiny_model: TrainedModel, tiny_bundle: Path) -> None:
    before = (tiny_bundle / "bundle.json").read_bytes()
    with pytest.raises(DestinationError, match="exists already"):
        export_bundle(tiny_model, tiny_bundle)
    assert (tiny_bundle / "bundle.json").read_bytes() == before


@pytest.mark.parametrize(
    ("folder", "complaint"),
    [
        ("Chest/1", 'found the name "Chest"'),
        ("chest_ct/1", 'found the name "chest_ct"'),
        ("chest/v1", 'found "v1"'),
        ("chest/0", 'found "0"'),
        ("chest/1.2", 'found "1.2"'),
    ],
)
def test_a_folder_that_is_no_name_and_version_is_refused(
    tiny_model: TrainedModel, tmp_path: Path, folder: str, complaint: str
) -> None:
    with pytest.raises(DestinationError, match=re.escape(complaint)):
        export_bundle(tiny_model, tmp_path / folder)
    assert not list(tmp_path.iterdir())


def test_a_description_that_breaks_a_rule_is_refused(tiny_model: TrainedModel, tmp_path: Path) -> None:
    unnamed = dataclasses.replace(
        tiny_model, classification=Classification(decision_threshold=0.5, activation="OUTPUT_ACTIVATION_LOGISTIC")
    )
    with pytest.raises(DescriptionError, match=r"classification: .*positive_class"):
        export_bundle(unnamed, tmp_path / "chest" / "1")


def test_parts_of_different_sizes_are_refused(tiny_model: TrainedModel, tmp_path: Path) -> None:
    mixed = dataclasses.replace(tiny_model, preprocess=Preprocess(64, 1, 99, "crop"))
    with pytest.raises(
        DescriptionError, match="32 x 32 in the description, 64 x 64 in the preprocessing, 32 x 32 in the generator"
    ):
        export_bundle(mixed, tmp_path / "chest" / "1")
