"""The explanation in a notebook: the figure, the widget's state, and what its module makes of it in a browser."""

import io
import json
import re
import shutil
import subprocess
import sys
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import traitlets
from matplotlib.figure import Figure
from PIL import Image

from medxgan.client import Client, Explanation, MapKind, VerdictReasonCode, VerdictStatus
from medxgan.client.pictures.appearance import overlay
from medxgan.client.pictures.panel import write_panel
from medxgan.client.results import Verdict, VerdictReason

CHROMIUM = shutil.which("chromium")
MOUNT = """async ([source, state]) => {
  const module = await import(URL.createObjectURL(new Blob([source], { type: "text/javascript" })));
  const listeners = {};
  const told = (name) => (listeners[`change:${name}`] ?? []).forEach((each) => each());
  window.saved = 0;
  window.model = {
    get: (name) => state[name],
    set: (name, value) => { state[name] = value; told(name); },
    save_changes: () => { window.saved += 1; },
    on: (name, listener) => { (listeners[name] ??= []).push(listener); },
    off: (name, listener) => { listeners[name] = listeners[name].filter((each) => each !== listener); },
  };
  window.close_widget = module.default.render({ model: window.model, el: document.body });
  window.listening = () => Object.values(listeners).flat().length;
}"""
"""Mounts the module of a widget with a model that holds `state`, as a notebook would."""
REASON = VerdictReason(VerdictReasonCode.RECONSTRUCTION_TOO_FAR, 0.2, 0.1, "It is <b>far</b> from it.")
VERDICT = Verdict(VerdictStatus.NOT_RELIABLE, (REASON,))


@pytest.fixture
def explanation(service, grey) -> Explanation:
    with Client(service.address) as client:
        return client.explain(
            grey,
            maps=[
                MapKind.ORIGINAL,
                MapKind.RECONSTRUCTION,
                MapKind.NEGATIVE_REALIZATION,
                MapKind.APPLIED_NEGATIVE,
                MapKind.POSITIVE_REALIZATION,
                MapKind.DIFFERENCE,
                MapKind.COLORIZED,
                MapKind.GRAD_CAM,
            ],
        )


def pixels(picture: dict[str, str]) -> np.ndarray:
    with Image.open(io.BytesIO(b64decode(picture["source"].removeprefix("data:image/png;base64,")))) as image:
        return np.asarray(image).astype(np.float32) / 255


def test_show_returns_the_panel_as_a_figure_that_a_notebook_shows(explanation: Explanation, tmp_path: Path) -> None:
    figure = explanation.show(positive_class="cats")
    assert isinstance(figure, Figure)
    write_panel(explanation, tmp_path / "panel.png", positive_class="cats")
    assert figure._repr_png_() == (tmp_path / "panel.png").read_bytes()  # what IPython asks an object for
    assert any("probability of cats" in text.get_text() for text in figure.texts)
    assert any("probability of pneumonia" in text.get_text() for text in explanation.show().texts)


def test_the_widget_holds_the_pictures_and_maps(explanation: Explanation) -> None:
    widget = explanation.widget()
    kinds = [MapKind.ORIGINAL, MapKind.RECONSTRUCTION, MapKind.NEGATIVE_REALIZATION, MapKind.APPLIED_NEGATIVE]
    # The film is positive: a positive realization would be the reconstruction.
    assert [picture["kind"] for picture in widget.pictures] == kinds
    for kind, picture in zip(kinds, widget.pictures, strict=True):
        np.testing.assert_allclose(pixels(picture), (explanation[kind] + 1) / 2, atol=0.5 / 255 + 1e-6)
    assert [picture["caption"] for picture in widget.pictures[:2]] == ["0.90  positive", "0.80  positive"]
    assert [each["kind"] for each in widget.overlays] == [MapKind.DIFFERENCE, MapKind.GRAD_CAM]
    over = pixels(widget.overlays[0])
    laid = over[..., :3] * over[..., 3:] + (1 - over[..., 3:]) * pixels(widget.pictures[0])[..., np.newaxis]
    np.testing.assert_allclose(laid, overlay(explanation, MapKind.DIFFERENCE), atol=1.5 / 255)


def test_the_widget_states_the_verdict_in_words(explanation: Explanation) -> None:
    told = replace(explanation, verdict=VERDICT).widget().words
    assert (told["verdict"], told["sentences"][1:]) == ("NOT RELIABLE", ["It is <b>far</b> from it."])
    assert told["note"] == "Research use only. Not a medical device."


def test_what_a_widget_shows_is_set_within_what_it_holds(explanation: Explanation) -> None:
    widget = explanation.widget()
    widget.picture, widget.overlay, widget.opacity, widget.blinking = "negative_realization", "none", 0.25, True
    state = widget.get_state()
    assert (state["picture"], state["overlay"], state["opacity"], state["blinking"]) == (
        "negative_realization",
        "none",
        0.25,
        True,
    )
    for name, value in (("picture", "occlusion"), ("overlay", "original"), ("opacity", 1.5)):
        with pytest.raises(traitlets.TraitError, match=name):
            setattr(widget, name, value)


def test_an_explanation_of_maps_alone_has_no_widget(service, grey) -> None:
    with Client(service.address) as client:
        explanation = client.explain(grey, maps=[MapKind.GRAD_CAM])
    with pytest.raises(LookupError, match="original"):
        explanation.widget()


def test_the_module_asks_no_other_host(explanation: Explanation) -> None:
    source = str(explanation.widget()._esm)
    assert "export default" in source
    assert not re.search(r"https?:|\bimport\b", source)


@pytest.mark.parametrize(
    ("call", "module", "extra"), [("show", "matplotlib", "cli"), ("widget", "anywidget", "notebook")]
)
def test_what_is_missing_is_named(service, call: str, module: str, extra: str) -> None:
    code = (
        f"import sys; sys.modules[{module!r}] = None\n"
        "import medxgan.client as client, numpy as np\n"
        f"with client.Client('{service.address}') as connection:\n"
        "    explanation = connection.explain(np.zeros((8, 8), np.uint8))\n"
        f"try: explanation.{call}()\n"
        "except client.MissingExtraError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"`Explanation.{call}` needs the {extra} extra: pip install 'medxgan[{extra}]'" in done.stdout


@pytest.fixture
def mounted(explanation: Explanation) -> Iterator[Any]:
    """A page that shows the widget, of a verdict with a reason that looks like HTML."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("Debian's package chromium is not installed")
    widget = replace(explanation, verdict=VERDICT).widget()
    names = ("pictures", "overlays", "words", "picture", "overlay", "opacity", "blinking")
    state = json.loads(json.dumps({name: getattr(widget, name) for name in names}))
    with playwright.sync_playwright() as tools:
        browser = tools.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        wrong: list[str] = []
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda request: wrong.append(request.url) if request.url.startswith("http") else None)
        page.evaluate(MOUNT, [str(widget._esm), state])
        yield page
        browser.close()
    assert wrong == []


def stage(page: Any) -> np.ndarray:
    """The stage as it is drawn: uint8 [384, 384, 3]."""
    shot = page.locator("img >> nth=0").screenshot()
    return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB")).astype(int)


def test_a_browser_shows_what_is_chosen(mounted: Any, explanation: Explanation) -> None:
    assert "NOT RELIABLE" in mounted.inner_text("section")
    assert mounted.inner_text("li >> nth=1") == "It is <b>far</b> from it."
    mounted.select_option("select", "none")
    mounted.click("button >> text=Negative >> nth=0")
    assert mounted.evaluate("[window.model.get('picture'), window.model.get('overlay')]") == [
        "negative_realization",
        "none",
    ]
    assert mounted.evaluate("window.saved") == 2
    assert "Negative: 0.10 negative" in mounted.inner_text("section")
    # Each of 16x16 pixels is a square of 24.
    centres = stage(mounted)[12::24, 12::24]
    expected = (explanation[MapKind.NEGATIVE_REALIZATION] + 1) * 127.5
    np.testing.assert_allclose(centres[..., 0], expected, atol=1)

    mounted.evaluate("window.model.set('overlay', 'difference')")
    mounted.evaluate("window.model.set('picture', 'original')")
    mounted.locator("input[type=range]").fill("1")
    np.testing.assert_allclose(stage(mounted)[12::24, 12::24], overlay(explanation, MapKind.DIFFERENCE) * 255, atol=3)
    mounted.locator("input[type=range]").fill("0")
    np.testing.assert_allclose(stage(mounted)[12::24, 12::24, 1], (explanation.original + 1) * 127.5, atol=1)


def test_a_browser_blinks_until_it_is_told_to_stop(mounted: Any) -> None:
    film = mounted.get_attribute("img >> nth=0", "alt")
    mounted.click("text=Blink")
    assert mounted.get_attribute("text=Blink", "aria-pressed") == "true"
    mounted.wait_for_selector("img[alt=Negative]")
    mounted.wait_for_selector(f"img[alt={film}]")
    mounted.click("text=Blink")
    mounted.wait_for_timeout(700)
    assert mounted.get_attribute("img >> nth=0", "alt") == film == "Film"
    mounted.evaluate("window.close_widget()")
    assert mounted.evaluate("window.listening()") == 0
