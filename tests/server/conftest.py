"""A bundle and an engine in numpy whose inversion has a known answer: the generator and the classifier are linear.

And real bundles that lack a generator, or whose classifier has several outputs.
"""

import asyncio
import hashlib
import json
import shutil
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import onnx
import pytest
from hypothesis import settings

from medxgan.server.bundle import LoadedBundle
from medxgan.server.engine.port import Engine, Execution, FloatArray, InversionState, Losses
from medxgan.server.engine.selection import open_engine
from medxgan.server.model import ServedModel
from medxgan.v1 import bundle_pb2
from medxgan.v1.bundle_pb2 import GraphRole

# Examples are not timed: a busy machine is no failure.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

SIDE, Z1, Z2 = 8, 4, 2

Answer = TypeVar("Answer")


def linear_bundle() -> bundle_pb2.Bundle:
    return bundle_pb2.Bundle(
        name="linear",
        version="1",
        image=bundle_pb2.ImageSpecification(size=SIDE),
        reliability=bundle_pb2.Reliability(maximum_reconstruction_mse=1),
        latent=bundle_pb2.LatentSpecification(z1_size=Z1, z2_size=Z2),
        classification=bundle_pb2.Classification(decision_threshold=0.5),
        inversion=bundle_pb2.InversionSpecification(
            default_steps=100,
            maximum_steps=500,
            default_learning_rate=0.05,
            learning_rate_range=bundle_pb2.FloatRange(minimum=0.001, maximum=0.5),
            default_reconstruction_weight=4,
            reconstruction_weight_range=bundle_pb2.FloatRange(minimum=0.1, maximum=100),
            tolerance=0,
            check_interval=10,
            beta1=0.5,
            beta2=0.999,
            epsilon=1e-8,
        ),
    )


@dataclass
class LinearEngine:
    """G(z) = z · U with orthonormal rows U, C(x) = sigmoid(2 · sum of x's coordinates along U's pathology rows).

    So an image with the coordinates c has the latent code c, and its negative realization is c with z2 = 0. The test
    may make it wait before a block (`gate`) or fail in one (`fault`), and sees who called it and how: `log` has "block"
    for a block of gradient steps and the role's name for a stateless run, whose `rows` and `wanted` outputs it keeps
    too. C's one layer with activations is x itself.
    """

    bundle: bundle_pb2.Bundle = field(default_factory=linear_bundle)
    encoder: bool = False
    fault: Exception | None = None
    gate: threading.Event = field(default_factory=threading.Event)
    at_gate: threading.Event = field(default_factory=threading.Event)
    blocks: list[tuple[int, int]] = field(default_factory=list)
    threads: set[int] = field(default_factory=set)
    log: list[str] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    wanted: list[Sequence[str] | None] = field(default_factory=list)
    on_run: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        self.gate.set()
        columns, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((SIDE * SIDE, Z1 + Z2)))
        self.basis: FloatArray = columns.T.astype(np.float32)

    def image(self, *coordinates: float) -> FloatArray:
        """The image [1, 1, S, S] whose latent code is `coordinates`."""
        return self.generate(np.array([coordinates], np.float32))

    def generate(self, z: FloatArray) -> FloatArray:
        return by_row(z, self.basis).reshape(-1, 1, SIDE, SIDE)

    def logit(self, x: FloatArray) -> FloatArray:
        return 2 * by_row(x.reshape(len(x), -1), self.basis[Z1:].T).sum(1)

    @property
    def execution(self) -> Execution:
        return Execution("numpy", "numpy", "auto")

    def has(self, role: GraphRole) -> bool:
        return self.encoder or role != bundle_pb2.GRAPH_ROLE_ENCODER

    def run(
        self, role: GraphRole, inputs: Mapping[str, FloatArray], outputs: Sequence[str] | None = None
    ) -> dict[str, FloatArray]:
        self.threads.add(threading.get_ident())
        self.log.append(GraphRole.Name(role).removeprefix("GRAPH_ROLE_").lower())
        self.rows.append(len(next(iter(inputs.values()))))
        self.wanted.append(outputs)
        self.on_run()
        results = self._run(role, inputs)
        return {name: results[name] for name in outputs or results}

    def _run(self, role: GraphRole, inputs: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
        match role:
            case bundle_pb2.GRAPH_ROLE_PREPROCESS:
                return {"x": inputs["image"]}
            case bundle_pb2.GRAPH_ROLE_GENERATOR:
                return {"image": self.generate(inputs["z"])}
            case bundle_pb2.GRAPH_ROLE_CLASSIFIER:
                return {"logit": self.logit(inputs["x"])}
            case bundle_pb2.GRAPH_ROLE_ENCODER:
                return {"z": by_row(inputs["x"].reshape(len(inputs["x"]), -1), self.basis.T)}
            case bundle_pb2.GRAPH_ROLE_ATTRIBUTION:
                x = inputs["x"]
                gradient = np.broadcast_to(2 * self.basis[Z1:].sum(0).reshape(1, 1, SIDE, SIDE), x.shape)
                return {
                    "logit": self.logit(x),
                    "gradient": gradient,
                    "activations": x,
                    "activation_gradients": gradient,
                    "guided_gradient": gradient,
                }
            case _:
                raise ValueError(role)

    def start(self, state: InversionState) -> "LinearRun":
        self.threads.add(threading.get_ident())
        return LinearRun(self, state)

    def warm_up(self) -> None:
        self.threads.add(threading.get_ident())


class LinearRun:
    def __init__(self, engine: LinearEngine, state: InversionState) -> None:
        self._engine = engine
        self._state = state

    def advance(self, steps: int) -> Losses:
        engine = self._engine
        engine.threads.add(threading.get_ident())
        engine.blocks.append((len(self._state.z), steps))
        engine.log.append("block")
        engine.at_gate.set()
        engine.gate.wait()
        if engine.fault is not None:
            fault, engine.fault = engine.fault, None
            raise fault
        for _ in range(steps):
            losses = self._step()
        return losses

    def _step(self) -> Losses:
        state, engine, adam = self._state, self._engine, self._engine.bundle.inversion
        picture = engine.generate(state.z)
        logit = engine.logit(picture)
        residual = (picture - state.image).reshape(len(picture), -1)
        reconstruction = (residual**2).mean(1)
        classification = np.maximum(logit, 0) - logit * state.target + np.log1p(np.exp(-np.abs(logit)))
        by_picture = state.reconstruction_weight[:, None] * 2 * residual / residual.shape[1]
        by_picture += (1 / (1 + np.exp(-logit)) - state.target)[:, None] * 2 * engine.basis[Z1:].sum(0)
        gradient = by_row(by_picture, engine.basis.T)
        step = state.step + 1
        first = adam.beta1 * state.first_moment + (1 - adam.beta1) * gradient
        second = adam.beta2 * state.second_moment + (1 - adam.beta2) * gradient**2
        unbiased_first, unbiased_second = (
            moment / (1 - beta**step)[:, None] for moment, beta in ((first, adam.beta1), (second, adam.beta2))
        )
        update = state.learning_rate[:, None] * unbiased_first / (np.sqrt(unbiased_second) + adam.epsilon)
        self._state = replace(state, z=state.z - update, first_moment=first, second_moment=second, step=step)
        return Losses(reconstruction, classification)

    def state(self) -> InversionState:
        self._engine.threads.add(threading.get_ident())
        return self._state


def by_row(rows: FloatArray, matrix: FloatArray) -> FloatArray:
    """rows @ matrix, each row rounded as if it were alone, so that tests may ask for equal results to the last bit."""
    return np.stack([row @ matrix for row in rows])


@pytest.fixture
def linear_engine() -> LinearEngine:
    """A fresh engine; the test may change its bundle's inversion settings."""
    return LinearEngine()


@pytest.fixture
def linear_loaded(linear_engine: LinearEngine) -> LoadedBundle:
    """The bundle of `linear_engine`, as a model is given it."""
    return LoadedBundle(Path(), linear_engine.bundle, "0" * 64)


Ask = Callable[..., Any]


@pytest.fixture(scope="session")
def ask() -> Ask:
    """Serves a bundle for one question: `ask(bundle, lambda model: …, maximum_batch=8, engine=None)`."""

    def ask_model(
        bundle: LoadedBundle,
        question: Callable[[ServedModel], Awaitable[Answer]],
        maximum_batch: int = 8,
        engine: Engine | None = None,
    ) -> Answer:
        async def serve() -> Answer:
            model = ServedModel(bundle, engine or open_engine(bundle, "cpu", threads=1), maximum_batch)
            await model.start()
            try:
                return await asyncio.wait_for(question(model), timeout=60)
            finally:
                await model.stop()

        return asyncio.run(serve())

    return ask_model


@pytest.fixture(scope="session")
def classifier_folder(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny bundle without its generator: a folder bare/1 to read, not to change."""
    folder = tmp_path_factory.mktemp("models_without_generator") / "bare" / "1"
    folder.mkdir(parents=True)
    description = json.loads((tiny_bundle / "bundle.json").read_bytes()) | {"name": "bare"}
    for field_name in ("latent", "inversion", "reliability"):
        del description[field_name]
    roles = ("PREPROCESS", "CLASSIFIER", "ATTRIBUTION")
    description["graphs"] = [
        graph for graph in description["graphs"] if graph["role"].removeprefix("GRAPH_ROLE_") in roles
    ]
    for graph in description["graphs"]:
        shutil.copy(tiny_bundle / graph["file"], folder)
    (folder / "bundle.json").write_text(json.dumps(description))
    return folder


CLASSES = ("effusion", "nodule", "clear")
POSITIVE = 1


@pytest.fixture(scope="session")
def several_weights() -> FloatArray:
    """The weights [3, S·S] of the linear classifier of `several_folder`."""
    return np.random.default_rng(3).normal(0, 0.1, (len(CLASSES), 32 * 32)).astype(np.float32)


@pytest.fixture(scope="session")
def several_folder(
    classifier_folder: Path, several_weights: FloatArray, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A bundle several/1 without generator, whose classifier W · x has three outputs, the second the positive one."""
    folder = tmp_path_factory.mktemp("models_with_several_outputs") / "several" / "1"
    shutil.copytree(classifier_folder, folder)
    image, target = "[-1, 1, 32, 32]", f"[-1, {len(CLASSES)}]"
    classifier = f"""
        <ir_version: 9, opset_import: ["" : 18]>
        classifier (float[B, 1, 32, 32] x) => (float[B] logit) <float[3, 1024] w, int64[2] flat = {{0, -1}},
            int64[1] p = {{{POSITIVE}}}, int64[2] others = {{0, 2}}, int64[1] one = {{1}}> {{
            rows = Reshape(x, flat)
            wt = Transpose <perm = [1, 0]> (w)
            outputs = MatMul(rows, wt)
            positive = Gather <axis = 1> (outputs, p)
            rest = Gather <axis = 1> (outputs, others)
            against = ReduceLogSumExp <keepdims = 1> (rest, one)
            odds = Sub(positive, against)
            logit = Squeeze(odds, one)
        }}"""
    attribution = """
        <ir_version: 9, opset_import: ["" : 18]>
        attribution (float[B, 1, 32, 32] x, float[B, 3] target) => (float[B] logit, float[B, 1, 32, 32] gradient,
            float[B, 1, 32, 32] activations, float[B, 1, 32, 32] activation_gradients,
            float[B, 1, 32, 32] guided_gradient) <float[3, 1024] w, int64[2] flat = {0, -1}, int64[1] one = {1}> {
            rows = Reshape(x, flat)
            chosen = MatMul(target, w)
            products = Mul(rows, chosen)
            logit = ReduceSum <keepdims = 0> (products, one)
            shape = Shape(x)
            gradient = Reshape(chosen, shape)
            activations = Identity(x)
            activation_gradients = Identity(gradient)
            guided_gradient = Relu(gradient)
        }"""
    weights = onnx.numpy_helper.from_array(several_weights, "w")
    description = json.loads((folder / "bundle.json").read_bytes()) | {"name": "several"}
    description["classification"] |= {"outputs": CLASSES, "positive_output": POSITIVE, "positive_class": "nodule"}
    for file, text in (("classifier.onnx", classifier), ("attribution.onnx", attribution)):
        model = onnx.parser.parse_model(text)
        model.graph.initializer.append(weights)
        onnx.checker.check_model(model)
        onnx.save(model, folder / file)
        graph = next(each for each in description["graphs"] if each["file"] == file)
        graph["sha256"] = hashlib.sha256((folder / file).read_bytes()).hexdigest()
        for tensor in graph["outputs"]:
            if tensor["name"].startswith("activation"):
                tensor["shape"] = json.loads(image)
        if file == "attribution.onnx":
            graph["inputs"].append({"name": "target", "data_type": "DATA_TYPE_FLOAT32", "shape": json.loads(target)})
    (folder / "bundle.json").write_text(json.dumps(description))
    return folder
