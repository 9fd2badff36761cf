"""A browser before a reading room, and what its pages show."""

import io
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from PIL import Image

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium")
FLAGS = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"]
MARGIN = 12  # of camera.js
PATIENCE = 30_000  # milliseconds: a drawing by software on a busy machine is slow


@contextmanager
def launched() -> Iterator[playwright.Browser]:
    """Debian's Chromium, drawing by software; a test without it is skipped."""
    if CHROMIUM is None:
        pytest.skip("Debian's package chromium is not installed")
    with playwright.sync_playwright() as tools:
        browser = tools.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


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
