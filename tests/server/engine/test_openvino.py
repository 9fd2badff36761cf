"""What a graph becomes before OpenVINO gets it."""

import sys

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from medxgan.bundle import load_bundle
from medxgan.server.engine import openvino
from medxgan.server.engine.ort_engine import providers_of
from medxgan.server.engine.parity import LARGEST_DEVIATION, largest_deviation
from medxgan.server.engine.providers import CPU, OPENVINO
from medxgan.server.engine.sample import sample_inputs
from medxgan.server.engine.selection import open_engine
from medxgan.server.engine.settings import EngineSettings
from medxgan.server.errors import UnsupportedError
from medxgan.v1 import bundle_pb2

STEP = bundle_pb2.GRAPH_ROLE_INVERSION_STEP
CONVOLUTIONS = ("Conv", "ConvTranspose")


@pytest.fixture(scope="module")
def bundle(tiny_bundle):
    return load_bundle(tiny_bundle)


def graph_of(bundle, role):
    return next(graph for graph in bundle.description.graphs if graph.role == role)


def readers(model: onnx.ModelProto) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for node in model.graph.node:
        if node.op_type in CONVOLUTIONS:
            found.setdefault(node.input[1], set()).add(node.op_type)
    return found


def test_no_weights_are_read_forwards_and_backwards_and_nothing_else_changes(bundle) -> None:
    graph = graph_of(bundle, STEP)
    file = bundle.folder / graph.file
    before = onnx.load(file)
    assert {"Conv", "ConvTranspose"} in readers(before).values(), "else there is nothing to see here"
    content = openvino.with_weights_apart(file)
    assert all(len(kinds) == 1 for kinds in readers(onnx.load_from_string(content)).values())
    side = bundle.description.image.height
    inputs = sample_inputs(graph, side)
    inputs["z"] = np.random.default_rng(0).standard_normal(inputs["z"].shape, np.float32)
    as_it_was, as_it_is = (ort.InferenceSession(each, providers=[CPU]).run(None, inputs) for each in (file, content))
    for one, other in zip(as_it_was, as_it_is, strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_opens_films_is_left_to_the_cpu(bundle) -> None:
    settings = EngineSettings("openvino", threads=3)
    chains = {
        role: providers_of(bundle, graph_of(bundle, role), [OPENVINO, CPU], settings)
        for role in (STEP, bundle_pb2.GRAPH_ROLE_OPEN)
    }
    assert [name for name, _ in chains[STEP]] == [OPENVINO, CPU]
    assert chains[STEP][0][1]["num_of_threads"] == "3"
    assert [name for name, _ in chains[bundle_pb2.GRAPH_ROLE_OPEN]] == [CPU]


def test_that_onnx_is_missing_is_said(bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(UnsupportedError, match="server-openvino"):
        openvino.with_weights_apart(bundle.folder / graph_of(bundle, STEP).file)


@pytest.mark.skipif(OPENVINO not in ort.get_available_providers(), reason="this ONNX Runtime has no OpenVINO")
def test_it_computes_what_the_cpu_does(bundle) -> None:
    engine, reference = (open_engine(bundle, EngineSettings(choice)) for choice in ("openvino", "cpu"))
    assert engine.execution.provider == OPENVINO
    assert largest_deviation(bundle, engine, reference).share <= LARGEST_DEVIATION
