"""What models have done is counted as Triton counts it."""

import time

import pytest

from medxgan.server.open_inference.models import InferenceModel
from medxgan.server.open_inference.statistics import Statistics
from medxgan.server.stopwatch import Phase

MODEL = InferenceModel("chest", "4", None, ())
OTHER = InferenceModel("chest.residual", "4", None, ())


def test_the_parts_of_a_success_go_where_triton_has_them() -> None:
    statistics = Statistics()
    with statistics.counted(MODEL) as timing:
        began = time.perf_counter()
        for after, phase in enumerate((Phase.PREPROCESS, Phase.INVERSION, Phase.MAPS), start=1):
            timing.stopwatch.switch(phase, at=began + after)
        timing.stopwatch.switch(Phase.QUEUED, at=began + 6)
        timing.output_seconds = 1.0
    said = statistics.message(MODEL)
    parts = said.inference_stats
    assert parts.queue.ns == pytest.approx(1e9, rel=0.01)
    assert parts.compute_input.ns == pytest.approx(1e9, rel=0.01)
    assert parts.compute_infer.ns == pytest.approx(3e9, rel=0.01), "inversion 1, maps 3, of these 1 the output"
    assert parts.compute_output.ns == pytest.approx(1e9, rel=0.01)
    assert parts.success.count == parts.queue.count == parts.compute_output.count == 1
    assert (said.name, said.version, said.inference_count, said.execution_count) == ("chest", "4", 1, 1)
    assert said.last_inference == pytest.approx(1000 * time.time(), abs=60_000)
    (batch,) = said.batch_stats
    assert (batch.batch_size, batch.compute_infer) == (1, parts.compute_infer)


def test_a_failure_counts_as_one_and_nothing_else() -> None:
    statistics = Statistics()
    with pytest.raises(ZeroDivisionError), statistics.counted(MODEL):
        raise ZeroDivisionError
    said = statistics.message(MODEL)
    assert said.inference_stats.fail.count == 1
    assert said.inference_stats.fail.ns > 0
    assert (said.inference_count, said.last_inference, list(said.batch_stats)) == (0, 0, [])
    assert said.inference_stats.success.count == 0
    assert statistics.message(OTHER).inference_stats.fail.count == 0
