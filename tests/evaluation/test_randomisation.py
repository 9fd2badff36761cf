"""The classifier with random weights, in every graph that holds it."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from medxgan.bundle import LoadedBundle, load_bundle
from medxgan.evaluation.errors import SanityError
from medxgan.evaluation.randomisation import (
    MAXIMUM_STAGES,
    Layer,
    cascade,
    classifier_layers,
    write_randomised,
)
from medxgan.evaluation.served import served
from medxgan.v1 import bundle_pb2

CLASSIFIER = bundle_pb2.GRAPH_ROLE_CLASSIFIER
ROLES = [
    bundle_pb2.GRAPH_ROLE_OPEN,
    CLASSIFIER,
    bundle_pb2.GRAPH_ROLE_GENERATOR,
    bundle_pb2.GRAPH_ROLE_INVERSION_STEP,
    bundle_pb2.GRAPH_ROLE_CLOSE,
    bundle_pb2.GRAPH_ROLE_ATTRIBUTION,
]


@pytest.fixture(scope="module")
def bundle(tiny_bundle: Path) -> LoadedBundle:
    return load_bundle(tiny_bundle)


@pytest.fixture(scope="module")
def layers(bundle: LoadedBundle) -> list[Layer]:
    return classifier_layers(graph(bundle, CLASSIFIER))


@pytest.fixture(scope="module")
def randomised(bundle: LoadedBundle, layers: list[Layer], tmp_path_factory: pytest.TempPathFactory) -> LoadedBundle:
    return load_bundle(write_randomised(bundle, layers, 7, tmp_path_factory.mktemp("random")))


def graph(bundle: LoadedBundle, role: bundle_pb2.GraphRole) -> onnx.ModelProto:
    stated = bundle.graph(role)
    assert stated is not None
    return onnx.load(bundle.folder / stated.file)


def floats(model: onnx.ModelProto) -> Iterator[tuple[str, np.ndarray]]:
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT:
            yield tensor.name, numpy_helper.to_array(tensor)


def same_values(one: np.ndarray, other: np.ndarray) -> bool:
    return one.size == other.size and np.array_equal(np.sort(one, axis=None), np.sort(other, axis=None))


def logits(folder: Path, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """By the classifier's graph, and by the attribution's."""

    async def run() -> tuple[np.ndarray, np.ndarray]:
        async with served(folder, "cpu", 1) as model:
            alone = await model.networks.positive_logits(x)
            return alone, (await model.networks.attribution(x, "lesion", ["logit"]))["logit"]

    return asyncio.run(run())


def test_the_layers_are_found_from_the_input_to_the_output(layers: list[Layer]) -> None:
    assert [layer.weights[0].size for layer in layers] == [8 * 9, 16 * 8 * 9, 32 * 16 * 9, 32 * 32 * 9, 32]
    assert [layer.kind.split()[0] for layer in layers] == ["Conv", "Conv", "Conv", "Conv", "Gemm"]
    assert [len(layer.weights) for layer in layers] == [2, 2, 2, 2, 1]  # the output's bias is one number


@pytest.mark.parametrize("role", ROLES, ids=bundle_pb2.GraphRole.Name)
def test_every_layer_changes_in_every_graph_and_nothing_else_does(
    bundle: LoadedBundle, randomised: LoadedBundle, layers: list[Layer], role: bundle_pb2.GraphRole
) -> None:
    changed = dict(floats(graph(randomised, role)))
    weights = [weight for layer in layers for weight in layer.weights]
    met = set()
    for name, before in floats(graph(bundle, role)):
        own = [index for index, weight in enumerate(weights) if same_values(before, weight)]
        if own:
            met.update(own)
            assert not np.any(changed[name] == before), name
            # A value that occurs twice becomes another one twice: the distinct values are the same, not how often.
            np.testing.assert_array_equal(np.unique(changed[name]), np.unique(before))
        else:
            np.testing.assert_array_equal(changed[name], before, err_msg=name)
    assert met == set(range(len(weights)))


def test_the_randomised_bundle_is_one_classifier_and_another(bundle: LoadedBundle, randomised: LoadedBundle) -> None:
    x = np.random.default_rng(0).uniform(-1, 1, (8, 1, 32, 32)).astype(np.float32)
    trained, _ = logits(bundle.folder, x)
    alone, attributed = logits(randomised.folder, x)
    np.testing.assert_allclose(alone, attributed, rtol=1e-4, atol=1e-4)
    assert np.abs(alone - trained).max() > 0.1


def test_a_layer_has_the_same_random_weights_at_every_stage(
    bundle: LoadedBundle, randomised: LoadedBundle, layers: list[Layer], tmp_path: Path
) -> None:
    top = load_bundle(write_randomised(bundle, layers[-1:], 7, tmp_path))
    shallow, deep = (dict(floats(graph(each, CLASSIFIER))) for each in (top, randomised))
    trained = dict(floats(graph(bundle, CLASSIFIER)))
    np.testing.assert_array_equal(shallow[layers[-1].name], deep[layers[-1].name])
    np.testing.assert_array_equal(shallow[layers[0].name], trained[layers[0].name])
    assert not np.array_equal(deep[layers[0].name], trained[layers[0].name])


def test_the_seed_decides(bundle: LoadedBundle, randomised: LoadedBundle, layers: list[Layer], tmp_path: Path) -> None:
    again = load_bundle(write_randomised(bundle, layers, 7, tmp_path / "again"))
    other = load_bundle(write_randomised(bundle, layers, 8, tmp_path / "other"))
    assert again.sha256 == randomised.sha256 != other.sha256


def test_a_graph_that_lacks_a_layer_is_an_error(bundle: LoadedBundle, layers: list[Layer], tmp_path: Path) -> None:
    foreign = Layer("head.weight", "Gemm [32]", (np.arange(32, dtype=np.float32),))
    with pytest.raises(SanityError, match=r"\.onnx: holds no tensor .* head\.weight"):
        write_randomised(bundle, [*layers, foreign], 7, tmp_path)


def test_the_cascade_goes_from_the_output_to_all_layers(layers: list[Layer]) -> None:
    assert [stage.count for stage in cascade(layers)] == [1, 2, 3, 4, 5]
    assert cascade(layers)[0].lowest == layers[-1].kind
    deep = [Layer(f"layer {index}", "Conv", ()) for index in range(121)]
    counts = [stage.count for stage in cascade(deep)]
    assert len(counts) == MAXIMUM_STAGES
    assert (counts[0], counts[-1]) == (1, 121)
    assert counts == sorted(set(counts))


def test_weights_are_found_behind_a_transposition_and_scalings_are_not_weights() -> None:
    def tensor(name: str, values: np.ndarray) -> onnx.TensorProto:
        return numpy_helper.from_array(values.astype(np.float32), name)

    nodes = [
        onnx.helper.make_node("Sub", ["x", "mean"], ["centred"]),
        onnx.helper.make_node("Transpose", ["weight"], ["turned"], perm=[1, 0]),
        onnx.helper.make_node("MatMul", ["centred", "turned"], ["logit"]),
    ]
    ports = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [None, None]) for name in ("x", "logit")]
    constants = [tensor("mean", np.array([1, 2, 3])), tensor("weight", np.arange(6).reshape(2, 3))]
    model = onnx.helper.make_model(onnx.helper.make_graph(nodes, "c", ports[:1], ports[1:], constants))
    assert [layer.name for layer in classifier_layers(model)] == ["weight"]
