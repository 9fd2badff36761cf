"""An engine in numpy whose inversion has a known answer, since its generator and its classifier are linear."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from medxgan.bundle.graphs import ATTRIBUTION_PARTS, output_names
from medxgan.server.engine.port import Execution, FloatArray, InversionState, Losses
from medxgan.v1 import bundle_pb2
from medxgan.v1.bundle_pb2 import GraphRole

SIDE, Z1, Z2 = 8, 4, 2

PASSES = {ATTRIBUTION_PARTS[0]: 1, ATTRIBUTION_PARTS[1]: 3, ATTRIBUTION_PARTS[2]: 5}
"""Passes of the classifier that one row costs in an attribution graph: forward, and two for each way back."""


def linear_bundle() -> bundle_pb2.Bundle:
    return bundle_pb2.Bundle(
        schema_version=2,
        name="linear",
        version="1",
        image=bundle_pb2.ImageSpecification(
            height=SIDE,
            width=SIDE,
            channels=1,
            lower_percentile=0,
            upper_percentile=100,
            aspect=bundle_pb2.ASPECT_STRETCH,
            modality="linear pattern",
        ),
        reliability=bundle_pb2.Reliability(maximum_reconstruction_mse=1, method="chosen by hand for tests"),
        latent=bundle_pb2.LatentSpecification(z1_size=Z1, z2_size=Z2),
        classification=bundle_pb2.Classification(
            outputs=[bundle_pb2.ClassifierOutput(name="lesion")],
            activation=bundle_pb2.OUTPUT_ACTIVATION_LOGISTIC,
            positive_class="lesion",
            negative_class="no lesion",
            decision_threshold=0.5,
        ),
        inversion=bundle_pb2.InversionSpecification(
            default_steps=100,
            maximum_steps=500,
            default_learning_rate=0.05,
            learning_rate_range=bundle_pb2.Interval(minimum=0.001, maximum=0.5),
            default_reconstruction_weight=4,
            reconstruction_weight_range=bundle_pb2.Interval(minimum=0.1, maximum=100),
            tolerance=0,
            check_interval=10,
            beta1=0.5,
            beta2=0.999,
            epsilon=1e-8,
        ),
        provenance=bundle_pb2.Provenance(data=["none"], license="Apache-2.0"),
    )


@dataclass
class LinearEngine:
    """G(z) = z · U with orthonormal rows U, C(x) = sigmoid(2 · sum of x's coordinates along U's pathology rows).

    So an image with the coordinates c has the latent code c, and its negative realization is c with z2 = 0. Where the
    bundle names further outputs of the classifier, they weigh x by other rows, see `weights`. The layer of C with
    activations is x itself. OPEN takes a film of S x S as it is.

    The test may make it wait before a block (`gate`) or fail in one (`fault`), and sees who called it and how: `log`
    has "block" for a block of gradient steps and the role's name for a stateless run, whose `rows` and `wanted` outputs
    it keeps too; `passes` counts those of the classifier beside the inversion, as `MapDescription.cost` does.
    """

    bundle: bundle_pb2.Bundle = field(default_factory=linear_bundle)
    encoder: bool = False
    unfamiliarity: Sequence[float] = ()
    fault: Exception | None = None
    gate: threading.Event = field(default_factory=threading.Event)
    at_gate: threading.Event = field(default_factory=threading.Event)
    blocks: list[tuple[int, int]] = field(default_factory=list)
    threads: set[int] = field(default_factory=set)
    log: list[str] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    wanted: list[Sequence[str] | None] = field(default_factory=list)
    passes: int = 0
    on_run: Callable[[], None] = lambda: None
    on_block: Callable[[InversionState], None] = lambda state: None

    def __post_init__(self) -> None:
        self.gate.set()
        columns, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((SIDE * SIDE, Z1 + Z2)))
        self.basis: FloatArray = columns.T.astype(np.float32)

    @property
    def positive(self) -> int:
        """Index of the positive class among the classifier's outputs."""
        classification = self.bundle.classification
        return output_names(classification).index(classification.positive_class)

    @property
    def weights(self) -> FloatArray:
        """[outputs, S·S]: what the classifier's outputs weigh x by."""
        outputs = self.bundle.classification
        weights = np.random.default_rng(1).normal(0, 0.3, (len(outputs.outputs), SIDE * SIDE)).astype(np.float32)
        weights[self.positive] = 2 * self.basis[Z1:].sum(0)
        return weights

    def image(self, *coordinates: float) -> FloatArray:
        """The image [1, 1, S, S] whose latent code is `coordinates`."""
        return self.generate(np.array([coordinates], np.float32))

    def generate(self, z: FloatArray) -> FloatArray:
        return by_row(z, self.basis).reshape(-1, 1, SIDE, SIDE)

    def logit(self, x: FloatArray) -> FloatArray:
        return 2 * by_row(x.reshape(len(x), -1), self.basis[Z1:].T).sum(1)

    def outputs(self, x: FloatArray) -> FloatArray:
        outputs = by_row(x.reshape(len(x), -1), self.weights.T)
        outputs[:, self.positive] = self.logit(x)
        return outputs

    is_shared = False

    @property
    def execution(self) -> Execution:
        return Execution("numpy", "numpy", "auto")

    def run(
        self, role: GraphRole, inputs: Mapping[str, FloatArray], outputs: Sequence[str] | None = None
    ) -> dict[str, FloatArray]:
        self.threads.add(threading.get_ident())
        self.log.append(GraphRole.Name(role).removeprefix("GRAPH_ROLE_").lower())
        self.rows.append(len(next(iter(inputs.values()))))
        self.wanted.append(outputs)
        self.on_run()
        match role:
            case bundle_pb2.GRAPH_ROLE_CLASSIFIER | bundle_pb2.GRAPH_ROLE_GENERATOR:
                self.passes += self.rows[-1]
            case bundle_pb2.GRAPH_ROLE_ATTRIBUTION:
                part = next(part for part in ATTRIBUTION_PARTS if set(part).issuperset(outputs or ATTRIBUTION_PARTS[2]))
                self.passes += self.rows[-1] * PASSES[part]
        results = self._run(role, inputs)
        return {name: results[name] for name in outputs or results}

    def _run(self, role: GraphRole, inputs: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
        match role:
            case bundle_pb2.GRAPH_ROLE_OPEN:
                x = inputs["image"]
                assert x.shape == (1, 1, SIDE, SIDE), "the films of this engine have the size of x"
                opened = {"x": x, "box": np.array([0, 0, SIDE, SIDE], np.float32), "logit": self.logit(x)}
                if self.bundle.HasField("familiarity"):
                    opened["unfamiliarity"] = np.array([self.unfamiliarity], np.float32)
                if self.encoder:
                    opened["z"] = by_row(x.reshape(1, -1), self.basis.T)
                return opened
            case bundle_pb2.GRAPH_ROLE_CLASSIFIER:
                return {"logit": self.logit(inputs["x"]), "outputs": self.outputs(inputs["x"])}
            case bundle_pb2.GRAPH_ROLE_GENERATOR:
                image = self.generate(inputs["z"])
                return {"image": image, "logit": self.logit(image)}
            case bundle_pb2.GRAPH_ROLE_CLOSE:
                x, z = inputs["x"], inputs["z"]
                anatomy = np.array([1] * Z1 + [0] * Z2, np.float32)
                reconstruction, negative = self.generate(z), self.generate(z * anatomy)
                closed = {
                    "reconstruction": reconstruction,
                    "negative_realization": negative,
                    "applied_negative": np.clip(x - (reconstruction - negative), -1, 1),
                }
                return closed | {f"{name}_logit": self.logit(image) for name, image in closed.items()}
            case bundle_pb2.GRAPH_ROLE_ATTRIBUTION:
                x = inputs["x"]
                target = inputs.get("target", np.ones((len(x), 1), np.float32))
                gradient = by_row(target, self.weights).reshape(x.shape)
                return {
                    "logit": (target * self.outputs(x)).sum(1),
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
        engine.on_block(self._state)
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
        update = state.learning_rate * unbiased_first / (np.sqrt(unbiased_second) + adam.epsilon)
        self._state = replace(state, z=state.z - update, first_moment=first, second_moment=second, step=step)
        return Losses(reconstruction, classification)

    def gradient(self, z: FloatArray) -> tuple[Losses, FloatArray]:
        engine, adam = self._engine, self._engine.bundle.inversion
        other = LinearRun(engine, replace(self._state, z=z))
        losses = other.advance(1)
        return losses, other.state().first_moment / np.float32(1 - adam.beta1)

    def state(self) -> InversionState:
        self._engine.threads.add(threading.get_ident())
        return self._state


def by_row(rows: FloatArray, matrix: FloatArray) -> FloatArray:
    """rows @ matrix, each row rounded as if it were alone, so that tests may ask for equal results to the last bit."""
    return np.stack([row @ matrix for row in rows])
