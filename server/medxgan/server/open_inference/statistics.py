"""What every model has done so far, as Triton counts it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from medxgan.server.open_inference.messages import inference
from medxgan.server.open_inference.models import InferenceModel
from medxgan.server.stopwatch import Phase, Stopwatch

_COMPUTE = (Phase.INVERSION, Phase.POSITIVE_REALIZATION, Phase.MAPS)


class Timing:
    """Where the time of one request went.

    Attributes:
        stopwatch: of its explanation.
        output_seconds: that its response took to be written.
    """

    def __init__(self) -> None:
        self.stopwatch = Stopwatch()
        self.output_seconds = 0.0


@dataclass
class _Duration:
    count: int = 0
    seconds: float = 0.0

    def add(self, seconds: float) -> None:
        self.count += 1
        self.seconds += seconds

    def message(self) -> inference.StatisticDuration:
        return inference.StatisticDuration(count=self.count, ns=round(1e9 * self.seconds))


@dataclass
class _Counts:
    last: float = 0.0
    success: _Duration = field(default_factory=_Duration)
    fail: _Duration = field(default_factory=_Duration)
    queue: _Duration = field(default_factory=_Duration)
    compute_input: _Duration = field(default_factory=_Duration)
    compute_infer: _Duration = field(default_factory=_Duration)
    compute_output: _Duration = field(default_factory=_Duration)


class Statistics:
    """Counts the requests of every model, and where their time went. Used from one event loop."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], _Counts] = {}

    @contextmanager
    def counted(self, model: InferenceModel) -> Iterator[Timing]:
        """Count one request of a model: as a success, or as a failure where it ends with an error or is cancelled."""
        counts = self._counts.setdefault((model.name, model.version), _Counts())
        began, succeeded = time.perf_counter(), False
        timing = Timing()
        try:
            yield timing
            succeeded = True
        finally:
            parts = timing.stopwatch.milliseconds()
            seconds = time.perf_counter() - began
            if succeeded:
                counts.last = time.time()
                counts.success.add(seconds)
                counts.queue.add(parts[Phase.QUEUED] / 1000)
                counts.compute_input.add(parts[Phase.PREPROCESS] / 1000)
                compute = sum(parts[phase] for phase in _COMPUTE) / 1000
                counts.compute_infer.add(max(0.0, compute - timing.output_seconds))
                counts.compute_output.add(timing.output_seconds)
            else:
                counts.fail.add(seconds)

    def message(self, model: InferenceModel) -> inference.ModelStatistics:
        """The statistics of one model.

        Requests share the runs of their networks with those of other models; each counts as an execution with one
        image.
        """
        counts = self._counts.get((model.name, model.version), _Counts())
        parts = {
            "compute_input": counts.compute_input.message(),
            "compute_infer": counts.compute_infer.message(),
            "compute_output": counts.compute_output.message(),
        }
        statistics = inference.ModelStatistics(
            name=model.name,
            version=model.version,
            last_inference=round(1000 * counts.last),
            inference_count=counts.success.count,
            execution_count=counts.success.count,
            inference_stats=inference.InferStatistics(
                success=counts.success.message(), fail=counts.fail.message(), queue=counts.queue.message(), **parts
            ),
        )
        if counts.success.count:
            statistics.batch_stats.add(batch_size=1, **parts)
        return statistics
