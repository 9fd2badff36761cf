// Above the film: which picture, what it is compared with, what a drag does.

import { field, h, segmented } from "../dom.js";
import { T } from "../texts.js";

const ZOOM = 1.25;

export function toolbarOf(reading, on) {
  const { stage } = reading;
  const pictures = h("span", {});
  const compare = h("select", { id: "compare", onchange: () => {
    reading.set({ compare: compare.value, ...(compare.value ? {} : { swiping: false, blinking: false }) });
  } });
  const blink = h("button", { type: "button", title: T.layers.blinkTitle, "aria-pressed": "false",
    onclick: () => reading.set({ blinking: !stage.blinking, swiping: false }) }, T.layers.blink);
  const swipe = h("button", { type: "button", title: T.layers.swipeTitle, "aria-pressed": "false",
    onclick: () => reading.set({ swiping: !stage.swiping, blinking: false }) }, T.layers.swipe);
  const place = h("input", { type: "range", min: 0.02, max: 0.98, step: 0.01, "aria-label": T.layers.swipeAt,
    className: "swipe-at", oninput: () => reading.set({ swipe: Number(place.value) }) });
  const comparing = h("span", { className: "comparing", hidden: true }, field(T.layers.compare, compare), blink, swipe, place);
  const tools = segmented(T.tools.label, ["pan", "window", "region"].map((tool) => [tool, T.tools[tool]]), on.tool);
  const button = (text, title, onclick) => h("button", { type: "button", title, onclick }, text);
  const modelWindow = button(T.tools.modelWindow, T.tools.modelWindowTitle, on.modelWindow);
  const frames = framesOf(reading, on);

  let group = null;
  reading.on("explained", () => draw());
  reading.on("opened", () => draw());
  function draw() {
    const layers = reading.layers();
    group = segmented(T.layers.label, layers.map(([name, title, hint], index) => [name, title, `${hint} (${index + 1})`]),
      (base) => reading.set({ base, blinking: false }));
    pictures.replaceChildren(group);
    comparing.hidden = layers.length < 2;
    modelWindow.disabled = !reading.explanation?.grey;
    compare.replaceChildren(h("option", { value: "" }, T.layers.nothing),
      ...layers.map(([name, title]) => h("option", { value: name }, title)));
  }
  reading.on("shown", () => {
    group?.choose(stage.base);
    compare.value = stage.compare;
    blink.setAttribute("aria-pressed", String(stage.blinking));
    swipe.setAttribute("aria-pressed", String(stage.swiping));
    blink.disabled = swipe.disabled = !stage.compare;
    place.hidden = !stage.swiping;
    place.value = stage.swipe;
  });

  const element = h("div", { className: "toolbar" },
    h("div", { className: "row" }, pictures, comparing),
    h("div", { className: "row" }, h("span", { className: "label" }, T.tools.label), tools,
      button("−", T.tools.zoomOut, () => on.zoom(1 / ZOOM)), button("+", T.tools.zoomIn, () => on.zoom(ZOOM)),
      button(T.tools.fit, T.tools.fitTitle, on.fit), h("span", { className: "label" }, T.tools.resetLabel), button(T.tools.reset, T.tools.resetTitle, on.resetWindow),
      modelWindow, frames));
  return { element, tools };
}

function framesOf(reading, on) {
  const { frame, frames } = reading.source.film;
  if (frames < 2) return null;
  const input = h("input", { type: "number", min: 1, max: frames, value: frame, className: "short",
    onchange: () => on.frame(Number(input.value)) });
  return field(T.question.frame, input, `/ ${frames}`);
}
