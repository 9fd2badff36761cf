// The browser's side of ExplanationWidget: one stage with a picture and a map over it, and what chooses them.

const BLINK_MS = 600; // fewer than three changes a second: WCAG 2.3.1
const SIDE = 384; // pixels of the stage

/** An element with properties, a style, and children; text comes in as text alone. */
function h(name, { style = {}, ...properties } = {}, ...children) {
  const element = document.createElement(name);
  Object.assign(element.style, style);
  for (const [key, value] of Object.entries(properties)) {
    if (key in element) element[key] = value;
    else element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

const found = (list, kind) => list.find((each) => each.kind === kind);

/** What blinking alternates with: the film, or for the film itself the negative, or whatever else there is. */
function opposite(pictures, kind) {
  const [film] = pictures;
  return kind !== film.kind ? film : found(pictures, "negative_realization") ?? pictures.at(-1);
}

function render({ model, el }) {
  const [pictures, overlays, words] = ["pictures", "overlays", "words"].map((name) => model.get(name));
  const set = (name, value) => {
    model.set(name, value);
    model.save_changes();
  };

  const image = { width: "100%", height: "100%", imageRendering: "pixelated", position: "absolute", inset: "0" };
  const picture = h("img", { style: image });
  const overlay = h("img", { style: { ...image, pointerEvents: "none" } });
  const shown = h("div", { "aria-live": "off", style: { fontSize: "0.9em", minHeight: "1.4em" } });
  const stage = h("div", { style: { position: "relative", width: `min(${SIDE}px, 100%)`, aspectRatio: "1", background: "#000" } },
    picture, overlay);

  const buttons = pictures.map(({ kind, title }) =>
    h("button", { type: "button", "data-kind": kind, onclick: () => set("picture", kind) }, title));
  const blink = h("button", { type: "button", onclick: () => set("blinking", !model.get("blinking")) }, "Blink");
  const choice = h("select", { onchange: () => set("overlay", choice.value) },
    ...[...overlays, { kind: "none", title: "None" }].map(({ kind, title }) => h("option", { value: kind }, title)));
  const opacity = h("input", { type: "range", min: "0", max: "1", step: "0.05",
    oninput: () => set("opacity", Number(opacity.value)) });
  const reading = h("p", { style: { margin: "0", fontSize: "0.9em", opacity: "0.8" } });
  const badge = h("strong", { style: {
    background: words.color, color: "#fff", padding: "0.15em 0.6em", borderRadius: "0.8em", fontSize: "0.85em" } }, words.verdict);

  const row = (...children) =>
    h("div", { style: { display: "flex", flexWrap: "wrap", gap: "0.4em", alignItems: "center" } }, ...children);
  el.append(h("section", { "aria-label": "Explanation", style: { display: "flex", flexWrap: "wrap", gap: "1em" } },
    h("div", { style: { flex: `1 1 ${SIDE}px`, maxWidth: `${SIDE}px` } }, stage, shown),
    h("div", { style: { flex: "1 1 280px", display: "flex", flexDirection: "column", gap: "0.6em" } },
      row(h("strong", {}, words.title), badge),
      h("ul", { style: { margin: "0", paddingLeft: "1.2em" } }, ...words.sentences.map((each) => h("li", {}, each))),
      row(...buttons, pictures.length > 1 ? blink : null),
      row(h("label", {}, "Map ", choice), h("label", {}, "Opacity ", opacity)),
      reading,
      h("small", {}, words.note))));

  let other = false;
  let timer = null;
  function draw() {
    const chosen = found(pictures, model.get("picture"));
    const drawn = other ? opposite(pictures, chosen.kind) : chosen;
    picture.src = drawn.source;
    picture.alt = drawn.title;
    shown.textContent = [drawn.title, drawn.caption].filter(Boolean).join(": ");
    const map = found(overlays, model.get("overlay"));
    overlay.hidden = !map;
    if (map) overlay.src = map.source;
    overlay.alt = map ? `${map.title} over it` : "";
    overlay.style.opacity = String(model.get("opacity"));
    choice.value = map?.kind ?? "none";
    reading.textContent = map?.caption ?? "";
    opacity.value = String(model.get("opacity"));
    opacity.disabled = !map;
    for (const button of buttons) button.setAttribute("aria-pressed", String(button.dataset.kind === chosen.kind));
    blink.setAttribute("aria-pressed", String(model.get("blinking")));
    for (const button of [...buttons, blink]) {
      button.style.fontWeight = button.getAttribute("aria-pressed") === "true" ? "bold" : "normal";
    }
  }
  function pace() {
    clearInterval(timer);
    other = false;
    timer = model.get("blinking") ? setInterval(() => { other = !other; draw(); }, BLINK_MS) : null;
    draw();
  }
  const listeners = [["picture", draw], ["overlay", draw], ["opacity", draw], ["blinking", pace]];
  for (const [name, listener] of listeners) model.on(`change:${name}`, listener);
  pace();
  return () => {
    clearInterval(timer);
    for (const [name, listener] of listeners) model.off(`change:${name}`, listener);
  };
}

export default { render };
