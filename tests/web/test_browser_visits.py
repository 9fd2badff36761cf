"""The reading room in a browser: coming in, coming back, and what is told when something is wrong."""

import json
import zipfile
from concurrent import futures
from pathlib import Path

import grpc
from PIL import Image
from tests.web.browsing import open_sample, playwright, visited
from tests.web.films import SAMPLE, phantom_film
from tests.web.rooms import LOOPBACK, Opening, opened

from medxgan.client import Client
from medxgan.client.pictures.report import report
from medxgan.v1 import explanation_pb2_grpc
from medxgan.web.settings import RoomSettings


def test_a_session_that_has_ended_is_said_to_have(page: playwright.Page, room: str) -> None:
    open_sample(page)
    assert page.request.delete(f"{room}/api/session").status == 204
    page.click("text=Compute all maps")
    page.wait_for_selector(".drop")
    assert "session has ended" in page.inner_text(".notice")
    open_sample(page)


def test_two_readers_reload_and_the_back_button(browser: playwright.Browser, room: str, page: playwright.Page) -> None:
    film = open_sample(page)
    page.reload()
    page.wait_for_selector(".badge.reliable")
    told = page.request.get(f"{room}/api/films/{film}").json()
    assert len(told["explanations"]) == 1  # shown again, not asked again
    page.click("text=Open")
    page.wait_for_selector(".films a")
    page.go_back()
    page.wait_for_selector(".badge.reliable")
    with visited(browser, f"{room}/#/film/{film}") as other:
        assert "no longer held" in other.inner_text(".alert")
        assert other.request.get(f"{room}/api/films").json() == []
    page.click("text=Forget my films")
    page.wait_for_selector(".drop")
    page.wait_for_function("document.querySelectorAll('.films').length === 0")
    assert page.request.get(f"{room}/api/films/{film}").status == 404


def test_what_is_wrong_with_a_film_is_said(page: playwright.Page, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("no film")
    page.set_input_files("#file", tmp_path / "letter.txt")
    assert "no DICOM" in page.inner_text(".alert")
    Image.new("L", (200, 300)).save(tmp_path / "blank.png")
    page.select_option("#model", "phantom 3")
    page.set_input_files("#file", tmp_path / "blank.png")
    page.wait_for_selector(".badge.not_applicable")
    assert "unlike those" in page.inner_text(".reasons")


def test_a_dicom_film_s_explanation_is_saved_as_dicom(page: playwright.Page, tmp_path: Path) -> None:
    for name, attributes in (("whole", {}), ("without", {"StudyInstanceUID": None})):
        phantom_film(**attributes).save_as(tmp_path / f"{name}.dcm", enforce_file_format=True)
    page.select_option("#model", "phantom 3")
    page.set_input_files("#file", tmp_path / "whole.dcm")
    page.wait_for_selector(".badge.reliable")
    with page.expect_download() as downloading:
        page.click("text=DICOM (ZIP)")
    assert downloading.value.suggested_filename == "dicom.zip"
    with zipfile.ZipFile(downloading.value.path()) as archive:
        assert archive.namelist() == ["secondary-capture.dcm", "report.dcm"]
    page.click("text=Open")
    page.set_input_files("#file", tmp_path / "without.dcm")
    page.wait_for_selector(".badge.reliable")
    page.click("text=DICOM (ZIP)")
    assert "StudyInstanceUID: expected a value" in page.inner_text(".alert")
    assert page.is_enabled("text=DICOM (ZIP)")


def test_a_film_that_is_no_dicom_is_not_offered_as_dicom(page: playwright.Page) -> None:
    open_sample(page)
    assert page.is_visible("text=Panel (PNG)")
    assert not page.is_visible("text=DICOM (ZIP)")


def test_a_server_that_is_away(browser: playwright.Browser) -> None:
    with opened("127.0.0.1:9", RoomSettings(hosts=LOOPBACK)) as url, visited(browser, url) as page:
        page.click("text=Open the sample")
        assert "does not answer" in page.inner_text(".alert")
        page.wait_for_selector("canvas.film")  # the film is there all the same


class Busy(explanation_pb2_grpc.ExplanationServiceServicer):
    """A server without a free place."""

    def GetModel(self, request: object, context: grpc.ServicerContext) -> None:  # noqa: N802 (gRPC's name)
        context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "8 requests are waiting already")

    ListModels = GetModel


def test_a_server_that_is_busy(browser: playwright.Browser) -> None:
    server = grpc.server(futures.ThreadPoolExecutor(2))
    explanation_pb2_grpc.add_ExplanationServiceServicer_to_server(Busy(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with opened(f"127.0.0.1:{port}", RoomSettings(hosts=LOOPBACK)) as url, visited(browser, url) as page:
            page.click("text=Open the sample")
            assert "busy" in page.inner_text(".alert")
            assert page.is_visible("text=Try again")
    finally:
        server.stop(None)


def test_the_gallery_is_sorted_by_how_the_scores_agree(
    browser: playwright.Browser, opening: Opening, upstream: str, tmp_path: Path
) -> None:
    with Client(upstream) as client:
        told = report(client.explain(SAMPLE, model="phantom"), {}, image=SAMPLE)
    film = told["scores"]["original"]["probability"]
    for name, reconstruction in (("alike", film - 0.01), ("apart", film - 0.4)):
        told["scores"]["reconstruction"]["probability"] = reconstruction
        (tmp_path / name).mkdir()
        (tmp_path / name / "explanation.json").write_text(json.dumps(told))
    with opening(folder=tmp_path) as url, visited(browser, f"{url}/#/gallery") as page:
        page.wait_for_selector(".cards li")
        names = page.locator(".cards strong")
        assert names.all_inner_texts() == ["alike", "apart"]
        page.get_by_label("Sort by").select_option("agreement")
        assert names.all_inner_texts() == ["apart", "alike"]
        assert "agreement 60" in page.inner_text(".cards li >> nth=0")


def test_a_reader_signs_in(browser: playwright.Browser, opening: Opening) -> None:
    with opening(access_token="a-token-of-ours") as url, visited(browser, url) as page:
        page.fill("input[type=password]", "another")
        page.click("form >> text=Sign in >> nth=-1")
        assert "not the token of" in page.inner_text(".alert")
        page.fill("input[type=password]", "a-token-of-ours")
        page.keyboard.press("Enter")
        page.wait_for_selector(".drop")
