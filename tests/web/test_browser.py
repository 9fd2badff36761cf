"""The reading room in a browser: what is drawn, what the keys do, what a reader is told when something is wrong."""

import io
import json
import re
import shutil
import zipfile
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import grpc
import numpy as np
import pytest
from PIL import Image
from tests.web.films import SAMPLE, phantom_film
from tests.web.judging import serious, unreachable
from tests.web.rooms import LOOPBACK, Opening, opened
from torch import Tensor, nn

from medxgan.client import Client
from medxgan.client.pictures.report import report
from medxgan.export.bundle import export_bundle
from medxgan.server.embedded import EmbeddedServer
from medxgan.training.model import TrainedModel
from medxgan.training.networks import Classifier
from medxgan.v1 import bundle_pb2, explanation_pb2_grpc
from medxgan.web import color_maps
from medxgan.web.settings import RoomSettings

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Debian's package chromium is not installed")

FLAGS = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"]
MARGIN = 12  # of camera.js
PANNING = """async () => {
  const canvas = document.querySelector("canvas.film");
  const { left, top } = canvas.getBoundingClientRect();
  const send = (kind, x, y) => canvas.dispatchEvent(new PointerEvent(kind, {
    pointerId: 1, button: 0, clientX: left + x, clientY: top + y, bubbles: true }));
  canvas.setPointerCapture = () => {};  // this pointer is none of the browser's
  send("pointerdown", 400, 300);
  const [before, began] = [Number(canvas.dataset.frames), performance.now()];
  let coarsest = 1;
  for (let step = 0; performance.now() - began < 3000; step += 1) {
    send("pointermove", 400 - (step % 60) * 3, 300 + (step % 40));
    await new Promise((done) => requestAnimationFrame(done));
    coarsest = Math.max(coarsest, Number(canvas.dataset.coarse ?? 1));
  }
  send("pointerup", 400, 300);
  return [Number(canvas.dataset.frames) - before, (performance.now() - began) / 1000, coarsest];
}"""
PATIENCE = 30_000  # milliseconds: a drawing by software on a busy machine is slow


@pytest.fixture(scope="module")
def browser() -> Iterator[playwright.Browser]:
    with playwright.sync_playwright() as tools:
        browser = tools.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: playwright.Browser, room: str) -> Iterator[playwright.Page]:
    """A page of the reading room, in a session of its own; nothing may go wrong in it unseen."""
    with visited(browser, room) as page:
        yield page


@contextmanager
def visited(browser: playwright.Browser, url: str, **options: object) -> Iterator[playwright.Page]:
    """A page in a browser context of its own."""
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
    wrong: list[str] = []
    try:
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        # What the policy forbids is told on the console.
        page.on("console", lambda line: wrong.append(line.text) if "Policy" in line.text else None)
        page.goto(url)
        yield page
    finally:
        context.close()
    assert wrong == []


def open_sample(page: playwright.Page) -> str:
    """Open the sample film; gives its id once it is explained."""
    page.click("text=Open the sample")
    page.wait_for_selector(".badge.reliable")
    return page.url.rsplit("/", 1)[1]


def screen(page: playwright.Page) -> np.ndarray:
    """The film's canvas as it is drawn: uint8 [height, width, 3]."""
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    page.wait_for_selector("canvas.film:not([data-coarse])")
    shot = page.locator("canvas.film").screenshot()
    return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB")).astype(int)


def middle(page: playwright.Page) -> np.ndarray:
    """The middle of the canvas, away from what is written over the film and from the mark of the focus."""
    return screen(page)[60:480, 240:-240]


def values(page: playwright.Page, film: str, kind: str, shape: tuple[int, int]) -> np.ndarray:
    """A map of the film's last explanation, as the reading room sends it."""
    told = page.request.get(f"{page.url.split('#')[0]}api/films/{film}").json()
    path = f"{page.url.split('#')[0]}api/films/{film}/explanations/{told['explanations'][-1]}/maps/{kind}"
    return np.frombuffer(page.request.get(path).body(), "<f4").reshape(shape)


def last_explanation(page: playwright.Page) -> dict[str, object]:
    """The last explanation of the film that is open."""
    api, film = f"{page.url.split('#')[0]}api/films", page.url.rsplit("/", 1)[1]
    last = page.request.get(f"{api}/{film}").json()["explanations"][-1]
    return page.request.get(f"{api}/{film}/explanations/{last}").json()


def place(drawn: np.ndarray, row: float, column: float, size: int = 512) -> tuple[int, int]:
    """Where a place on a square film lies on the canvas that it is fitted to."""
    height, width = drawn.shape[:2]
    scale = min(width - 2 * MARGIN, height - 2 * MARGIN) / size
    return round((height - size * scale) / 2 + row * scale), round((width - size * scale) / 2 + column * scale)


def show_map_alone(page: playwright.Page) -> None:
    """The map in full colour over everything, pixel for pixel."""
    for label in ("Fade small values", "Interpolate"):
        page.uncheck(f"text={label}")
    page.locator("text=Opacity >> xpath=.. >> input").fill("1")
    page.locator("text=Hide below >> xpath=.. >> input").fill("0")


def test_a_film_is_dropped_and_the_map_lies_where_the_numbers_say(page: playwright.Page) -> None:
    film = open_sample(page)
    show_map_alone(page)
    difference = values(page, film, "difference", (32, 32))
    digits = re.search(r"coolwarm:(.*?),\n", color_maps.script(), re.DOTALL)[1]
    colors = np.frombuffer(bytes.fromhex("".join(re.findall(r'"(\w+)"', digits))), np.uint8).reshape(256, 3).astype(int)
    drawn, largest = screen(page), np.abs(difference).max()
    random = np.random.default_rng(5)
    cells = [
        divmod(int(difference.argmax()), 32),
        divmod(int(difference.argmin()), 32),
        *random.integers(4, 27, (12, 2)),
    ]
    for row, column in cells:
        expected = colors[round((0.5 + 0.5 * difference[row, column] / largest) * 255)]
        at = place(drawn, 16 * (row + 0.5), 16 * (column + 0.5))
        assert np.abs(drawn[at] - expected).max() <= 3, (row, column)


def test_the_film_is_drawn_by_its_window(page: playwright.Page) -> None:
    film = open_sample(page)
    page.keyboard.press("o")
    described = page.request.get(f"{page.url.split('#')[0]}api/films/{film}").json()
    levels = np.frombuffer(page.request.get(f"{page.url.split('#')[0]}api/films/{film}/levels").body(), np.uint8)
    levels = levels.reshape(512, 512).astype(float)
    drawn = screen(page)
    for row, column in ((256, 90), (256, 256), (100, 300), (400, 230)):
        about = levels[row - 2 : row + 3, column - 2 : column + 3]
        if np.ptp(about) > 40:
            continue  # an edge: where it lies to the pixel is not the question here
        grey = np.clip((about - described["low"]) / (described["high"] - described["low"]), 0, 1) * 255
        at = place(drawn, row + 0.5, column + 0.5)
        assert grey.min() - 2 <= drawn[at][0] <= grey.max() + 2
        assert np.ptp(drawn[at]) == 0


def test_pictures_are_chosen_blinked_and_swiped_by_keys(page: playwright.Page) -> None:
    open_sample(page)
    page.keyboard.press("o")
    film = middle(page)
    page.keyboard.press("5")
    less = middle(page)
    assert page.inner_text(".shown") == "Film \N{MINUS SIGN} difference"
    assert np.abs(less - film).max() > 20
    page.keyboard.press("1")
    page.keyboard.press("Space")
    assert np.array_equal(middle(page), less)
    page.keyboard.press("Space")
    assert np.array_equal(middle(page), film)
    page.keyboard.press("s")
    both, half = middle(page), film.shape[1] // 2
    assert np.array_equal(both[:, : half - 3], film[:, : half - 3])
    assert np.array_equal(both[:, half + 3 :], less[:, half + 3 :])


def test_the_slider_walks_from_negative_to_positive(page: playwright.Page) -> None:
    film = open_sample(page)
    slider = page.locator(".trajectory input")
    slider.focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    told = page.request.get(f"{page.url.split('#')[0]}api/films/{film}").json()["explanations"][-1]
    trajectory = page.request.get(f"{page.url.split('#')[0]}api/films/{film}/explanations/{told}").json()["trajectory"]
    assert page.inner_text(".trajectory .at").endswith(f"{trajectory[0]['score']['probability']:.3f}")
    page.keyboard.press("End")
    assert page.inner_text(".trajectory .at").endswith(f"{trajectory[-1]['score']['probability']:.3f}")
    assert page.inner_text(".shown") == "On the way, 100 %"
    page.keyboard.press(",")
    assert page.inner_text(".shown") == "On the way, 94 %"


def test_the_film_is_moved_and_read_by_keys_and_pointer(page: playwright.Page) -> None:
    open_sample(page)
    drawn, before = screen(page), middle(page)
    canvas = page.locator("canvas.film")
    canvas.focus()
    page.keyboard.press("ArrowRight")
    assert np.array_equal(middle(page)[:, :-40], before[:, 40:])
    page.keyboard.press("f")
    box = canvas.bounding_box()
    y, x = place(drawn, 300.5, 200.5)
    page.mouse.move(box["x"] + x, box["y"] + y)
    assert re.match(r"row (299|300|301), column (199|200|201) · level \d+ · Difference", page.inner_text(".probe"))
    page.mouse.wheel(0, -500)
    assert "row 300, column 200" in page.inner_text(".probe") or "row 30" in page.inner_text(".probe")
    page.keyboard.press("?")
    page.wait_for_selector("dialog.help")
    page.uncheck("#letters")
    page.keyboard.press("Escape")
    shown = page.inner_text(".shown")
    page.keyboard.press("4")  # letters and digits are off
    assert page.inner_text(".shown") == shown


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


def test_a_session_that_has_ended_is_said_to_have(page: playwright.Page, room: str) -> None:
    open_sample(page)
    assert page.request.delete(f"{room}/api/session").status == 204
    page.click("text=Compute all maps")
    page.wait_for_selector(".drop")
    assert "session has ended" in page.inner_text(".notice")
    open_sample(page)


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


def test_all_maps_stand_side_by_side(page: playwright.Page) -> None:
    open_sample(page)
    page.click("text=Compute all maps")
    page.wait_for_selector(".maps .map[value=occlusion]")
    page.keyboard.press("b")
    assert page.locator(".beside-map").count() == page.locator(".maps .map").count() - 1 >= 10
    page.click(".beside-map >> text=Occlusion")
    assert "Occlusion" in page.inner_text(".legend")


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


def test_nobody_is_kept_out_by_what_axe_finds_serious(page: playwright.Page) -> None:
    assert serious(page) == []
    open_sample(page)
    for tab in ("maps", "question", "model"):
        page.click(f"#tab-{tab}")
        assert serious(page) == []
    page.keyboard.press("b")
    assert serious(page) == []
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    assert serious(page) == []


def test_all_of_it_has_a_place_on_1024_by_768(browser: playwright.Browser, room: str) -> None:
    with visited(browser, room, viewport={"width": 1024, "height": 768}) as page:
        assert unreachable(page) == []
        open_sample(page)
        for tab in ("maps", "question", "model"):
            page.click(f"#tab-{tab}")
            assert unreachable(page) == []
        # The film has most of the screen.
        assert page.locator("canvas.film").bounding_box()["height"] > 768 / 2


def test_a_film_of_20_megapixels_is_panned(
    page: playwright.Page, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    rows, columns = np.mgrid[0:4000, 0:5000]
    levels = (rows * 8 + columns * 4 + 4000 * np.hypot(rows % 250 - 125, columns % 250 - 125) / 125).astype(np.uint16)
    Image.fromarray(levels).save(tmp_path / "large.png", compress_level=1)
    page.set_input_files("#file", tmp_path / "large.png")
    page.wait_for_selector(".badge")
    page.keyboard.press("+")
    drawn, seconds, coarseness = page.evaluate(PANNING)
    record_property("frames_per_second", drawn / seconds)
    told = f"{drawn} frames in {seconds:.2f} s, {drawn / seconds:.0f} a second, drawn up to {coarseness} times coarser"
    print(f"20 megapixels panned: {told}")  # noqa: T201 (reported, not asserted)
    assert drawn > 3
    # At rest it is fine again, and was moved.
    page.wait_for_selector("canvas.film:not([data-coarse])")
