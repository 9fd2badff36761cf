"""What a model has done, as a message of the protocol."""

import pytest

from medxgan.server.open_inference.models import InferenceModel
from medxgan.server.open_inference.statistics import model_statistics
from medxgan.server.telemetry.statistics import Statistics

CHEST = ("chest", "4")
MODEL = InferenceModel(*CHEST, None, ())


def test_counts_become_a_message() -> None:
    statistics = Statistics()
    with statistics.counted(CHEST) as course:
        course.made(output_seconds=0.25)
    for error in (ZeroDivisionError, KeyError):
        with pytest.raises(error), statistics.counted(CHEST):
            raise error
    said = model_statistics(MODEL, statistics.of(CHEST))
    assert (said.name, said.version, said.inference_count, said.execution_count) == ("chest", "4", 1, 1)
    assert (said.inference_stats.success.count, said.inference_stats.fail.count) == (1, 2)
    assert said.inference_stats.compute_output.ns == 250_000_000
    assert said.inference_stats.fail.ns > 0
    assert said.last_inference == round(1000 * statistics.of(CHEST).last)
    (batch,) = said.batch_stats
    assert (batch.batch_size, batch.compute_infer) == (1, said.inference_stats.compute_infer)


def test_a_model_that_has_done_nothing_has_counts_of_nothing() -> None:
    said = model_statistics(MODEL, Statistics().of(CHEST))
    assert (said.inference_count, said.last_inference, list(said.batch_stats)) == (0, 0, [])
    assert said.inference_stats.success.count == said.inference_stats.fail.count == 0
