"""The figures of a server, for Prometheus to collect. No figure has a label that a caller chose."""

from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from medxgan.server.stopwatch import Phase

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
"""Bounds of times."""

ROWS = (1, 2, 4, 8, 16, 32, 64)
"""Bounds of batches."""

STEPS = (5, 10, 20, 50, 100, 200, 500, 1000, 2000)
"""Bounds of gradient steps."""


class Metrics:
    """The figures of one server. Each has a registry of its own, so that several servers of a process do not add up.

    Attributes:
        registry: what is collected.
    """

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._requests = Counter(
            "medxgan_requests", "Requests that ended, by method and gRPC status.", ["method", "code"], registry=registry
        )
        self._request_seconds = Histogram(
            "medxgan_request_seconds",
            "Time from a request's first byte to its answer.",
            ["method"],
            buckets=SECONDS,
            registry=registry,
        )
        self._refused = Counter(
            "medxgan_refused", "Requests that were refused, by the kind of error.", ["reason"], registry=registry
        )
        self._phase_seconds = Histogram(
            "medxgan_phase_seconds",
            "Parts of an explanation's time: they add up to the whole.",
            ["model", "phase"],
            buckets=SECONDS,
            registry=registry,
        )
        self._steps = Histogram(
            "medxgan_inversion_steps",
            "Gradient steps that an explanation's inversion took.",
            ["model"],
            buckets=STEPS,
            registry=registry,
        )
        self._verdicts = Counter(
            "medxgan_verdicts", "Explanations, by verdict.", ["model", "verdict"], registry=registry
        )
        self._batch_rows = Histogram(
            "medxgan_batch_rows",
            "Inversions that advanced together in a block of gradient steps.",
            ["model"],
            buckets=ROWS,
            registry=registry,
        )
        self._decode_seconds = Histogram(
            "medxgan_decode_seconds",
            "Time from an image's turn to be decoded until its film was there.",
            ["form"],
            buckets=SECONDS,
            registry=registry,
        )
        self._running = Gauge("medxgan_requests_running", "Requests that are being answered.", registry=registry)
        self._ready = Gauge(
            "medxgan_ready",
            "1 where requests are answered: the models are warm, and it does not stop.",
            registry=registry,
        )
        self._models = Info("medxgan_model", "What runs each model.", ["model"], registry=registry)

    def serve(self, model: str, execution: Mapping[str, str]) -> None:
        """A model is served from now on.

        Args:
            model: NAME/VERSION.
            execution: what runs it, by name.
        """
        self._models.labels(model).info(dict(execution))

    def withdraw(self, model: str) -> None:
        """A model is served no longer."""
        self._models.remove(model)

    def watch(self, inside: Callable[[], Mapping[str, float]]) -> None:
        """Tell how much the models have to do whenever somebody collects.

        Args:
            inside: gives, by NAME/VERSION, the work under way or waiting, in explanations with the default steps.
        """
        self.registry.register(_Load(inside))

    def ready(self, is_ready: bool) -> None:
        """Requests are answered from now on, or no longer."""
        self._ready.set(is_ready)

    def began(self) -> None:
        """A request came."""
        self._running.inc()

    def ended(self, method: str, code: str, seconds: float) -> None:
        """A request ended.

        Args:
            method: of the service.
            code: name of the gRPC status.
            seconds: that it took.
        """
        self._running.dec()
        self._requests.labels(method, code).inc()
        self._request_seconds.labels(method).observe(seconds)

    def refused(self, reason: str) -> None:
        """A request was refused, for a reason that is one of ours."""
        self._refused.labels(reason).inc()

    def turned_away(self, method: str, code: str, reason: str) -> None:
        """A request was refused for who asked, or how often, before it was received.

        Args:
            method: of the service.
            code: name of the gRPC status.
            reason: kind of the error.
        """
        self._requests.labels(method, code).inc()
        self.refused(reason)

    def explained(self, model: str, milliseconds: Mapping[Phase, float], steps: int | None, verdict: str) -> None:
        """An image was explained.

        Args:
            model: NAME/VERSION.
            milliseconds: of each phase.
            steps: of the inversion; None where nothing was inverted.
            verdict: its name.
        """
        for phase, taken in milliseconds.items():
            self._phase_seconds.labels(model, phase.value).observe(taken / 1000)
        if steps is not None:
            self._steps.labels(model).observe(steps)
        self._verdicts.labels(model, verdict).inc()

    def advanced(self, model: str, rows: int) -> None:
        """A batch of so many rows took a block of gradient steps."""
        self._batch_rows.labels(model).observe(rows)

    def decoded(self, form: str, seconds: float) -> None:
        """An image of a form (`tensor`, `encoded`, `dicom`) became a film."""
        self._decode_seconds.labels(form).observe(seconds)


class _Load(Collector):
    def __init__(self, inside: Callable[[], Mapping[str, float]]) -> None:
        self._inside = inside

    def collect(self) -> Iterator[Metric]:
        """Called by Prometheus' library."""
        family = GaugeMetricFamily(
            "medxgan_work_inside",
            "Work under way or waiting, in explanations with the default steps.",
            labels=["model"],
        )
        for model, work in self._inside().items():
            family.add_metric([model], work)
        yield family
