"""Alerts, dashboard and autoscaler ask for figures that a server has, with labels that it gives them."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from tests.server.deployment.files import BASE, DEPLOYMENT, read

from medxgan.server.errors import STATUS_CODES
from medxgan.server.open_inference import messages
from medxgan.server.stopwatch import Phase
from medxgan.server.telemetry.metrics import Metrics
from medxgan.v1 import explanation_pb2

ALERTS = DEPLOYMENT / "prometheus" / "alerts.yaml"
OF_PROMETHEUS = {"job", "instance"}
"""Labels that Prometheus gives to whatever it collects."""


def samples() -> dict[str, set[str]]:
    """Names of a server's samples, each with its labels, after one of everything has happened."""
    metrics = Metrics()
    metrics.ready(True)
    metrics.serve("chest/5", {"engine": "onnxruntime", "provider": "cpu"})
    metrics.watch(lambda: {"chest/5": 1.0})
    metrics.began()
    metrics.ended("Explain", "OK", 1.0)
    metrics.refused("BusyError")
    metrics.explained("chest/5", dict.fromkeys(Phase, 1.0), 20, "RELIABLE")
    metrics.advanced("chest/5", 2)
    metrics.decoded("dicom", 0.1)
    families = text_string_to_metric_families(generate_latest(metrics.registry).decode())
    return {sample.name: set(sample.labels) for family in families for sample in family.samples}


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((DEPLOYMENT / "grafana" / "dashboard.json").read_text(encoding="utf-8"))
    return found


def rules() -> list[dict[str, Any]]:
    return [rule for group in read(ALERTS)["groups"] for rule in group["rules"]]


def expressions() -> Iterator[tuple[str, str]]:
    """What is asked of Prometheus, by whom. Grafana's and the adapter's variables have got values."""
    for rule in rules():
        yield rule["alert"], rule["expr"]
    for panel in dashboard()["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"].replace("$__rate_interval", "5m")
    query = read(DEPLOYMENT / "prometheus" / "adapter.yaml")["rules"][0]["metricsQuery"]
    series = read(BASE / "autoscaler.yaml")["spec"]["metrics"][0]["pods"]["metric"]["name"]
    for variable, value in {"Series": series, "LabelMatchers": 'job="medxgan"', "GroupBy": "instance"}.items():
        query = query.replace(f"<<.{variable}>>", value)
    yield "adapter", query


def selectors(expression: object) -> Iterator[Any]:
    """The selectors of an expression, at whatever depth."""
    match expression:
        case promql_parser.VectorSelector():
            yield expression
        case promql_parser.MatrixSelector():
            yield from selectors(expression.vector_selector)
        case promql_parser.Call():
            for each in expression.args:
                yield from selectors(each)
        case promql_parser.AggregateExpr() | promql_parser.ParenExpr() | promql_parser.UnaryExpr():
            yield from selectors(expression.expr)
        case promql_parser.BinaryExpr():
            yield from selectors(expression.lhs)
            yield from selectors(expression.rhs)
        case promql_parser.NumberLiteral() | promql_parser.StringLiteral():
            pass
        case _:
            raise AssertionError(f"not read: {expression}")


def labels(expression: str) -> set[str]:
    """Labels that an expression groups by."""
    found = re.findall(r"\b(?:by|ignoring|on)\s*\(([^)]*)\)", expression)
    return {name.strip() for each in found for name in each.split(",")} - {""}


EXPRESSIONS = list(expressions())


@pytest.mark.parametrize(("asker", "expression"), EXPRESSIONS, ids=[asker for asker, _ in EXPRESSIONS])
def test_what_is_asked_for_is_there(asker: str, expression: str) -> None:
    known = samples()
    found = list(selectors(promql_parser.parse(expression)))
    assert found
    for selector in found:
        assert selector.name in known
        matched = {matcher.name for matcher in selector.matchers.matchers}
        assert matched - OF_PROMETHEUS <= known[selector.name]
        assert "job" in matched, "figures of other programs would be counted in"
    given = set().union(*(known[selector.name] for selector in found))
    assert labels(expression) <= given | OF_PROMETHEUS


def values(label: str) -> Iterable[str]:
    """Values of a label that expressions ask for."""
    for _, expression in EXPRESSIONS:
        for found in re.findall(rf'\b{label}=~?"([A-Z|a-z_]+)"', expression):
            yield from found.split("|")


def test_values_of_labels_are_those_that_a_server_gives() -> None:
    reasons = {error.__name__ for error in STATUS_CODES}
    assert set() < set(values("reason")) <= reasons
    verdicts = {
        name.removeprefix("VERDICT_STATUS_") for name in explanation_pb2.VerdictStatus.DESCRIPTOR.values_by_name
    }
    assert set() < set(values("verdict")) <= verdicts
    codes = {code.name for code in STATUS_CODES.values()} | {"OK", "INTERNAL", "UNKNOWN", "CANCELLED"}
    assert set() < set(values("code")) <= codes
    explaining = {"Explain", "ExplainStream", "ModelInfer", "ModelStreamInfer"}
    services = [*explanation_pb2.DESCRIPTOR.services_by_name.values(), *messages.DESCRIPTOR.services_by_name.values()]
    assert set(values("method")) == explaining <= {method.name for service in services for method in service.methods}


def test_a_rule_says_what_is_wrong_and_how_bad_it_is() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(names) == len(set(names))
    for rule in rules():
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}
        assert rule["annotations"].keys() == {"summary", "description"}


def test_panels_lie_beside_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert place["x"] + place["w"] <= 24
        assert not cells & taken
        taken |= cells


def test_a_dashboard_asks_the_chosen_source() -> None:
    board = dashboard()
    variables = {each["name"] for each in board["templating"]["list"]}
    assert variables == {"datasource", "job", "instance"}
    for panel in board["panels"]:
        for each in [panel, *panel["targets"]]:
            assert each["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    for name in re.findall(r"\$\{?(\w+)", json.dumps([panel["targets"] for panel in board["panels"]])):
        assert name in variables | {"__rate_interval"}


def promtool(*arguments: str | Path) -> None:
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool, of Debian's package prometheus, is not installed")
    outcome = subprocess.run([found, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr


def test_prometheus_takes_its_files() -> None:
    promtool("check", "config", ALERTS.with_name("prometheus.yaml"))


def test_rules_fire_when_they_should(tmp_path: Path) -> None:
    text = Path(__file__).with_name("alerts_test.yaml").read_text(encoding="utf-8")
    (tmp_path / "alerts_test.yaml").write_text(text.replace("RULES", str(ALERTS)), encoding="utf-8")
    promtool("test", "rules", tmp_path / "alerts_test.yaml")
