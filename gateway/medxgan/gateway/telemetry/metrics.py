"""The figures of a gateway, for Prometheus to collect. No label has a value that a peer chose."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from medxgan.gateway.clock import Clock
from medxgan.gateway.journal.files import FileStore
from medxgan.gateway.journal.journal import Journal

SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 3600, 21_600, 86_400)
"""Bounds of times."""


class Metrics:
    """The figures of one gateway.

    Attributes:
        registry: what is collected.
    """

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._received = Counter(
            "medxgan_gateway_objects",
            "Objects that came, by the way they came and what became of them.",
            ["source", "reception"],
            registry=registry,
        )
        self._refused_peers = Counter(
            "medxgan_gateway_associations_rejected", "Associations that were rejected.", registry=registry
        )
        self._explained = Counter(
            "medxgan_gateway_explanations",
            "Tries to explain a film, by their end.",
            ["outcome"],
            registry=registry,
        )
        self._explain_seconds = Histogram(
            "medxgan_gateway_explain_seconds",
            "Time of an explanation, with the making of its results.",
            buckets=SECONDS,
            registry=registry,
        )
        self._delivered = Counter(
            "medxgan_gateway_deliveries",
            "Tries to deliver the results of a film, by how they ended.",
            ["destination", "outcome"],
            registry=registry,
        )
        self._turnaround_seconds = Histogram(
            "medxgan_gateway_turnaround_seconds",
            "Time from a film's arrival until every destination had its results.",
            buckets=SECONDS,
            registry=registry,
        )
        self._faults = Counter(
            "medxgan_gateway_faults", "Faults of the gateway itself, by the part.", ["part"], registry=registry
        )

    def received(self, source: str, reception: str) -> None:
        """An object came."""
        self._received.labels(source, reception).inc()

    def rejected(self) -> None:
        """An association was rejected."""
        self._refused_peers.inc()

    def explained(self, outcome: str, seconds: float) -> None:
        """A try to explain a film ended."""
        self._explained.labels(outcome).inc()
        self._explain_seconds.observe(seconds)

    def delivered(self, destination: str, outcome: str) -> None:
        """A try to deliver a film's results ended."""
        self._delivered.labels(destination, outcome).inc()

    def turned_around(self, seconds: float) -> None:
        """Every destination has a film's results, so long after it came."""
        self._turnaround_seconds.observe(seconds)

    def fault(self, part: str) -> None:
        """Something failed that should not."""
        self._faults.labels(part).inc()

    def watch(self, journal: Journal, films: FileStore, clock: Clock) -> None:
        """Tell what is in the journal whenever somebody collects."""
        self.registry.register(_Kept(journal, films, clock))


class _Kept(Collector):
    def __init__(self, journal: Journal, films: FileStore, clock: Clock) -> None:
        self._journal, self._films, self._clock = journal, films, clock

    def collect(self) -> Iterator[Metric]:
        """Called by Prometheus' library."""
        states = GaugeMetricFamily("medxgan_gateway_films", "Films in the journal, by state.", labels=["state"])
        for state, count in self._journal.counts().items():
            states.add_metric([state.value], count)
        yield states
        owed = GaugeMetricFamily(
            "medxgan_gateway_owed", "Films whose results wait for a destination.", labels=["destination"]
        )
        for destination, count in self._journal.owed_counts().items():
            owed.add_metric([destination], count)
        yield owed
        oldest = self._journal.oldest_waiting()
        yield GaugeMetricFamily(
            "medxgan_gateway_oldest_seconds",
            "Age of the film that has waited longest; 0 where none waits.",
            value=0.0 if oldest is None else max(0.0, self._clock() - oldest),
        )
        yield GaugeMetricFamily(
            "medxgan_gateway_free_bytes", "Bytes free on the disk of the films.", value=self._films.free_bytes()
        )
