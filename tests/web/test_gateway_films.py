"""Films that a gateway holds, opened in the reading room with what the gateway's server said of them."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pydicom
import pytest
from pydicom.uid import generate_uid
from tests.gateway.conftest import wait_until
from tests.gateway.films import content
from tests.gateway.films import film as made
from tests.web.browsing import playwright, visited
from tests.web.films import phantom_film
from tests.web.rooms import Opening, entered

from medxgan.client import Client, MapKind
from medxgan.client.answers import kept_explanation
from medxgan.gateway.gateway import Gateway
from medxgan.gateway.settings import GatewaySettings

pytestmark = pytest.mark.slow

TOKEN = "a-token-of-ours"


def new_film() -> pydicom.Dataset:
    film = phantom_film()
    film.SOPInstanceUID = film.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    film.StudyInstanceUID = generate_uid()
    return film


@pytest.fixture(scope="module")
def gateway(upstream: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a gateway that holds an explained film, and one whose explanation it does not have."""
    folder = tmp_path_factory.mktemp("gateway")
    (folder / "token").write_text(TOKEN)
    settings = GatewaySettings.model_validate(
        {
            "folder": folder / "gateway",
            "free_mb": 0,
            "telemetry": "127.0.0.1:0",
            "reading": {"token_file": folder / "token"},
            "server": {"address": upstream},
            "folders": [{"path": folder / "in", "settle_s": 0}],
            "destinations": [{"protocol": "stow", "name": "archive", "url": "http://127.0.0.1:9/dicom-web"}],
            "rules": [
                {"name": "ours", "when": {"PatientID": ["42"]}, "model": "phantom"},
                {"name": "others", "model": "not-served"},
            ],
        }
    )
    with Gateway(settings) as running:
        url = f"http://127.0.0.1:{running.telemetry_port}"
        for number, each in enumerate((new_film(), made(seed=5)), start=1):
            (folder / "film.part").write_bytes(content(each))
            (folder / "film.part").rename(folder / "in" / "film.dcm")
            wait_until(lambda number=number: sum(httpx.get(f"{url}/status").json()["films"].values()) == number)
        wait_until(lambda: httpx.get(f"{url}/status").json()["films"]["explained"] == 1)
        yield url


@pytest.fixture(scope="module")
def room(opening: Opening, gateway: str) -> Iterator[str]:
    with opening(gateway=gateway, gateway_token=TOKEN) as url:
        yield url


def test_a_film_opens_with_what_was_said_of_it_and_nothing_is_computed(room: str, gateway: str, upstream: str) -> None:
    with entered(room) as reader:
        listed = {line["number"]: line for line in reader.get("/api/gateway").json()}
        assert (listed[1]["explained"], listed[2]["explained"]) == (True, False)
        assert set(listed[1]) == {"number", "state", "model", "version", "verdict", "received", "explained"}
        film = reader.post("/api/gateway/1").json()
        (explanation,) = film["explanations"]
        difference = reader.get(f"/api/films/{film['id']}/explanations/{explanation}/maps/difference").content
        said = httpx.get(f"{gateway}/films/1/explanation", headers={"Authorization": f"Bearer {TOKEN}"}).content
        kept = kept_explanation(said)
        np.testing.assert_array_equal(np.frombuffer(difference, "<f4").reshape(32, 32), kept.difference)
        with Client(upstream) as client:
            again = client.explain(
                reader.get(f"{gateway}/films/1", headers={"Authorization": f"Bearer {TOKEN}"}).content,
                model="phantom",
                maps=(MapKind.DIFFERENCE,),
            )
        assert np.abs(again.difference - kept.difference).max() < 0.05
        archived = reader.get(f"/api/films/{film['id']}/explanations/{explanation}/dicom.zip")
        assert archived.status_code == 200
        # What was not explained is opened all the same.
        assert reader.post("/api/gateway/2").json()["explanations"] == []
        assert reader.post("/api/gateway/77").status_code == 404


def test_nobody_without_a_session_reads_films(room: str) -> None:
    assert httpx.get(f"{room}/api/gateway").status_code == 401
    assert httpx.post(f"{room}/api/gateway/1").status_code == 401


@pytest.mark.parametrize(
    ("where", "token", "said"), [("", "another", "does not let"), ("nowhere", TOKEN, "not answer")]
)
def test_a_gateway_that_does_not_answer_is_said_to(
    opening: Opening, gateway: str, where: str, token: str, said: str
) -> None:
    address = "http://127.0.0.1:9" if where else gateway
    with opening(gateway=address, gateway_token=token) as url, entered(url) as reader:
        answer = reader.get("/api/gateway")
        assert answer.status_code == 502
        assert said in answer.json()["error"]["message"]


def test_a_room_without_a_gateway_says_so(opening: Opening) -> None:
    with opening() as url, entered(url) as reader:
        assert reader.get("/api/session").json()["gateway"] is False
        assert reader.get("/api/gateway").status_code == 404


def test_a_reader_opens_a_film_of_the_gateway(browser: playwright.Browser, room: str, tmp_path: Path) -> None:
    with visited(browser, room) as page:
        page.click("text=Open a film of the gateway")
        page.wait_for_selector(".cards li")
        assert page.locator(".cards li").count() == 2
        page.screenshot(path=tmp_path / "gateway.png")
        page.click("text=Film 1 of the gateway")
        page.wait_for_selector(".legend >> text=Difference")
        assert page.is_visible(".badge.reliable")
        assert "Film 1 of the gateway" in page.inner_text(".subject")
        page.keyboard.press("4")
        assert page.inner_text(".shown") == "Negative"
        film = page.url.rsplit("/", 1)[1]
        told = page.request.get(f"{room}/api/films/{film}").json()
        assert len(told["explanations"]) == 1
        page.screenshot(path=tmp_path / "film.png")
        page.go_back()
        page.wait_for_selector(".cards li")
