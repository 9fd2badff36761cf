"""A bundle and an engine in numpy whose inversion has a known answer: the generator and the classifier are linear."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from hypothesis import settings

from medxgan.server.engine.port import Execution, FloatArray, InversionState, Losses
from medxgan.v1 import bundle_pb2
from medxgan.v1.bundle_pb2 import GraphRole

# Examples are not timed: a busy machine is no failure.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

SIDE, Z1, Z2 = 8, 4, 2


def linear_bundle() -> bundle_pb2.Bundle:
    return bundle_pb2.Bundle(
        name="linear",
        version="1",
        image=bundle_pb2.ImageSpecification(size=SIDE),
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
    may make it wait before a block (`gate`) or fail in one (`fault`), and sees who called it and how.
    """

    bundle: bundle_pb2.Bundle = field(default_factory=linear_bundle)
    encoder: bool = False
    fault: Exception | None = None
    gate: threading.Event = field(default_factory=threading.Event)
    at_gate: threading.Event = field(default_factory=threading.Event)
    blocks: list[tuple[int, int]] = field(default_factory=list)
    threads: set[int] = field(default_factory=set)

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

    def run(self, role: GraphRole, inputs: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
        self.threads.add(threading.get_ident())
        match role:
            case bundle_pb2.GRAPH_ROLE_GENERATOR:
                return {"image": self.generate(inputs["z"])}
            case bundle_pb2.GRAPH_ROLE_CLASSIFIER:
                return {"logit": self.logit(inputs["x"])}
            case bundle_pb2.GRAPH_ROLE_ENCODER:
                return {"z": by_row(inputs["x"].reshape(len(inputs["x"]), -1), self.basis.T)}
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
