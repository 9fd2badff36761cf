"""The status page, the figures and the probes of a running gateway."""

import requests
from prometheus_client.parser import text_string_to_metric_families
from tests.gateway.conftest import Settings, wait_until
from tests.gateway.films import content, film
from tests.gateway.sending import leaves_sockets, send

from medxgan.gateway.gateway import Gateway

pytestmark = leaves_sockets


def figures(page: str) -> dict[tuple[str, ...], float]:
    """Values by name and values of labels, in the order of the labels' names."""
    text = requests.get(f"{page}/metrics", timeout=60).text
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_figures_follow_what_happens(server: str, settings: Settings) -> None:
    with Gateway(settings(server={"address": server})) as gateway:
        page = f"http://127.0.0.1:{gateway.telemetry_port}"
        assert figures(page)["medxgan_gateway_films", "received"] == 0
        for each in (film(), film(Modality="MR"), film(Rows=65)):
            send(gateway.dicom_port, content(each))
        wait_until(lambda: figures(page)["medxgan_gateway_films", "explained"] == 1)
        wait_until(lambda: ("medxgan_gateway_deliveries_total", "archive", "postponed") in figures(page))
        found = figures(page)
        assert {key[1]: value for key, value in found.items() if key[0] == "medxgan_gateway_objects_total"} == {
            "taken": 1,
            "ignored": 1,
            "unreadable": 1,
        }
        assert found["medxgan_gateway_explanations_total", "explained"] == 1
        assert found[("medxgan_gateway_explain_seconds_count",)] == 1
        assert found["medxgan_gateway_owed", "archive"] == 1
        assert found[("medxgan_gateway_oldest_seconds",)] > 0
        assert found[("medxgan_gateway_free_bytes",)] > 0
        shown = requests.get(page, timeout=60)
        assert shown.headers["Content-Type"] == "text/html; charset=utf-8"
        assert "owed to archive: 1" in shown.text
        assert "ignored: 1 no rule takes it" in shown.text
        for path in ("health/live", "health/ready"):
            assert requests.get(f"{page}/{path}", timeout=60).status_code == 200
        assert requests.get(f"{page}/other", timeout=60).status_code == 404
        assert requests.post(page, timeout=60).status_code == 405


def test_a_full_disk_is_not_ready(server: str, settings: Settings) -> None:
    with Gateway(settings(server={"address": server}, free_mb=2**40)) as gateway:
        page = f"http://127.0.0.1:{gateway.telemetry_port}"
        assert requests.get(f"{page}/health/ready", timeout=60).status_code == 503
        assert requests.get(f"{page}/health/live", timeout=60).status_code == 200
        assert send(gateway.dicom_port, content(film())) == 0xA700
