"""The reading room in a browser: what is asked of a film, and stopped."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.web.browsing import last_explanation, open_sample, playwright, visited
from tests.web.films import SAMPLE
from tests.web.rooms import LOOPBACK, opened
from torch import Tensor, nn

from medxgan.export.bundle import export_bundle
from medxgan.server.embedded import EmbeddedServer
from medxgan.training.model import TrainedModel
from medxgan.training.networks import Classifier
from medxgan.v1 import bundle_pb2
from medxgan.web.settings import RoomSettings


def test_other_settings_are_asked_and_what_moved_is_told(page: playwright.Page) -> None:
    open_sample(page)
    page.click("#tab-question")
    page.fill("[name=steps]", "3")
    page.fill("[name=restarts]", "2")
    page.select_option("[name=solver]", "lbfgs")
    page.click("button >> text=Run again")
    page.wait_for_selector(".moved table")
    assert last_explanation(page)["settings"]["inversion"]["solver"] == "lbfgs"
    assert re.search("Spread over the restarts\\s+\N{EN DASH}\\s+0\\.\\d+", page.inner_text(".moved"))
    page.click("#tab-maps")
    page.wait_for_selector(".maps .map[value=uncertainty]")
    page.click("#tab-question")
    page.fill("[name=steps]", "100000")
    page.click("button >> text=Run again")
    assert "steps" in page.locator(".alert").inner_text()
    assert page.get_attribute("[name=steps]", "aria-invalid") == "true"


def test_a_film_that_is_dropped_is_explained_once(page: playwright.Page, tmp_path: Path) -> None:
    (tmp_path / "film.png").write_bytes(SAMPLE)
    page.select_option("#model", "phantom 3")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if request.method == "POST" else None)
    page.set_input_files("#file", tmp_path / "film.png")
    page.wait_for_selector(".badge.reliable")
    assert page.inner_text(".subject") == "film.png"
    assert [url.partition("/api/")[2] for url in asked] == ["explanations"]
    # It is asked again as any other: by another model, and when the reader wishes.
    page.select_option("#model", "endless 3")
    page.wait_for_selector("#tab-question")
    page.click("#tab-question")
    page.wait_for_selector(".moved table")
    film = page.url.rsplit("/", 1)[1]
    assert [url.partition("/api/")[2] for url in asked[1:]] == [f"films/{film}/explanations"]
    assert last_explanation(page)["model"]["name"] == "endless"


def test_what_runs_is_stopped_by_escape(page: playwright.Page) -> None:
    open_sample(page)
    page.select_option("#model", "endless 3")
    page.click("#tab-question")
    page.wait_for_selector(".moved table")  # of the run that the choice began
    page.fill("[name=steps]", "50000000")
    page.click("button >> text=Run again")
    page.wait_for_selector("text=/of at most 50000000 steps/")
    page.keyboard.press("Escape")
    page.wait_for_selector(".progress", state="hidden")
    assert page.inner_text("#announcer") == "Cancelled."
    assert not page.is_visible(".alert")


def test_a_region_is_drawn_and_erased(page: playwright.Page) -> None:
    open_sample(page)
    page.click("#tab-question")
    page.keyboard.press("r")
    box = page.locator("canvas.film").bounding_box()
    page.mouse.move(box["x"] + 300, box["y"] + 150)
    page.mouse.down()
    for x, y in ((460, 150), (460, 320), (300, 320), (300, 160)):
        page.mouse.move(box["x"] + x, box["y"] + y, steps=4)
    page.mouse.up()
    page.wait_for_selector(".region-part table")
    assert "Difference" in page.inner_text(".region-part")
    page.click("text=Erase it and score again")
    page.wait_for_selector("text=/Score 0.999 with it, 0.\\d+ without/")


class TwoClasses(Classifier):
    """A small classifier with an output for another class beside the positive one."""

    def __init__(self, width: int) -> None:
        super().__init__(width=width)
        self.output = nn.Linear(self.output.in_features, 2)

    def positive_logit(self, outputs: Tensor) -> Tensor:
        return outputs[:, 0]


@pytest.fixture(scope="module")
def classifier(tiny_model: TrainedModel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server of a classifier alone, of two classes."""
    folder = tmp_path_factory.mktemp("classifier")
    network, classification = TwoClasses(width=8), bundle_pb2.Classification()
    classification.CopyFrom(tiny_model.classification)
    classification.outputs.add(name="effusion")
    alone = replace(tiny_model, generator=None, encoder=None, inversion=None, reliability=None)
    alone = replace(alone, classifier=network.eval(), classification=classification)
    export_bundle(alone, folder / "plain" / "1")
    with EmbeddedServer(folder, "cpu") as server:
        yield server.address


def test_a_classifier_without_a_generator_is_attributed(browser: playwright.Browser, classifier: str) -> None:
    with opened(classifier, RoomSettings(hosts=LOOPBACK)) as url, visited(browser, url) as page:
        page.click("text=Open the sample")
        page.wait_for_selector(".badge.not_assessed, .badge.not_applicable")  # random weights say either
        assert "Grad-CAM" in page.inner_text(".legend")
        assert page.locator(".segmented >> nth=0 >> button").all_inner_texts() == ["Film", "As seen"]
        assert not page.is_visible(".trajectory")
        page.click("text=Compute all maps")
        page.wait_for_selector(".maps .map[value=occlusion]")
        page.click("#tab-question")
        page.fill("[name=window]", "8")
        page.select_option("[name=target]", "effusion")
        page.click("button >> text=Run again")
        page.click("#tab-model")
        page.wait_for_selector(".model-card >> text=effusion")
        assert last_explanation(page)["target"]["class_name"] == "effusion"
        assert "was not measured" in page.inner_text(".model-card")
        assert page.request.get(url + page.get_attribute(".save a", "href")).ok
