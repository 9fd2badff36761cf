"""Both engines on a real bundle: the same answers, whoever shares the batch."""

import asyncio
import logging
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray

from medxgan.bundle import BundleError, LoadedBundle, load_bundle
from medxgan.bundle.graphs import ATTRIBUTION_PARTS
from medxgan.server.engine.port import Engine, FloatArray, InversionState
from medxgan.server.engine.providers import CPU, CUDA, TENSORRT
from medxgan.server.engine.selection import open_engine
from medxgan.server.engine.settings import EngineSettings
from medxgan.server.errors import UnsupportedError
from medxgan.server.explanation.explanation import Explanation, Inverted
from medxgan.server.images.film import Film
from medxgan.server.models.admission import ModelCapacity
from medxgan.server.models.served_model import ServedModel
from medxgan.v1 import bundle_pb2
from medxgan.v1.explanation_pb2 import MAP_KIND_DIFFERENCE, MAP_KIND_GRAD_CAM, MAP_KIND_GRADIENT


@pytest.fixture(scope="module")
def bundle(tiny_bundle: Path) -> LoadedBundle:
    """The tiny bundle, told to take all steps: an untrained network's loss settles at once."""
    loaded = load_bundle(tiny_bundle)
    loaded.description.inversion.tolerance = 0
    return loaded


@pytest.fixture(scope="module", params=["cpu", "torch"])
def engine(bundle: LoadedBundle, request: pytest.FixtureRequest) -> Engine:
    return open_engine(bundle, EngineSettings(request.param, 1))


def random_state(bundle: LoadedBundle, rows: int) -> InversionState:
    draw = np.random.default_rng(0)
    description = bundle.description
    latents, side = description.latent.z1_size + description.latent.z2_size, description.image.height
    return InversionState(
        z=draw.standard_normal((rows, latents), np.float32),
        first_moment=np.zeros((rows, latents), np.float32),
        second_moment=np.zeros((rows, latents), np.float32),
        step=np.zeros(rows, np.float32),
        image=draw.uniform(-1, 1, (rows, 1, side, side)).astype(np.float32),
        target=draw.random(rows, np.float32),
        learning_rate=np.tile(np.linspace(0.01, 0.05, rows, dtype=np.float32)[:, np.newaxis], (1, latents)),
        reconstruction_weight=np.linspace(1, 8, rows, dtype=np.float32),
    )


def assert_equal(one: InversionState, other: InversionState) -> None:
    for field in fields(InversionState):
        np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name), err_msg=field.name)


def picture(index: int) -> Film:
    """A blob on a gradient, of another size and in another place for each index."""
    rows, columns = np.mgrid[0 : 40 + index, 0 : 50 - index].astype(np.float32)
    blob = np.exp(-((rows - 15 - 2 * index) ** 2 + (columns - 20) ** 2) / (20 + 5 * index))
    return Film(100 + rows + 80 * blob, inverted=index % 2 == 1)


def test_an_engine_warms_up_every_graph(engine):
    engine.warm_up()


@pytest.mark.parametrize("part", ATTRIBUTION_PARTS, ids=len)
def test_the_parts_of_the_attribution_agree(bundle, engine, part):
    x = random_state(bundle, 3).image
    everything = engine.run(bundle_pb2.GRAPH_ROLE_ATTRIBUTION, {"x": x}, ATTRIBUTION_PARTS[-1])
    some = engine.run(bundle_pb2.GRAPH_ROLE_ATTRIBUTION, {"x": x}, part)
    assert tuple(some) == part
    for name, values in some.items():
        np.testing.assert_allclose(values, everything[name], rtol=1e-5, atol=1e-6, err_msg=name)


def test_what_opens_and_closes_a_request_agrees_with_the_networks(bundle, engine):
    z = random_state(bundle, 3).z
    drawn = engine.run(bundle_pb2.GRAPH_ROLE_GENERATOR, {"z": z})
    x = drawn["image"]
    closed = engine.run(bundle_pb2.GRAPH_ROLE_CLOSE, {"x": x, "z": z})
    negative_z = z.copy()
    negative_z[:, bundle.description.latent.z1_size :] = 0
    negative = engine.run(bundle_pb2.GRAPH_ROLE_GENERATOR, {"z": negative_z})
    applied = np.clip(x - (x - negative["image"]), -1, 1)
    expected = {
        "reconstruction": x,
        "negative_realization": negative["image"],
        "applied_negative": applied,
        "reconstruction_logit": drawn["logit"],
        "negative_realization_logit": negative["logit"],
    }
    for name, values in expected.items():
        np.testing.assert_allclose(closed[name], values, rtol=1e-4, atol=1e-4, err_msg=name)
    logits = engine.run(bundle_pb2.GRAPH_ROLE_CLASSIFIER, {"x": closed["applied_negative"]})["logit"]
    np.testing.assert_allclose(closed["applied_negative_logit"], logits, rtol=1e-4, atol=1e-4)


def test_a_latent_with_the_learning_rate_0_stays_to_the_bit(bundle, engine):
    z1 = bundle.description.latent.z1_size
    state = random_state(bundle, 2)
    state.learning_rate[:, :z1] = 0
    run = engine.start(state)
    run.advance(5)
    moved = run.state().z
    assert moved[:, :z1].tobytes() == state.z[:, :z1].tobytes()
    assert np.all(moved[:, z1:] != state.z[:, z1:])


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


def test_threads_that_share_an_engine_do_not_disturb_each_other(bundle):
    """What an engine says of itself: as many threads as replicas may have, each with rows of its own."""
    engine = open_engine(bundle, EngineSettings("cpu", 1))
    assert engine.is_shared
    states = [random_state(bundle, rows) for rows in (1, 2, 3, 4)]

    def advanced(state: InversionState) -> InversionState:
        run = engine.start(state)
        for _ in range(10):
            run.advance(3)
        return run.state()

    alone = [advanced(state) for state in states]
    with ThreadPoolExecutor(len(states)) as threads:
        together = list(threads.map(advanced, states))
    for one, other in zip(alone, together, strict=True):
        assert_equal(one, other)


def test_a_gradient_step_lowers_every_rows_loss(bundle, engine):
    state = replace(random_state(bundle, 3), learning_rate=np.full((3, 18), 1e-3, np.float32))
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


def test_the_gradient_elsewhere_is_autograds_and_leaves_the_rows_alone(bundle, engine, tiny_model):
    state = random_state(bundle, 3)
    run = engine.start(state)
    z = state.z + np.float32(0.1)
    losses, gradient = run.gradient(z)

    code = torch.tensor(z, requires_grad=True)
    picture = tiny_model.generator(code)
    reconstruction = (picture - torch.from_numpy(state.image)).square().mean((1, 2, 3))
    logit, target = tiny_model.classifier(picture), torch.from_numpy(state.target)
    classification = torch.nn.functional.binary_cross_entropy_with_logits(logit, target, reduction="none")
    (torch.from_numpy(state.reconstruction_weight) * reconstruction + classification).sum().backward()
    np.testing.assert_allclose(losses.reconstruction, reconstruction.detach(), rtol=1e-4)
    np.testing.assert_allclose(losses.classification, classification.detach(), rtol=1e-4)
    np.testing.assert_allclose(gradient, code.grad, rtol=1e-3, atol=1e-5)

    other = engine.start(state)
    run.advance(3)
    other.advance(3)
    assert_equal(run.state(), other.state())


def test_a_block_of_no_steps_is_refused(bundle, engine):
    with pytest.raises(ValueError, match="at least 1 step"):
        engine.start(random_state(bundle, 1)).advance(0)


def test_both_engines_take_the_same_steps(bundle):
    runs = [
        open_engine(bundle, EngineSettings(choice, 1)).start(random_state(bundle, 8)) for choice in ("cpu", "torch")
    ]
    # Adam amplifies rounding where gradients are small, as an untrained network's are: over a few steps the engines
    # stay within the rounding of float32 (1e-7 per operation), over hundreds they may part.
    ort_losses, torch_losses = (run.advance(8) for run in runs)
    np.testing.assert_allclose(ort_losses.reconstruction, torch_losses.reconstruction, rtol=1e-4)
    np.testing.assert_allclose(ort_losses.classification, torch_losses.classification, rtol=1e-4, atol=1e-6)
    ort_images, torch_images = (images(bundle, run.state().z) for run in runs)
    np.testing.assert_allclose(ort_images, torch_images, atol=1e-4)


def images(bundle: LoadedBundle, z: FloatArray) -> FloatArray:
    return open_engine(bundle, EngineSettings("cpu", 1)).run(bundle_pb2.GRAPH_ROLE_GENERATOR, {"z": z})["image"]


@pytest.fixture(scope="module")
def explain_all(explaining):
    """Explains pictures at the same time, each with its own settings, so that rows leave the batch one by one."""

    def explain_pictures(bundle: LoadedBundle, engine: Engine, indices: list[int]) -> list[Explanation]:
        async def explain() -> list[Explanation]:
            model = ServedModel(bundle, [engine], ModelCapacity())
            await model.start()
            try:
                return await asyncio.gather(
                    *(
                        explaining(
                            model,
                            picture(index),
                            [MAP_KIND_DIFFERENCE],
                            seed=index,
                            inversion={"steps": 24 - 2 * index, "learning_rate": 0.02 + 0.003 * index},
                        )
                        for index in indices
                    )
                )
            finally:
                await model.stop()

        return asyncio.run(explain())

    return explain_pictures


def pictures(inverted: Inverted) -> NDArray[np.float32]:
    return np.stack([inverted.reconstruction, inverted.negative_realization, inverted.applied_negative])


def test_an_explanation_is_the_same_alone_and_with_seven_others(bundle, engine, explain_all):
    # Another batch size rounds otherwise, and Adam amplifies that with every step: hence few steps.
    together = [each.inverted for each in explain_all(bundle, engine, list(range(8)))]
    for index in (0, 5):
        (alone,) = (each.inverted for each in explain_all(bundle, engine, [index]))
        assert np.abs(pictures(together[index]) - pictures(alone)).max() <= 1e-4
        assert together[index].steps_taken == alone.steps_taken == 24 - 2 * index
        assert together[index].reconstruction_score.probability == pytest.approx(
            alone.reconstruction_score.probability, abs=1e-4
        )
    # The pictures differ, so a mix-up of rows would show.
    assert np.abs(together[0].reconstruction - together[5].reconstruction).max() > 1e-2


def test_the_same_request_gives_the_same_explanation(bundle, engine, explain_all):
    first, second = (explain_all(bundle, engine, [3])[0].inverted for _ in range(2))
    np.testing.assert_array_equal(pictures(first), pictures(second))


def test_the_score_and_the_attribution_agree_on_the_logit(bundle, engine, explain):
    explanation = explain(bundle, picture(0), [MAP_KIND_GRADIENT, MAP_KIND_GRAD_CAM], engine=engine)
    score = explanation.opened.score.probability
    assert 1 / (1 + np.exp(-explanation.target_logit)) == pytest.approx(score, abs=1e-5)
    side = bundle.description.image.height
    assert [each.values.shape for each in explanation.maps.values()] == [(side, side)] * 2
    assert np.abs(explanation.maps[MAP_KIND_GRADIENT].values).max() > 0


def test_execution_says_what_runs(bundle):
    execution = open_engine(bundle, EngineSettings("cpu", 1)).execution
    assert (execution.engine, execution.provider, execution.requested) == ("onnxruntime", CPU, "cpu")
    assert not execution.fallback_reason
    execution = open_engine(bundle, EngineSettings("torch", 1)).execution
    assert (execution.engine, execution.provider, execution.requested) == ("torch", "cpu", "torch")


@pytest.mark.skipif(CUDA in onnxruntime.get_available_providers(), reason="this ONNX Runtime has CUDA")
@pytest.mark.parametrize(("choice", "wanted"), [("cuda", CUDA), ("tensorrt", TENSORRT)])
def test_falling_back_is_told_and_logged(bundle, caplog, choice, wanted):
    with caplog.at_level(logging.WARNING, logger="medxgan"):
        execution = open_engine(bundle, EngineSettings(choice, 1)).execution
    assert (execution.provider, execution.requested) == (CPU, choice)
    assert wanted in execution.fallback_reason
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    logged = {"event": "provider_fallback", "model": "tiny/1", "reason": execution.fallback_reason}
    assert logged.items() <= record.msg.items()


def test_torch_that_is_not_installed_is_said_so(bundle, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "medxgan.server.engine.torch_engine", raising=False)
    with pytest.raises(UnsupportedError, match=r"pip install 'medxgan\[torch\]'"):
        open_engine(bundle, EngineSettings("torch", 1))


def test_serving_on_onnx_runtime_imports_neither_torch_nor_onnx(tiny_bundle):
    code = (
        "import sys; from pathlib import Path; from medxgan.bundle import load_bundle\n"
        "from medxgan.server.engine.selection import open_engine\n"
        "from medxgan.server.engine.settings import EngineSettings\n"
        "from medxgan.server.models.admission import ModelCapacity\n"
        "from medxgan.server.models.served_model import ServedModel\n"
        "bundle = load_bundle(Path(sys.argv[1]))\n"
        "ServedModel(bundle, [open_engine(bundle, EngineSettings('auto', 1))], ModelCapacity()).engine.warm_up()\n"
        "sys.exit('torch' in sys.modules or 'onnx' in sys.modules)"
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
        open_engine(spoilt, EngineSettings("torch", 1))


def test_torch_reads_its_weights_from_the_bundles_one_file(spoilt):
    """Weights of 0 in it are weights of 0 in the program, whose own file is untouched."""
    whole, state = open_engine(spoilt, EngineSettings("torch", 1)), random_state(spoilt, 1)
    graph = spoilt.graph(bundle_pb2.GRAPH_ROLE_INVERSION_STEP, bundle_pb2.GRAPH_FORMAT_TORCH_EXPORT)
    assert graph.weights
    for name in {weight.file for weight in graph.weights}:
        (spoilt.folder / name).write_bytes(bytes((spoilt.folder / name).stat().st_size))
    blank = open_engine(spoilt, EngineSettings("torch", 1))
    losses = [each.start(state).advance(1).reconstruction for each in (whole, blank)]
    assert np.abs(losses[0] - losses[1]).max() > 1e-3
