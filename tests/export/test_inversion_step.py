"""The stored gradient step, ONNX and `torch.export`, against the reference inversion of the training room."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper
from torch import Tensor, nn

from medxgan.bundle import load_bundle
from medxgan.bundle.graphs import CONSTANTS, LOSSES, STATE
from medxgan.export.computations import ANY, Computation, sample, tensor
from medxgan.export.decompositions import gradient_decompositions
from medxgan.export.inversion_step import binary_cross_entropy, inversion_step
from medxgan.export.onnx_graphs import onnx_model, write_onnx
from medxgan.export.programs import export_program, read_program
from medxgan.export.reference import StepState
from medxgan.export.step_verification import TRAJECTORY
from medxgan.export.tracing import trace
from medxgan.export.weight_file import WeightFile
from medxgan.training.inversion import invert
from medxgan.training.model import TrainedModel
from medxgan.v1.bundle_pb2 import GRAPH_FORMAT_TORCH_EXPORT, GRAPH_ROLE_INVERSION_STEP, InversionSpecification

Array = NDArray[np.float32]
Tensors = dict[str, Array]
Step = Callable[[Mapping[str, Array]], Tensors]

STEP_INPUTS = (*STATE, *CONSTANTS)
STEP_OUTPUTS = (*(f"next_{name}" for name in STATE), *LOSSES)


@pytest.fixture(scope="module")
def onnx_step(tiny_bundle: Path) -> Step:
    session = onnxruntime.InferenceSession(tiny_bundle / "inversion_step.onnx", providers=["CPUExecutionProvider"])
    return lambda inputs: dict(zip(STEP_OUTPUTS, session.run(list(STEP_OUTPUTS), dict(inputs)), strict=True))


@pytest.fixture(scope="module")
def program_step(tiny_bundle: Path) -> Step:
    graph = load_bundle(tiny_bundle).graph(GRAPH_ROLE_INVERSION_STEP, GRAPH_FORMAT_TORCH_EXPORT)
    assert graph is not None
    program = read_program(graph, tiny_bundle).module()

    def step(inputs: Mapping[str, Array]) -> Tensors:
        outputs = program(*(torch.from_numpy(inputs[name]) for name in STEP_INPUTS))
        return {name: value.numpy() for name, value in zip(STEP_OUTPUTS, outputs, strict=True)}

    return step


@pytest.fixture(scope="module", params=["onnx_step", "program_step"])
def step(request: pytest.FixtureRequest) -> Step:
    chosen: Step = request.getfixturevalue(request.param)
    return chosen


def rows(model: TrainedModel, batch: int, seed: int = 0) -> Tensors:
    """Inversions at their start, all with settings of their own, of pictures that the generator almost can make."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        image = model.generator(torch.randn(batch, 18, generator=random))
        image = (image + 0.1 * torch.randn(image.shape, generator=random)).clamp(-1, 1)
        target = torch.sigmoid(model.classifier(image))
    z = 0.5 * torch.randn(batch, 18, generator=random)
    return {
        "z": z.numpy(),
        "first_moment": np.zeros((batch, 18), np.float32),
        "second_moment": np.zeros((batch, 18), np.float32),
        "step": np.zeros(batch, np.float32),
        "image": image.numpy(),
        "target": target.numpy(),
        "learning_rate": np.linspace(0.01, 0.03, batch, dtype=np.float32)[:, None].repeat(18, 1),
        "reconstruction_weight": np.linspace(8, 2, batch, dtype=np.float32),
    }


def advanced(state: Tensors, outputs: Tensors) -> Tensors:
    return state | {name: outputs[f"next_{name}"] for name in STATE}


@pytest.mark.parametrize("batch", [1, 3, 8])
def test_the_losses_follow_the_reference_inversion(step: Step, tiny_model: TrainedModel, batch: int) -> None:
    state = rows(tiny_model, batch) | {
        "learning_rate": np.full((batch, 18), 0.02, np.float32),
        "reconstruction_weight": np.full(batch, 4, np.float32),
    }
    reference = invert(
        tiny_model.generator,
        tiny_model.classifier,
        torch.from_numpy(state["image"]),
        torch.from_numpy(state["z"]),
        steps=40,
        learning_rate=0.02,
        reconstruction_weight=4,
    )
    reconstruction, classification = [], []
    for _ in range(40):
        outputs = step(state)
        reconstruction.append(outputs["reconstruction_loss"])
        classification.append(outputs["classification_loss"])
        state = advanced(state, outputs)
    total = 4 * reference.reconstruction_loss + reference.classification_loss
    found = 4 * torch.from_numpy(np.stack(reconstruction)) + torch.from_numpy(np.stack(classification))
    # A row that comes within rounding of a ReLU's kink takes another step there than PyTorch in float32, which itself
    # takes another than in float64; from then on the ways part, by less than `TRAJECTORY` of the first loss.
    assert bool(((found - total).abs() < TRAJECTORY * total[0]).all())
    # Before Adam has amplified any rounding, they are the same.
    torch.testing.assert_close(found[:3], total[:3], rtol=1e-4, atol=1e-4)
    assert (total[-1] < total[0]).all()


def test_a_row_does_not_depend_on_its_batch(step: Step, tiny_model: TrainedModel) -> None:
    together = rows(tiny_model, 8) | {"step": np.arange(8, dtype=np.float32)}
    outputs = step(together)
    for row in range(8):
        alone = step({name: value[row : row + 1] for name, value in together.items()})
        for name in STEP_OUTPUTS[1:]:
            largest = np.abs(outputs[name][row]).max()
            np.testing.assert_allclose(alone[name][0], outputs[name][row], rtol=1e-4, atol=1e-5 * largest, err_msg=name)


def test_each_row_counts_its_own_steps(step: Step, tiny_model: TrainedModel) -> None:
    """Adam's first update is as long as the learning rate; with the moments of a start, a later one is not."""
    state = rows(tiny_model, 3) | {"step": np.array([0, 5, 99], np.float32)}
    outputs = step(state)
    assert outputs["next_step"].tolist() == [1, 6, 100]
    moved = np.abs(outputs["next_z"] - state["z"]).max(1) / state["learning_rate"][:, 0]
    counts = outputs["next_step"]
    expected = 0.5 / (1 - 0.5**counts) / np.sqrt(0.001 / (1 - 0.999**counts))
    np.testing.assert_allclose(moved, expected, rtol=1e-3)


@pytest.mark.parametrize("varied", ["z", "image", "target", "reconstruction_weight"])
def test_the_gradient_varies_with_each_input(step: Step, tiny_model: TrainedModel, varied: str) -> None:
    """A gradient that was frozen into a constant would be the same in both rows."""
    both = rows(tiny_model, 2)
    alike = {name: np.repeat(value[:1], 2, axis=0) for name, value in both.items()}
    same, different = (step(inputs)["next_first_moment"] for inputs in (alike, alike | {varied: both[varied]}))
    assert np.ptp(same, axis=0).max() < 1e-5 * np.abs(same).max()
    assert np.ptp(different, axis=0).max() > 1e-2 * np.abs(different).max()


def test_losses_are_those_before_the_update(step: Step, tiny_model: TrainedModel) -> None:
    state = rows(tiny_model, 3)
    outputs = step(state)
    with torch.no_grad():
        picture = tiny_model.generator(torch.from_numpy(state["z"]))
        logit = tiny_model.classifier(picture)
    reconstruction = ((picture.numpy() - state["image"]) ** 2).mean((1, 2, 3))
    classification = F.binary_cross_entropy_with_logits(logit, torch.from_numpy(state["target"]), reduction="none")
    np.testing.assert_allclose(outputs["reconstruction_loss"], reconstruction, rtol=1e-5)
    np.testing.assert_allclose(outputs["classification_loss"], classification, rtol=1e-4, atol=1e-6)


def test_a_latent_of_rate_zero_stays_and_the_others_move_as_they_would(step: Step, tiny_model: TrainedModel) -> None:
    state = rows(tiny_model, 2)
    held = state["learning_rate"].copy()
    held[:, :12] = 0
    free, still = step(state), step(state | {"learning_rate": held})
    np.testing.assert_array_equal(still["next_z"][:, :12], state["z"][:, :12])
    np.testing.assert_array_equal(still["next_z"][:, 12:], free["next_z"][:, 12:])
    assert (free["next_z"][:, :12] != state["z"][:, :12]).any()


def test_the_step_can_stand_inside_a_loop(tiny_bundle: Path, onnx_step: Step, tiny_model: TrainedModel) -> None:
    session = onnxruntime.InferenceSession(looped(onnx.load(tiny_bundle / "inversion_step.onnx")).SerializeToString())
    state = rows(tiny_model, 3)
    inputs = {f"start_{name}" if name in STATE else name: value for name, value in state.items()}
    ended = session.run([f"end_{name}" for name in STATE], inputs | {"steps": np.array(7, np.int64)})
    for _ in range(7):
        state = advanced(state, onnx_step(state))
    for name, value in zip(STATE, ended, strict=True):
        np.testing.assert_allclose(value, state[name], rtol=1e-5, atol=1e-6, err_msg=name)


def looped(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph as the body of an ONNX Loop: the state goes round, everything else is taken from outside."""
    body = model.graph
    inputs = {each.name: each for each in body.input}
    outputs = {each.name: each for each in body.output}
    iteration = helper.make_tensor_value_info("iteration", TensorProto.INT64, [])
    condition = helper.make_tensor_value_info("condition", TensorProto.BOOL, [])
    going_on = helper.make_tensor_value_info("going_on", TensorProto.BOOL, [])
    inside = helper.make_graph(
        [helper.make_node("Identity", ["condition"], ["going_on"]), *body.node],
        "body",
        [iteration, condition, *(inputs[name] for name in STATE)],
        [going_on, *(outputs[f"next_{name}"] for name in STATE)],
        body.initializer,
    )
    loop = helper.make_node(
        "Loop", ["steps", "", *(f"start_{name}" for name in STATE)], [f"end_{name}" for name in STATE], body=inside
    )

    def renamed(name: str, prefix: str) -> onnx.ValueInfoProto:
        return helper.make_value_info(f"{prefix}_{name}", inputs[name].type)

    outside = helper.make_graph(
        [loop],
        "inversion",
        [
            helper.make_tensor_value_info("steps", TensorProto.INT64, []),
            *(renamed(name, "start") for name in STATE),
            *(inputs[name] for name in STEP_INPUTS if name not in STATE),
        ],
        [renamed(name, "end") for name in STATE],
    )
    whole = helper.make_model(outside, opset_imports=model.opset_import, ir_version=model.ir_version)
    onnx.checker.check_model(whole)
    return whole


class Echo(nn.Module):
    """z [B, 4] laid out as an image [B, 1, 2, 2]."""

    def forward(self, z: Tensor) -> Tensor:
        return z.reshape(-1, 1, 2, 2)


class Indifferent(nn.Module):
    """Logit 0 for every image."""

    def forward(self, x: Tensor) -> Tensor:
        return (0 * x).sum((1, 2, 3))


def test_epsilon_still_counts_where_gradients_are_as_small(tmp_path: Path) -> None:
    """An optimizer of graphs may take 1e-8 for 0, and Adam would then go a full step along the tiniest gradient."""
    adam = InversionSpecification(beta1=0.5, beta2=0.999, epsilon=1e-8)
    latents = {name: tensor(name, ANY, 4) for name in (*STATE[:3], "learning_rate")} | {
        "image": tensor("image", ANY, 1, 2, 2)
    }
    inputs = tuple(latents.get(name, tensor(name, ANY)) for name in STEP_INPUTS)
    traced = trace(inversion_step(Echo(), Indifferent(), adam), sample(inputs), gradient_decompositions())
    computation = Computation(GRAPH_ROLE_INVERSION_STEP, traced, inputs, STEP_OUTPUTS)
    model = onnx_model(computation, export_program(computation))
    write_onnx(model, tmp_path / "step.onnx", WeightFile(tmp_path / "weights.bin"))

    state = StepState(
        z=torch.tensor([[1.0, 2.0, -1.0, -4.0]]),
        first_moment=torch.zeros(1, 4),
        second_moment=torch.zeros(1, 4),
        step=torch.zeros(1),
        image=torch.zeros(1, 1, 2, 2),
        target=torch.full((1,), 0.5),
        learning_rate=torch.full((1, 4), 0.1),
        reconstruction_weight=torch.full((1,), 2e-8),
    )
    session = onnxruntime.InferenceSession(tmp_path / "step.onnx", providers=["CPUExecutionProvider"])
    (next_z,) = session.run(["next_z"], {name: value.numpy() for name, value in state.tensors().items()})
    # The gradient is z times 1e-8, so the update is z / (|z| + 1) of the learning rate.
    np.testing.assert_allclose(next_z - state.z.numpy(), [[-0.05, -0.1 * 2 / 3, 0.05, 0.08]], rtol=1e-4)


@given(st.floats(-200, 200, width=32), st.floats(0, 1, width=32))
def test_cross_entropy_from_logits_of_any_size(logit: float, target: float) -> None:
    pair = torch.tensor([logit]), torch.tensor([target])
    expected = F.binary_cross_entropy_with_logits(*pair, reduction="none")
    # float32 resolves 200 to 1.5e-5.
    torch.testing.assert_close(binary_cross_entropy(*pair), expected, rtol=1e-6, atol=3e-5)
