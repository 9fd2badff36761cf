"""The reading room in a browser: time from the drop of a film to its overlay, and frames a second while one is panned.

python benchmarks/reading_room.py [--model phantom] [--side 512 | --film FILE] [--drops 5] [--seconds 5] [--out FILE]

A server, a reading room and Debian's Chromium on this machine; where there is no graphics processor Chromium draws by
software on the same cores, as it does here. The first drop is not counted: browsers compile what they run often. A film
is dropped a second after the page came: a reader looks for it first.
"""

import argparse
import base64
import io
import json
import os
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import uvicorn
from PIL import Image
from playwright.sync_api import Page, sync_playwright

from medxgan.client.async_client import AsyncClient
from medxgan.server.embedded import EmbeddedServer
from medxgan.web.application import reading_room
from medxgan.web.settings import RoomSettings

ROOT = Path(__file__).parents[1]
FLAGS = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"]

DROP = """async ([name, content]) => {
  const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
  const carried = new DataTransfer();
  carried.items.add(new File([bytes], name));
  // The map is over the film when its legend is: it is drawn with the next frame.
  const shown = new Promise((done) => new MutationObserver((_, observer) => {
    const legend = document.querySelector(".legend:not([hidden]) .title");
    if (legend?.textContent) { observer.disconnect(); done(); }
  }).observe(document.body, { subtree: true, childList: true, attributes: true, characterData: true }));
  const film = () => new Promise((done) => {
    const look = () => (Number(document.querySelector("canvas.film")?.dataset.frames ?? 0) ? done(performance.now())
      : requestAnimationFrame(look));
    look();
  });
  const began = performance.now();
  document.dispatchEvent(new DragEvent("drop", { dataTransfer: carried, bubbles: true, cancelable: true }));
  const filmAt = film();
  await shown;
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  return [((await filmAt) - began) / 1000, (performance.now() - began) / 1000];
}"""

PAN = """async (seconds) => {
  const canvas = document.querySelector("canvas.film");
  const { left, top } = canvas.getBoundingClientRect();
  const send = (kind, x, y) => canvas.dispatchEvent(new PointerEvent(kind, {
    pointerId: 1, button: 0, clientX: left + x, clientY: top + y, bubbles: true }));
  canvas.setPointerCapture = () => {};  // this pointer is none of the browser's
  send("pointerdown", 400, 300);
  const [before, began] = [Number(canvas.dataset.frames), performance.now()];
  const [times, coarseness] = [[], []];
  for (let step = 0; performance.now() - began < seconds * 1000; step += 1) {
    send("pointermove", 400 - (step % 60) * 3, 300 + (step % 40));
    await new Promise((done) => requestAnimationFrame(done));
    times.push(performance.now());
    coarseness.push(Number(canvas.dataset.coarse ?? 1));
  }
  send("pointerup", 400, 300);
  const gaps = times.slice(1).map((time, index) => time - times[index]).sort((one, other) => one - other);
  return { frames: Number(canvas.dataset.frames) - before, seconds: (performance.now() - began) / 1000,
    gap95: gaps[Math.floor(gaps.length * 0.95)], coarsest: Math.max(...coarseness) };
}"""


def main() -> None:
    """Measure both, print them, and write them where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="phantom", help="a shipped model")
    parser.add_argument("--side", type=int, default=512, help="rows and columns of the film that is dropped")
    parser.add_argument("--film", type=Path, help="a file that is dropped in place of that film")
    parser.add_argument("--drops", type=int, default=5, help="drops that are timed, after one that is not")
    parser.add_argument("--seconds", type=float, default=5.0, help="of panning")
    parser.add_argument("--out", type=Path, help="JSON file of the figures")
    asked = parser.parse_args()
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.exit("error: Chromium is not installed; on Debian: apt-get install chromium")
    load = os.getloadavg()[0]
    with EmbeddedServer(ROOT / "models", "cpu") as server, room(server.address) as url, sync_playwright() as tools:
        browser = tools.chromium.launch(executable_path=chromium, args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.set_default_timeout(120_000)
        page.goto(url)
        page.wait_for_selector(f"#model option[value^='{asked.model} ']", state="attached")
        chosen = page.locator(f"#model option[value^='{asked.model} ']").first.get_attribute("value")
        content = film(asked.side) if asked.film is None else asked.film.read_bytes()
        drops = [dropped(page, url, str(chosen), content) for _ in range(asked.drops + 1)][1:]
        panned = pan(page, url, str(chosen), asked.seconds)
        browser.close()
    films, overlays = zip(*drops, strict=True)
    figures = {
        "load_before": load,
        "cpus": os.cpu_count(),
        "model": asked.model,
        "side": asked.side if asked.film is None else None,
        "film_s": [round(each, 3) for each in films],
        "overlay_s": [round(each, 3) for each in overlays],
        "pan": panned,
    }
    print(f"load average before: {load:.1f}, {os.cpu_count()} CPUs")
    print(f"film on the screen after the drop: median {statistics.median(films):.2f} s, longest {max(films):.2f} s")
    print(f"overlay after the drop: median {statistics.median(overlays):.2f} s, longest {max(overlays):.2f} s")
    print(
        f"20 megapixels panned: {panned['frames'] / panned['seconds']:.0f} frames a second,"
        f" 95 % of the gaps up to {panned['gap95']:.0f} ms, drawn up to {panned['coarsest']} times coarser"
    )
    if asked.out:
        asked.out.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


@contextmanager
def room(address: str) -> Iterator[str]:
    """The address of a reading room before a server."""
    app = reading_room(RoomSettings(), lambda token: AsyncClient(address, token=token or None))
    config = uvicorn.Config(app, host="127.0.0.1", port=0, access_log=False, log_config=None, ws="none", lifespan="on")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


def film(side: int) -> bytes:
    """The sample film that ships, at another size, as a PNG file."""
    with Image.open(ROOT / "web" / "medxgan" / "web" / "samples" / "phantom.png") as sample:
        file = io.BytesIO()
        sample.resize((side, side), Image.Resampling.BICUBIC).save(file, "PNG")
    return file.getvalue()


def dropped(page: Page, url: str, model: str, content: bytes) -> tuple[float, float]:
    """Seconds from the drop to the film, and to its overlay."""
    start(page, url, model)
    page.wait_for_timeout(1000)
    film_s, overlay_s = page.evaluate(DROP, ["film.png", base64.b64encode(content).decode()])
    return film_s, overlay_s


def start(page: Page, url: str, model: str) -> None:
    """The first view of a new session."""
    page.goto("about:blank")
    page.context.clear_cookies()
    page.goto(url)
    page.wait_for_selector(".drop")
    page.select_option("#model", model)


def pan(page: Page, url: str, model: str, seconds: float) -> dict[str, float]:
    """Frames while a film of 20 megapixels and 16 bits is moved, with its map over it."""
    rows, columns = np.mgrid[0:4000, 0:5000]
    levels = (rows * 8 + columns * 4 + 4000 * np.hypot(rows % 250 - 125, columns % 250 - 125) / 125).astype(np.uint16)
    start(page, url, model)
    with tempfile.TemporaryDirectory() as folder:
        Image.fromarray(levels).save(Path(folder) / "large.png", compress_level=1)
        page.set_input_files("#file", Path(folder) / "large.png")
        page.wait_for_selector(".reading .badge")
    page.keyboard.press("+")
    moved: dict[str, float] = page.evaluate(PAN, seconds)
    return moved


if __name__ == "__main__":
    main()
