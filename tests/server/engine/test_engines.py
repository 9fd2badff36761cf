"""Both engines on a real bundle: the same answers, whoever shares the batch."""

import asyncio
import logging
import shutil
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray

from medxgan.server.bundle import LoadedBundle, load_bundle
from medxgan.server.engine.ort_engine import OrtEngine
from medxgan.server.engine.port import Engine, FloatArray, InversionState
from medxgan.server.engine.providers import CPU, CUDA, TENSORRT, available_chain, fallback_reason
from medxgan.server.engine.pruning import prune
from medxgan.server.engine.selection import open_engine
from medxgan.server.errors import BundleError, UnsupportedError
from medxgan.server.explainers.settings import resolve_attribution_settings
from medxgan.server.explanation import Explained, Explanation
from medxgan.server.graphs import PARTS
from medxgan.server.images.grey import GreyImage
from medxgan.server.inversion import InversionSettings
from medxgan.server.model import ServedModel
from medxgan.v1 import bundle_pb2, explanation_pb2


@pytest.fixture(scope="module")
def bundle(tiny_bundle: Path) -> LoadedBundle:
    """The tiny bundle, told to take all steps: an untrained network's loss settles at once."""
    loaded = load_bundle(tiny_bundle)
    loaded.description.inversion.tolerance = 0
    return loaded


@pytest.fixture(scope="module", params=["cpu", "torch"])
def engine(bundle: LoadedBundle, request: pytest.FixtureRequest) -> Engine:
    return open_engine(bundle, request.param, threads=1)


def random_state(bundle: LoadedBundle, rows: int) -> InversionState:
    draw = np.random.default_rng(0)
    description = bundle.description
    latents, side = description.latent.z1_size + description.latent.z2_size, description.image.size
    return InversionState(
        z=draw.standard_normal((rows, latents), np.float32),
        first_moment=np.zeros((rows, latents), np.float32),
        second_moment=np.zeros((rows, latents), np.float32),
        step=np.zeros(rows, np.float32),
        image=draw.uniform(-1, 1, (rows, 1, side, side)).astype(np.float32),
        target=draw.random(rows, np.float32),
        learning_rate=np.linspace(0.01, 0.05, rows, dtype=np.float32),
        reconstruction_weight=np.linspace(1, 8, rows, dtype=np.float32),
    )


def assert_equal(one: InversionState, other: InversionState) -> None:
    for field in fields(InversionState):
        np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name), err_msg=field.name)


def picture(index: int) -> GreyImage:
    """A blob on a gradient, of another size and in another place for each index."""
    rows, columns = np.mgrid[0 : 40 + index, 0 : 50 - index].astype(np.float32)
    blob = np.exp(-((rows - 15 - 2 * index) ** 2 + (columns - 20) ** 2) / (20 + 5 * index))
    return GreyImage(100 + rows + 80 * blob, inverted=index % 2 == 1)


def test_an_engine_warms_up_every_graph(engine):
    engine.warm_up()


def test_some_outputs_are_the_same_as_all_of_them(bundle, engine):
    x = random_state(bundle, 3).image
    everything = engine.run(bundle_pb2.GRAPH_ROLE_ATTRIBUTION, {"x": x})
    for outputs in (["logit"], ["gradient"], ["activations", "logit"], ["guided_gradient", "gradient"]):
        some = engine.run(bundle_pb2.GRAPH_ROLE_ATTRIBUTION, {"x": x}, outputs)
        assert list(some) == outputs
        for name, values in some.items():
            np.testing.assert_allclose(values, everything[name], rtol=1e-5, atol=1e-6, err_msg=name)


def test_some_outputs_are_computed_without_the_rest(bundle, monkeypatch):
    engine = OrtEngine(bundle, "cpu", threads=1)
    monkeypatch.delitem(engine._sessions, bundle_pb2.GRAPH_ROLE_ATTRIBUTION)
    x = random_state(bundle, 2).image
    for part in PARTS[bundle_pb2.GRAPH_ROLE_ATTRIBUTION]:
        engine.run(bundle_pb2.GRAPH_ROLE_ATTRIBUTION, {"x": x}, part)
    with pytest.raises(KeyError):
        engine.run(bundle_pb2.GRAPH_ROLE_ATTRIBUTION, {"x": x}, ["guided_gradient"])


@pytest.mark.parametrize(
    ("outputs", "present", "absent"),
    [
        (["logit"], {"Conv"}, {"ConvTranspose", "ScatterElements"}),
        (["logit", "gradient"], {"Conv", "ConvTranspose"}, set()),
    ],
)
def test_a_pruned_graph_holds_what_its_outputs_need_and_no_more(tiny_bundle, outputs, present, absent):
    whole = onnx.load(tiny_bundle / "attribution.onnx")
    pruned = onnx.load_from_string(prune(tiny_bundle / "attribution.onnx", outputs))
    onnx.checker.check_model(pruned)
    operators = {node.op_type for node in pruned.graph.node}
    assert present <= operators
    assert not absent & operators
    assert len(pruned.graph.node) < len(whole.graph.node)
    assert [each.name for each in pruned.graph.input] == ["x"]
    assert [each.name for each in pruned.graph.output] == outputs
    read = {name for node in pruned.graph.node for name in node.input}
    assert {weight.name for weight in pruned.graph.initializer} <= read


def test_a_branch_reads_what_lies_around_it(tmp_path):
    """y = |a| if x is positive, else b; a and b stand outside of the branches."""
    branch = {
        name: onnx.parser.parse_graph(f"{name} () => (float[N] {name}_out) {{ {name}_out = {operator} }}")
        for name, operator in {"then": "Abs(a)", "else": "Identity(b)"}.items()
    }
    graph = onnx.parser.parse_graph("g (float[N] x) => (float[N] y, float[N] z) { a = Neg(x) b = Exp(x) z = Sin(x) }")
    total = onnx.helper.make_node("ReduceSum", ["x"], ["total"], keepdims=0)
    positive = onnx.helper.make_node("Cast", ["total"], ["positive"], to=onnx.TensorProto.BOOL)
    choice = onnx.helper.make_node(
        "If", ["positive"], ["y"], then_branch=branch["then"], else_branch=branch["else"], name="choice"
    )
    graph.node.extend([total, positive, choice])
    file = tmp_path / "branch.onnx"
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9), file)
    session = onnxruntime.InferenceSession(prune(file, ["y"]))
    x = np.array([-1, 2], np.float32)
    np.testing.assert_allclose(session.run(["y"], {"x": x})[0], [1, 2])
    assert "Sin" not in {node.op_type for node in onnx.load_from_string(prune(file, ["y"])).graph.node}


def test_the_losses_are_those_of_the_picture_before_the_step(bundle, engine):
    state = random_state(bundle, 3)
    run = engine.start(state)
    run.advance(4)
    before = run.state()
    losses = run.advance(1)
    pictures = engine.run(bundle_pb2.GRAPH_ROLE_GENERATOR, {"z": before.z})["image"]
    logits = engine.run(bundle_pb2.GRAPH_ROLE_CLASSIFIER, {"x": pictures})["logit"].astype(np.float64)
    np.testing.assert_allclose(losses.reconstruction, ((pictures - state.image) ** 2).mean((1, 2, 3)), rtol=1e-4)
    cross_entropy = np.logaddexp(0, logits) - logits * state.target
    np.testing.assert_allclose(losses.classification, cross_entropy, rtol=1e-4, atol=1e-5)


def test_a_gradient_step_lowers_every_rows_loss(bundle, engine):
    state = replace(random_state(bundle, 3), learning_rate=np.full(3, 1e-3, np.float32))
    run = engine.start(state)
    first, second = run.advance(1), run.advance(1)
    total = [each.reconstruction * state.reconstruction_weight + each.classification for each in (first, second)]
    assert np.all(total[1] < total[0])


def test_steps_are_the_same_one_by_one_and_in_a_block(bundle, engine):
    state = random_state(bundle, 3)
    block, single = engine.start(state), engine.start(state)
    block.advance(5)
    for _ in range(5):
        single.advance(1)
    assert_equal(block.state(), single.state())
    np.testing.assert_array_equal(block.state().step, [5, 5, 5])


def test_a_run_taken_up_again_goes_on_as_if_it_had_never_left_the_device(bundle, engine):
    run = engine.start(random_state(bundle, 3))
    run.advance(3)
    resumed = engine.start(run.state())
    run.advance(4)
    resumed.advance(4)
    assert_equal(run.state(), resumed.state())


def test_what_came_back_to_the_host_stays_as_it_was(bundle, engine):
    given, untouched = random_state(bundle, 2), random_state(bundle, 2)
    run = engine.start(given)
    losses, state = run.advance(1), run.state()
    reconstruction, z = losses.reconstruction.copy(), state.z.copy()
    run.advance(2)
    np.testing.assert_array_equal(losses.reconstruction, reconstruction)
    np.testing.assert_array_equal(state.z, z)
    assert_equal(given, untouched)


def test_a_block_of_no_steps_is_refused(bundle, engine):
    with pytest.raises(ValueError, match="at least 1 step"):
        engine.start(random_state(bundle, 1)).advance(0)


def test_both_engines_take_the_same_steps(bundle):
    runs = [open_engine(bundle, choice, threads=1).start(random_state(bundle, 8)) for choice in ("cpu", "torch")]
    # Adam amplifies rounding where gradients are small, as an untrained network's are: over a few steps the engines
    # stay within the rounding of float32 (1e-7 per operation), over hundreds they may part.
    ort_losses, torch_losses = (run.advance(8) for run in runs)
    np.testing.assert_allclose(ort_losses.reconstruction, torch_losses.reconstruction, rtol=1e-4)
    np.testing.assert_allclose(ort_losses.classification, torch_losses.classification, rtol=1e-4, atol=1e-6)
    ort_images, torch_images = (images(bundle, run.state().z) for run in runs)
    np.testing.assert_allclose(ort_images, torch_images, atol=1e-4)


def images(bundle: LoadedBundle, z: FloatArray) -> FloatArray:
    return open_engine(bundle, "cpu", threads=1).run(bundle_pb2.GRAPH_ROLE_GENERATOR, {"z": z})["image"]


def explain_all(bundle: LoadedBundle, engine: Engine, indices: list[int]) -> list[Explanation]:
    """Explain pictures at the same time, each with its own settings, so that rows leave the batch one by one."""

    async def explain() -> list[Explanation]:
        model = ServedModel(bundle, engine, maximum_batch=8)
        await model.start()
        try:
            return await asyncio.gather(
                *(model.explain(picture(i), InversionSettings(60 - 5 * i, 0.02 + 0.003 * i, 4), i) for i in indices)
            )
        finally:
            await model.stop()

    return asyncio.run(explain())


def invert_all(bundle: LoadedBundle, engine: Engine, indices: list[int]) -> list[Explained]:
    return [explanation.explained for explanation in explain_all(bundle, engine, indices)]


def maps(explained: Explained) -> NDArray[np.float32]:
    return np.stack([explained.original, explained.reconstruction, explained.negative_realization])


def test_an_explanation_is_the_same_alone_and_with_seven_others(bundle, engine):
    together = invert_all(bundle, engine, list(range(8)))
    for index in (0, 5):
        (alone,) = invert_all(bundle, engine, [index])
        assert np.abs(maps(together[index]) - maps(alone)).max() <= 1e-4
        assert together[index].outcome.steps_taken == alone.outcome.steps_taken == 60 - 5 * index
        assert together[index].scores.reconstruction == pytest.approx(alone.scores.reconstruction, abs=1e-4)
    # The pictures differ, so a mix-up of rows would show.
    assert np.abs(together[0].reconstruction - together[5].reconstruction).max() > 1e-2


def test_the_same_request_gives_the_same_explanation(bundle, engine):
    first, second = (invert_all(bundle, engine, [3])[0] for _ in range(2))
    np.testing.assert_array_equal(maps(first), maps(second))


def test_the_parts_of_the_timing_add_up(bundle, engine):
    for explanation in explain_all(bundle, engine, [0, 1, 2]):
        timing = explanation.timing
        parts = [timing.queued_ms, timing.preprocess_ms, timing.inversion_ms, timing.maps_ms]
        assert min(parts) > 0
        assert sum(parts) == pytest.approx(timing.total_ms)


def test_classify_and_attribute_agree_on_the_logit(bundle, engine):
    methods = [explanation_pb2.ATTRIBUTION_METHOD_GRADIENT, explanation_pb2.ATTRIBUTION_METHOD_GRAD_CAM]
    settings = resolve_attribution_settings(explanation_pb2.AttributeRequest(), bundle.description)

    async def ask() -> None:
        model = ServedModel(bundle, engine, maximum_batch=8)
        await model.start()
        try:
            score = await model.classify(picture(0))
            x = await model.preprocess(picture(0))
            attributions = await model.attribute(x, methods, settings)
            (logit,) = await model.logits(x)
        finally:
            await model.stop()
        assert 1 / (1 + np.exp(-attributions.logit)) == pytest.approx(score, abs=1e-5)
        assert attributions.logit == pytest.approx(logit, abs=1e-5)
        np.testing.assert_array_equal(attributions.original, x[0, 0])
        side = bundle.description.image.size
        assert [each.method for each in attributions.maps] == methods
        assert [each.values.shape for each in attributions.maps] == [(side, side)] * 2
        assert np.abs(attributions.maps[0].values).max() > 0

    asyncio.run(ask())


def test_execution_says_what_runs(bundle):
    execution = open_engine(bundle, "cpu", threads=1).execution
    assert (execution.engine, execution.provider, execution.requested) == ("onnxruntime", CPU, "cpu")
    assert not execution.fallback_reason
    execution = open_engine(bundle, "torch", threads=1).execution
    assert (execution.engine, execution.provider, execution.requested) == ("torch", "cpu", "torch")


@pytest.mark.skipif(CUDA in onnxruntime.get_available_providers(), reason="this ONNX Runtime has CUDA")
@pytest.mark.parametrize(("choice", "wanted"), [("cuda", CUDA), ("tensorrt", TENSORRT)])
def test_falling_back_is_told_and_logged(bundle, caplog, choice, wanted):
    with caplog.at_level(logging.WARNING, logger="medxgan"):
        execution = open_engine(bundle, choice, threads=1).execution
    assert (execution.provider, execution.requested) == (CPU, choice)
    assert wanted in execution.fallback_reason
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    logged = {"event": "provider_fallback", "model": "tiny", "reason": execution.fallback_reason}
    assert logged.items() <= record.msg.items()


@pytest.mark.parametrize(
    ("choice", "available", "chain", "running", "reason"),
    [
        ("auto", [CPU], [CPU], CPU, ""),
        ("auto", [CUDA, CPU], [CUDA, CPU], CUDA, ""),
        ("auto", [TENSORRT, CUDA, CPU], [CUDA, CPU], CPU, "did not start"),
        ("cpu", [CUDA, CPU], [CPU], CPU, ""),
        ("cuda", [CPU], [CPU], CPU, "not in this build"),
        ("cuda", [CUDA, CPU], [CUDA, CPU], CPU, "did not start"),
        ("tensorrt", [TENSORRT, CUDA, CPU], [TENSORRT, CUDA, CPU], TENSORRT, ""),
        ("tensorrt", [CUDA, CPU], [CUDA, CPU], CUDA, "not in this build"),
    ],
)
def test_providers_of_a_choice(choice, available, chain, running, reason):
    assert available_chain(choice, available) == chain
    found = fallback_reason(choice, available, running)
    assert reason in found
    assert bool(found) == bool(reason)


def test_torch_that_is_not_installed_is_said_so(bundle, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "medxgan.server.engine.torch_engine", raising=False)
    with pytest.raises(UnsupportedError, match=r"pip install 'medxgan\[training\]'"):
        open_engine(bundle, "torch", threads=1)


def test_serving_on_onnx_runtime_never_imports_torch(tiny_bundle):
    code = (
        "import sys; from pathlib import Path; from medxgan.server.bundle import load_bundle; "
        "from medxgan.server.engine.selection import open_engine; from medxgan.server.model import ServedModel; "
        "ServedModel(b := load_bundle(Path(sys.argv[1])), open_engine(b, 'auto', 1), 8).engine.warm_up(); "
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(tiny_bundle)], check=True)


@pytest.fixture
def spoilt(tiny_bundle: Path, tmp_path: Path) -> LoadedBundle:
    """A copy of the bundle that the test may spoil after it was loaded."""
    return load_bundle(shutil.copytree(tiny_bundle, tmp_path / "tiny" / "1"))


def test_torch_needs_the_saved_program(spoilt):
    graphs = [each for each in spoilt.description.graphs if each.format == bundle_pb2.GRAPH_FORMAT_ONNX]
    del spoilt.description.graphs[:]
    spoilt.description.graphs.extend(graphs)
    with pytest.raises(BundleError, match=r"tiny/1: no torch\.export program"):
        open_engine(spoilt, "torch", threads=1)


def test_a_graph_that_onnx_runtime_cannot_load_is_refused(spoilt):
    (spoilt.folder / "classifier.onnx").write_bytes(b"not a graph")
    with pytest.raises(BundleError, match=r"classifier\.onnx: ONNX Runtime .* can't load it"):
        open_engine(spoilt, "cpu", threads=1)


def test_a_graph_whose_tensors_are_not_those_stated_is_refused(spoilt):
    shutil.copy(spoilt.folder / "encoder.onnx", spoilt.folder / "classifier.onnx")
    with pytest.raises(BundleError, match=r"classifier\.onnx: outputs: the graph has .*'z'.* states .*'logit'"):
        open_engine(spoilt, "cpu", threads=1)
