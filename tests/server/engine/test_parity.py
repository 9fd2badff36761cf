"""An engine that computes something else than the CPU is found out, and not believed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from medxgan.bundle import LoadedBundle, load_bundle
from medxgan.server.engine import selection
from medxgan.server.engine.ort_engine import OrtEngine
from medxgan.server.engine.parity import LARGEST_DEVIATION, largest_deviation
from medxgan.server.engine.port import Execution, FloatArray, InversionRun, InversionState, Losses
from medxgan.server.engine.providers import CUDA, TENSORRT, missing_library
from medxgan.server.engine.selection import believed, open_engine
from medxgan.server.engine.settings import EngineSettings
from medxgan.server.errors import UnsupportedError
from medxgan.v1 import bundle_pb2

Spoil = Callable[[FloatArray], FloatArray]


class OnAnAccelerator:
    """A CPU engine that says it is another, one output of one graph being spoilt."""

    def __init__(
        self, engine: OrtEngine, requested: str, role: int, output: str, spoil: Spoil, provider: str = CUDA
    ) -> None:
        self._engine = engine
        self._spoilt = role, output, spoil
        self.execution = Execution("onnxruntime", provider, requested)
        self.is_shared = False

    def run(
        self, role: int, inputs: Mapping[str, FloatArray], outputs: Sequence[str] | None = None
    ) -> dict[str, FloatArray]:
        found = self._engine.run(role, inputs, outputs)
        spoilt, name, spoil = self._spoilt
        return {key: spoil(values) if (role, key) == (spoilt, name) else values for key, values in found.items()}

    def start(self, state: InversionState) -> InversionRun:
        role, name, spoil = self._spoilt
        run = self._engine.start(state)
        return SpoiltRun(run, spoil) if (role, name) == (bundle_pb2.GRAPH_ROLE_INVERSION_STEP, "gradient") else run

    def warm_up(self) -> None:
        self._engine.warm_up()


class SpoiltRun:
    def __init__(self, run: InversionRun, spoil: Spoil) -> None:
        self._run, self._spoil = run, spoil

    def advance(self, steps: int) -> Losses:
        return self._run.advance(steps)

    def gradient(self, z: FloatArray) -> tuple[Losses, FloatArray]:
        losses, gradient = self._run.gradient(z)
        return losses, self._spoil(gradient)

    def state(self) -> InversionState:
        return self._run.state()


@pytest.fixture(scope="module")
def bundle(tiny_bundle: Path) -> LoadedBundle:
    return load_bundle(tiny_bundle)


@pytest.fixture
def reference(bundle: LoadedBundle) -> OrtEngine:
    return OrtEngine(bundle, EngineSettings("cpu", 1))


def test_an_engine_is_not_away_from_itself(bundle, reference) -> None:
    assert largest_deviation(bundle, OrtEngine(bundle, EngineSettings("cpu", 1)), reference).share < 1e-6


def test_pytorch_is_near_enough(bundle, reference) -> None:
    assert (
        0
        < largest_deviation(bundle, open_engine(bundle, EngineSettings("torch", 1)), reference).share
        < LARGEST_DEVIATION
    )


SPOILT = [
    (bundle_pb2.GRAPH_ROLE_CLOSE, "negative_realization", "GRAPH_ROLE_CLOSE: negative_realization"),
    (bundle_pb2.GRAPH_ROLE_OPEN, "logit", "GRAPH_ROLE_OPEN: logit"),
    (bundle_pb2.GRAPH_ROLE_ATTRIBUTION, "gradient", "GRAPH_ROLE_ATTRIBUTION: gradient"),
    (bundle_pb2.GRAPH_ROLE_INVERSION_STEP, "gradient", "the gradient"),
]


@pytest.mark.parametrize(("role", "output", "where"), SPOILT)
def test_a_wrong_output_is_named_with_its_figure(bundle, reference, role, output, where) -> None:
    wrong = OnAnAccelerator(
        OrtEngine(bundle, EngineSettings("cpu", 1)), "cuda", role, output, lambda values: 1.1 * values
    )
    found = largest_deviation(bundle, wrong, reference)
    assert found.where == where
    assert found.share == pytest.approx(0.1, rel=1e-3)
    with pytest.raises(UnsupportedError, match=rf"{CUDA} is 0\.1 of the largest value away from CPU.* in {where}"):
        believed(bundle, wrong, reference)


def test_what_nobody_insisted_on_gives_way_to_the_cpu_and_says_why(bundle, reference) -> None:
    wrong = OnAnAccelerator(OrtEngine(bundle, EngineSettings("cpu", 1)), "auto", *SPOILT[0][:2], np.zeros_like)
    engine = believed(bundle, wrong, reference)
    assert engine is reference
    assert (engine.execution.requested, engine.execution.provider) == ("auto", "CPUExecutionProvider")
    assert "CUDAExecutionProvider is 1 of the largest value away" in engine.execution.fallback_reason


def test_what_is_not_finite_is_infinitely_wrong(bundle, reference) -> None:
    wrong = OnAnAccelerator(
        OrtEngine(bundle, EngineSettings("cpu", 1)), "auto", *SPOILT[0][:2], lambda values: np.full_like(values, np.nan)
    )
    assert largest_deviation(bundle, wrong, reference).share == float("inf")


def test_an_engine_that_is_right_is_kept(bundle, reference) -> None:
    right = OnAnAccelerator(
        OrtEngine(bundle, EngineSettings("cpu", 1)), "auto", *SPOILT[0][:2], lambda values: 1.001 * values
    )
    assert believed(bundle, right, reference) is right


@pytest.mark.parametrize(("factor", "is_taken"), [(1.001, True), (1.1, False)])
def test_half_precision_is_taken_only_where_it_is_near_enough(bundle, monkeypatch, tmp_path, factor, is_taken) -> None:
    opened: list[EngineSettings] = []

    def open_ort(bundle: LoadedBundle, settings: EngineSettings) -> OrtEngine | OnAnAccelerator:
        engine = OrtEngine(bundle, replace(settings, provider="cpu"))
        if settings.provider == "cpu":
            return engine
        opened.append(settings)
        off = factor if settings.half_precision else 1.0001
        return OnAnAccelerator(engine, "tensorrt", *SPOILT[0][:2], lambda values: off * values, TENSORRT)

    monkeypatch.setattr(selection, "OrtEngine", open_ort)
    engine = open_engine(bundle, EngineSettings("tensorrt", 1, half_precision=True, cache=tmp_path))
    assert engine.execution.provider == TENSORRT
    assert [settings.half_precision for settings in opened] == ([True] if is_taken else [True, False])


def test_the_library_that_a_provider_misses_is_named(tmp_path: Path) -> None:
    assert "libonnxruntime_providers_cuda.so" in missing_library(CUDA, tmp_path)
    (tmp_path / "libonnxruntime_providers_cuda.so").write_bytes(b"no library")
    assert "too short" in missing_library(CUDA, tmp_path)
