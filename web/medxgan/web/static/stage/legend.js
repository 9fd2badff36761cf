// What the colours mean, and the numbers under the pointer.

import { h } from "../dom.js";
import { paintScale } from "../reading/paint.js";
import { T } from "../texts.js";

/** The colour bar of the map over the film, drawn as the map is: with its opacity and threshold. */
export function legendOf(reading) {
  const canvas = h("canvas", { "aria-hidden": "true" });
  const [title, low, high] = [h("span", { className: "title" }), h("span", {}), h("span", {})];
  const legend = h("div", { className: "legend", hidden: true }, title, canvas, h("span", { className: "ends" }, low, high));
  reading.on("shown", () => {
    const { overlay, stage } = reading;
    legend.hidden = !overlay || stage.hidden;
    if (legend.hidden) return;
    paintScale(canvas, { colors: reading.colorsOf(overlay), magnitude: overlay.magnitude, signed: overlay.signed,
      opacity: stage.opacity, threshold: stage.threshold, faded: stage.faded });
    title.textContent = `${overlay.title}${overlay.unit ? ` · ${overlay.unit}` : ""}`;
    low.textContent = overlay.signed ? `−${T.number(overlay.magnitude, 2)}` : "0";
    high.textContent = `${overlay.signed ? "+" : ""}${T.number(overlay.magnitude, 2)}`;
  });
  return legend;
}

/** Place, level and value of the map under the pointer, or in the middle of a film that is moved by keys. */
export function probeOf(reading) {
  const element = h("p", { className: "probe" });
  let pointer = null;

  function draw() {
    const { viewer, overlay } = reading;
    const { width, height } = viewer.camera.screen;
    const keyed = !pointer && document.activeElement === viewer.canvas;
    const at = pointer ?? (keyed ? { x: width / 2, y: height / 2 } : null);
    const under = at && viewer.under(at.x, at.y);
    if (!under) {
      element.textContent = T.probe.nothing;
      return;
    }
    const { film } = reading.source;
    const value = under.level * film.slope + film.intercept;
    const words = [T.probe.place(under.row, under.column),
      T.probe.level(Number.isInteger(value) ? value : T.number(value, 4), film.unit)];
    if (overlay) {
      const [row, column] = viewer.onMap(under.upright, overlay.shape);
      const map = viewer.value(overlay, row, column, reading.stage.smooth);
      if (map !== null) words.push(`${overlay.title} ${T.number(map)}`);
    }
    element.textContent = words.join(" · ");
  }
  return { element, draw, at: (place) => { pointer = place; if (reading.viewer) draw(); } };
}
