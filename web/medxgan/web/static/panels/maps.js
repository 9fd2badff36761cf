// Which map lies over the film, and how it is drawn.

import { SIGNED, UNSIGNED } from "../color_maps.js";
import { field, h } from "../dom.js";
import { paint } from "../reading/paint.js";
import { missingMaps } from "../reading/wishes.js";
import { T } from "../texts.js";

/** `on.beside` shows all side by side; `on.computeAll` asks for what is missing. */
export function mapsPanel(reading, on) {
  const { stage } = reading;
  const list = h("div", { className: "maps", role: "group", "aria-label": T.maps.list });
  const words = h("p", { className: "note reading-of" });
  const compute = h("button", { type: "button", onclick: on.computeAll, title: T.maps.computeNote }, T.maps.compute);
  const slider = (name, label) => {
    const input = h("input", { type: "range", min: 0, max: 1, step: 0.01, value: stage[name],
      oninput: () => reading.set({ [name]: Number(input.value) }) });
    const wrapped = field(label, input);
    const output = h("output", { htmlFor: input.id });
    wrapped.append(output);
    reading.on("shown", () => { input.value = stage[name]; output.value = T.percent(stage[name]); });
    return wrapped;
  };
  const check = (name, label) => {
    const input = h("input", { type: "checkbox", checked: stage[name], id: `look-${name}`,
      onchange: () => reading.set({ [name]: input.checked }) });
    return h("span", { className: "check" }, input, h("label", { htmlFor: input.id }, label));
  };
  const palette = h("select", { onchange: () => reading.set({
    [reading.overlay?.signed === false ? "unsignedColors" : "signedColors"]: palette.value }) });

  reading.on("explained", () => {
    const picture = reading.maps.get("original") ?? null;
    list.replaceChildren(
      h("button", { type: "button", className: "map none", value: "", onclick: () => reading.set({ hidden: true }) },
        h("span", { className: "thumbnail" }), h("span", {}, T.maps.none)),
      ...reading.overlays().map((map) => {
        const canvas = h("canvas", { className: "thumbnail", "aria-hidden": "true" });
        paint(canvas, picture, map, { colors: reading.colorsOf(map), magnitude: map.magnitude, signed: map.signed,
          opacity: 1, threshold: 0, faded: true });
        return h("button", { type: "button", className: "map", value: map.kind,
          onclick: () => reading.set({ overlay: map.kind, hidden: false }) }, canvas, h("span", {}, map.title));
      }));
    compute.hidden = !reading.source.canAsk || !reading.model
      || missingMaps(reading.model, reading.explanation).length === 0;
  });
  reading.on("shown", () => {
    const { overlay } = reading;
    for (const button of list.children) {
      const pressed = stage.hidden ? button.value === "" : button.value === overlay?.kind;
      button.setAttribute("aria-pressed", String(pressed));
    }
    const names = overlay?.signed === false ? UNSIGNED : SIGNED;
    if (palette.dataset.for !== String(names)) {
      palette.dataset.for = String(names);
      palette.replaceChildren(...names.map((name) => h("option", { value: name }, name)));
    }
    palette.value = overlay?.signed === false ? stage.unsignedColors : stage.signedColors;
    const completeness = overlay?.completeness;
    const oneStart = overlay?.kind === "difference" && !reading.maps.has("uncertainty") && reading.source.canAsk;
    words.textContent = [overlay?.reading, oneStart ? T.maps.uncertainty : "", completeness ? T.maps.completeness(completeness.error) : ""]
      .filter(Boolean).join(" ");
  });
  return h("div", {}, list,
    h("div", { className: "row" },
      h("button", { type: "button", title: T.maps.besideTitle, onclick: on.beside }, T.maps.beside), compute),
    words,
    h("div", { className: "look" }, slider("opacity", T.maps.opacity), slider("threshold", T.maps.threshold),
      field(T.maps.colors, palette),
      h("div", { className: "row" }, check("faded", T.maps.faded), check("smooth", T.maps.smooth))));
}
