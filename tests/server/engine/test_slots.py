"""Batches in buffers of fixed sizes: the same steps as without, and the same buffers again and again."""

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medxgan.bundle import LoadedBundle, load_bundle
from medxgan.bundle.graphs import STATE
from medxgan.server.engine.buckets import bucket_of, bucket_sizes, filled
from medxgan.server.engine.ort_engine import OrtEngine
from medxgan.server.engine.port import InversionState
from medxgan.server.engine.settings import EngineSettings
from medxgan.server.engine.slots import CAPTURED_GRAPH, NO_SYNCHRONISATION, SlotPool
from medxgan.v1 import bundle_pb2

SIZES = (1, 2, 4)


@pytest.fixture(scope="module")
def bundle(tiny_bundle: Path) -> LoadedBundle:
    return load_bundle(tiny_bundle)


@pytest.fixture(scope="module")
def exact(bundle: LoadedBundle) -> OrtEngine:
    """Every batch in buffers of its own size."""
    return OrtEngine(bundle, EngineSettings("cpu", 1))


@pytest.fixture(scope="module")
def fixed(bundle: LoadedBundle) -> OrtEngine:
    return OrtEngine(bundle, EngineSettings("cpu", 1), sizes=SIZES)


def state(bundle: LoadedBundle, rows: int, seed: int = 0) -> InversionState:
    random = np.random.default_rng(seed)
    latent, side = bundle.description.latent, bundle.description.image.height
    size = latent.z1_size + latent.z2_size
    zeros = np.zeros((rows, size), np.float32)
    return InversionState(
        z=random.standard_normal((rows, size), np.float32),
        first_moment=zeros,
        second_moment=zeros,
        step=np.zeros(rows, np.float32),
        image=random.uniform(-1, 1, (rows, 1, side, side)).astype(np.float32),
        target=np.linspace(0.1, 0.9, rows, dtype=np.float32),
        learning_rate=np.full((rows, size), 0.05, np.float32),
        reconstruction_weight=np.full(rows, 4, np.float32),
    )


@given(st.integers(1, 100), st.integers(1, 100))
def test_at_most_half_of_a_batch_is_filling(maximum, rows):
    sizes = bucket_sizes(maximum)
    assert sizes == tuple(sorted(set(sizes)))
    assert sizes[-1] == maximum
    if rows <= maximum:
        assert rows <= bucket_of(rows, sizes) < 2 * rows or rows == bucket_of(rows, sizes)
    else:
        assert bucket_of(rows, sizes) == rows


def test_what_fills_a_batch_are_copies_of_its_last_row(bundle):
    whole = filled(state(bundle, 3), 5)
    for name, values in vars(whole).items():
        assert len(values) == 5, name
        np.testing.assert_array_equal(values[3:], np.repeat(values[2:3], 2, 0))
    alone = state(bundle, 3)
    assert filled(alone, 3) is alone


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 5])
def test_filling_changes_no_row(bundle, exact, fixed, rows):
    begun = state(bundle, rows)
    ours, theirs = fixed.start(begun), exact.start(begun)
    for steps in (1, 2, 3):
        one, other = ours.advance(steps), theirs.advance(steps)
        assert one.reconstruction.shape == (rows,)
        np.testing.assert_allclose(one.reconstruction, other.reconstruction, rtol=1e-5)
        np.testing.assert_allclose(one.classification, other.classification, rtol=1e-4, atol=1e-6)
    one, other = ours.state(), theirs.state()
    for name in STATE:
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-3, atol=1e-4, err_msg=name)
    np.testing.assert_array_equal(one.image, begun.image)


def test_a_gradient_elsewhere_leaves_the_rows_where_they_are(bundle, exact, fixed):
    begun = state(bundle, 3)
    elsewhere = begun.z + np.float32(0.1)
    ours, theirs = fixed.start(begun), exact.start(begun)
    np.testing.assert_allclose(ours.gradient(elsewhere)[1], theirs.gradient(elsewhere)[1], rtol=1e-3, atol=1e-6)
    np.testing.assert_array_equal(ours.state().z, begun.z)


def test_buffers_are_used_again_and_hold_nothing_of_those_before(bundle, exact):
    engine = OrtEngine(bundle, EngineSettings("cpu", 1), sizes=SIZES)
    made = count_made(engine)
    for seed, rows in enumerate((3, 4, 3, 4)):
        run = engine.start(state(bundle, rows, seed))
        np.testing.assert_allclose(
            run.advance(2).reconstruction,
            exact.start(state(bundle, rows, seed)).advance(2).reconstruction,
            rtol=1e-5,
        )
        del run
    assert made == [4], "one set of buffers of four rows was enough"


def test_runs_at_the_same_time_have_buffers_of_their_own(bundle):
    engine = OrtEngine(bundle, EngineSettings("cpu", 1), sizes=SIZES)
    made = count_made(engine)
    one, other = engine.start(state(bundle, 2, 1)), engine.start(state(bundle, 2, 2))
    before = one.state().z
    other.advance(3)
    np.testing.assert_array_equal(one.state().z, before)
    assert made == [2, 2]


def count_made(engine: OrtEngine) -> list[int]:
    """Grows by the rows of every new set of buffers."""
    made: list[int] = []
    pool = engine._slots
    making = pool._made

    def counted(like: InversionState):
        made.append(len(like.step))
        return making(like)

    pool._made = counted
    return made


class Recorded:
    """A session that notes the options of its calls."""

    def __init__(self, session: ort.InferenceSession) -> None:
        self._session = session
        self.calls: list[tuple[str, str]] = []

    def io_binding(self) -> ort.IOBinding:
        return self._session.io_binding()

    def run_with_iobinding(self, binding: ort.IOBinding, options: ort.RunOptions) -> None:
        self.calls.append((_entry(options, CAPTURED_GRAPH), _entry(options, NO_SYNCHRONISATION)))
        self._session.run_with_iobinding(binding, options)


def _entry(options: ort.RunOptions, name: str) -> str:
    try:
        return options.get_run_config_entry(name)
    except RuntimeError:
        return ""


def test_every_set_of_buffers_and_direction_has_its_own_captured_graph(bundle, exact):
    session = Recorded(exact._session(bundle_pb2.GRAPH_ROLE_INVERSION_STEP))
    pool = SlotPool(session, ("cpu", 0), SIZES, captures=True)
    first = pool.start(state(bundle, 2), 0.5)
    first.advance(3)
    second = pool.start(state(bundle, 2), 0.5)
    second.advance(2)
    graphs = [graph for graph, _ in session.calls]
    assert graphs == ["1", "2", "1", "3", "4"]
    del first
    again = pool.start(state(bundle, 1), 0.5), pool.start(state(bundle, 2), 0.5)
    again[1].advance(2)
    assert [graph for graph, _ in session.calls[5:]] == ["2", "1"], (
        "the buffers are those of the first, turned once more"
    )


def test_only_the_last_step_of_a_block_waits_for_the_device(bundle, exact):
    session = Recorded(exact._session(bundle_pb2.GRAPH_ROLE_INVERSION_STEP))
    run = SlotPool(session, ("cpu", 0)).start(state(bundle, 1), 0.5)
    run.advance(4)
    run.gradient(state(bundle, 1).z)
    assert [waits for _, waits in session.calls] == ["1", "1", "1", "", ""]
    assert {graph for graph, _ in session.calls} == {""}
