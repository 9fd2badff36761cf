"""What TensorRT is told, and where its engines are kept. No engine is built here: that takes a GPU."""

from dataclasses import replace
from pathlib import Path

import pytest

from medxgan.bundle import LoadedBundle, load_bundle
from medxgan.server.engine import tensorrt
from medxgan.server.engine.ort_engine import providers_of
from medxgan.server.engine.providers import CPU, CUDA, TENSORRT
from medxgan.server.engine.settings import EngineSettings, default_cache
from medxgan.v1 import bundle_pb2

CHAIN = [TENSORRT, CUDA, CPU]


@pytest.fixture(scope="module")
def bundle(tiny_bundle: Path) -> LoadedBundle:
    return load_bundle(tiny_bundle)


@pytest.fixture
def settings(tmp_path: Path) -> EngineSettings:
    return EngineSettings("tensorrt", device=1, maximum_rows=16, cache=tmp_path)


def test_the_shapes_of_every_input_are_stated(bundle, settings):
    step = bundle.graph(bundle_pb2.GRAPH_ROLE_INVERSION_STEP)
    options = tensorrt.options(bundle, step, settings)
    size = bundle.description.latent.z1_size + bundle.description.latent.z2_size
    side = bundle.description.image.height
    for bound, rows in (("min", 1), ("opt", 8), ("max", 16)):
        stated = dict(each.split(":") for each in options[f"trt_profile_{bound}_shapes"].split(","))
        assert set(stated) == {tensor.name for tensor in step.inputs}
        assert (stated["z"], stated["image"], stated["step"]) == (
            f"{rows}x{size}",
            f"{rows}x1x{side}x{side}",
            f"{rows}",
        )
    assert options["device_id"] == "1"
    assert options["trt_fp16_enable"] == "0"


def test_an_engine_is_fastest_for_no_more_rows_than_there_are(bundle, settings):
    step = bundle.graph(bundle_pb2.GRAPH_ROLE_INVERSION_STEP)
    options = tensorrt.options(bundle, step, replace(settings, maximum_rows=4))
    assert options["trt_profile_opt_shapes"] == options["trt_profile_max_shapes"]


def test_a_film_of_any_size_is_not_for_tensorrt(bundle, settings):
    chains = {
        graph.role: [name for name, _ in providers_of(bundle, graph, CHAIN, settings)]
        for graph in bundle.description.graphs
        if graph.format == bundle_pb2.GRAPH_FORMAT_ONNX
    }
    assert chains[bundle_pb2.GRAPH_ROLE_OPEN] == [CUDA, CPU]
    assert chains[bundle_pb2.GRAPH_ROLE_INVERSION_STEP] == CHAIN
    assert chains[bundle_pb2.GRAPH_ROLE_CLOSE] == CHAIN


def test_cuda_runs_on_the_device_asked_for_and_without_tf32(bundle, settings):
    step = bundle.graph(bundle_pb2.GRAPH_ROLE_INVERSION_STEP)
    ((_, options), _) = providers_of(bundle, step, [CUDA, CPU], settings)
    assert (options["device_id"], options["use_tf32"]) == ("1", "0")


def test_whatever_an_engine_depends_on_gives_it_another_place(bundle, settings, monkeypatch):
    step = bundle.graph(bundle_pb2.GRAPH_ROLE_INVERSION_STEP)
    close = bundle.graph(bundle_pb2.GRAPH_ROLE_CLOSE)

    def place(graph=step, settings=settings):
        return tensorrt.cache_folder(bundle, graph, settings)

    places = [place(), place(close), place(settings=replace(settings, maximum_rows=8))]
    places.append(place(settings=replace(settings, half_precision=True)))
    for name, value in (("version", lambda: "10.9"), ("device_name", lambda number: f"H{number}")):
        monkeypatch.setattr(tensorrt, name, value)
        places.append(place())
    assert len(set(places)) == len(places)
    assert place() == places[-1]
    assert {each.parents[2] for each in places} == {settings.cache / "tensorrt"}


def test_a_device_is_named_as_its_driver_does(tmp_path):
    for number, model in enumerate(("NVIDIA H200", "NVIDIA L4")):
        folder = tmp_path / f"0000:0{number}:00.0"
        folder.mkdir()
        (folder / "information").write_text(f"Model: \t\t {model}\nIRQ:   \t\t 9\n")
    assert [tensorrt.device_name(number, tmp_path) for number in range(3)] == ["NVIDIA H200", "NVIDIA L4", "unknown"]


def test_engines_are_there_once_every_graph_has_one(bundle, settings):
    assert not tensorrt.is_built(bundle, settings)
    taken = [
        graph
        for graph in bundle.description.graphs
        if graph.format == bundle_pb2.GRAPH_FORMAT_ONNX and tensorrt.takes(graph)
    ]
    for graph in taken:
        assert not tensorrt.is_built(bundle, settings)
        folder = tensorrt.cache_folder(bundle, graph, settings)
        folder.mkdir(parents=True)
        (folder / "TensorrtExecutionProvider_TRTKernel_graph_1_0_0_sm90.engine").touch()
    assert tensorrt.is_built(bundle, settings)
    assert not tensorrt.is_built(bundle, replace(settings, maximum_rows=32))


def test_engines_are_kept_in_the_users_cache_unless_told_otherwise(bundle, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    step = bundle.graph(bundle_pb2.GRAPH_ROLE_INVERSION_STEP)
    assert default_cache() == tmp_path / "medxgan"
    assert tensorrt.cache_folder(bundle, step, EngineSettings()).is_relative_to(tmp_path / "medxgan" / "tensorrt")
