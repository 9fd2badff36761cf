"""What a model has done so far, as a message."""

from medxgan.server.open_inference.messages import inference
from medxgan.server.open_inference.models import InferenceModel
from medxgan.server.telemetry.statistics import Counts, Duration


def model_statistics(model: InferenceModel, counts: Counts) -> inference.ModelStatistics:
    """The statistics of one model.

    Requests share the runs of their networks with those of other models; each counts as an execution with one image.

    Args:
        model: the model.
        counts: what it has done.
    """
    parts = {
        "compute_input": _message(counts.compute_input),
        "compute_infer": _message(counts.compute_infer),
        "compute_output": _message(counts.compute_output),
    }
    failures = counts.failures.values()
    fail = Duration(sum(each.count for each in failures), sum(each.seconds for each in failures))
    statistics = inference.ModelStatistics(
        name=model.name,
        version=model.version,
        last_inference=round(1000 * counts.last),
        inference_count=counts.success.count,
        execution_count=counts.success.count,
        inference_stats=inference.InferStatistics(
            success=_message(counts.success), fail=_message(fail), queue=_message(counts.queue), **parts
        ),
    )
    if counts.success.count:
        statistics.batch_stats.add(batch_size=1, **parts)
    return statistics


def _message(duration: Duration) -> inference.StatisticDuration:
    return inference.StatisticDuration(count=duration.count, ns=round(1e9 * duration.seconds))
