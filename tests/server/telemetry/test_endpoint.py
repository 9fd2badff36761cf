"""What a server tells over HTTP."""

import http.client
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from medxgan.server.stopwatch import Phase
from medxgan.server.telemetry.endpoint import TelemetryEndpoint
from medxgan.server.telemetry.metrics import Metrics
from medxgan.server.telemetry.telemetry import Telemetry


class Answering:
    """Whether the server is ready is the test's to say."""

    ready = True

    def __init__(self) -> None:
        self.telemetry = Telemetry()
        self.metrics = self.telemetry.metrics
        self.models = {("chest", ""), ("chest", "5")}
        self.endpoint = TelemetryEndpoint(
            "127.0.0.1:0", self.telemetry.figures, lambda: self.ready, lambda *model: model in self.models
        )

    def ask(self, path: str, method: str = "GET") -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.endpoint.port, timeout=60)
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()

    def figure(self, name: str, *labels: str) -> float | None:
        """The value of a sample; None where there is none."""
        families = text_string_to_metric_families(self.ask("/metrics")[1])
        samples = [sample for family in families for sample in family.samples]
        found = [each.value for each in samples if each.name == name and set(each.labels.values()) == set(labels)]
        return found[0] if found else None


@pytest.fixture
def answering() -> Iterator[Answering]:
    found = Answering()
    found.endpoint.start()
    yield found
    found.endpoint.stop()


def test_an_address_may_be_of_ipv6() -> None:
    endpoint = TelemetryEndpoint("[::1]:0", bytes, lambda: True, lambda *model: True)
    endpoint.start()
    try:
        connection = http.client.HTTPConnection("::1", endpoint.port, timeout=60)
        connection.request("GET", "/v2/health/live")
        assert connection.getresponse().read() == b"live\n"
    finally:
        endpoint.stop()


def test_probes_say_whether_it_lives_and_is_ready(answering: Answering) -> None:
    assert answering.ask("/v2/health/live") == (200, "live\n")
    assert answering.ask("/v2/health/ready") == (200, "ready\n")
    answering.ready = False
    assert answering.ask("/v2/health/live")[0] == 200
    assert answering.ask("/v2/health/ready")[0] == 503


def test_probes_say_of_every_model_whether_it_is_ready(answering: Answering) -> None:
    for path, status in (
        ("/v2/models/chest/ready", 200),
        ("/v2/models/chest/versions/5/ready", 200),
        ("/v2/models/chest/versions/4/ready", 503),
        ("/v2/models/lung/ready", 503),
        ("/v2/models/chest", 404),
        ("/v2/models/chest/ready/", 404),
        ("/v2/models/../ready", 503),
    ):
        assert answering.ask(path)[0] == status, path
    answering.models.clear()
    assert answering.ask("/v2/models/chest/ready") == (503, "not ready\n")


def test_readiness_is_a_figure_too(answering: Answering) -> None:
    assert answering.figure("medxgan_ready") == 0
    for is_ready in (True, False):
        answering.metrics.ready(is_ready)
        assert answering.figure("medxgan_ready") == is_ready


def test_what_runs_a_model_is_told_as_long_as_it_is_served(answering: Answering) -> None:
    answering.metrics.serve("chest/5", {"provider": "cpu"})
    assert answering.figure("medxgan_model_info", "chest/5", "cpu") == 1
    answering.metrics.withdraw("chest/5")
    assert answering.figure("medxgan_model_info", "chest/5", "cpu") is None


def test_figures_add_up(answering: Answering) -> None:
    metrics = answering.metrics
    metrics.began()
    metrics.began()
    metrics.ended("Explain", "OK", 0.3)
    metrics.refused("model_full")
    metrics.explained("chest/5", dict.fromkeys(Phase, 100.0), 20, "RELIABLE")
    metrics.explained("chest/5", dict.fromkeys(Phase, 100.0), None, "NOT_ASSESSED")
    metrics.advanced("chest/5", 3)
    figure = answering.figure
    assert figure("medxgan_requests_total", "Explain", "OK") == 1
    assert figure("medxgan_requests_running") == 1
    assert figure("medxgan_request_seconds_sum", "Explain") == pytest.approx(0.3)
    assert figure("medxgan_refused_total", "model_full") == 1
    assert figure("medxgan_verdicts_total", "chest/5", "RELIABLE") == 1
    assert figure("medxgan_inversion_steps_count", "chest/5") == 1
    assert figure("medxgan_phase_seconds_sum", "chest/5", "maps") == pytest.approx(0.2)
    assert figure("medxgan_batch_rows_bucket", "chest/5", "2.0") == 0
    assert figure("medxgan_batch_rows_bucket", "chest/5", "4.0") == 1


def test_what_is_to_be_done_is_counted_when_it_is_asked_for(answering: Answering) -> None:
    inside = {"chest/5": 2.5}
    answering.metrics.watch(lambda: inside)
    assert answering.figure("medxgan_work_inside", "chest/5") == 2.5
    inside["chest/5"] = 4.0
    assert answering.figure("medxgan_work_inside", "chest/5") == 4.0


def test_servers_of_one_process_do_not_add_up(answering: Answering) -> None:
    Metrics().ended("Explain", "OK", 1.0)
    assert answering.figure("medxgan_requests_total", "Explain", "OK") is None


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/", 404), ("GET", "/../etc/passwd", 404), ("POST", "/metrics", 405)]
)
def test_nothing_else_is_there(answering: Answering, method: str, path: str, status: int) -> None:
    assert answering.ask(path, method)[0] == status
