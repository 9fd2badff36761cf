// Every map at once, each over the image as the networks see it.

import { h, segmented } from "../dom.js";
import { paint, paintScale } from "../reading/paint.js";
import { T } from "../texts.js";

/** Shows the maps in place of the film; `onclose` goes back. */
export function besidePanel(reading, onclose) {
  let scale = "own";
  const grid = h("div", { className: "grid" });
  const scales = segmented(T.maps.scaleLabel, [["own", T.maps.own], ["one", T.maps.one]], (chosen) => {
    scale = chosen;
    draw();
  });
  scales.choose(scale);

  function draw() {
    const picture = reading.maps.get("original") ?? null;
    const largest = {};
    for (const map of reading.overlays()) largest[map.unit] = Math.max(largest[map.unit] ?? 0, map.magnitude);
    grid.replaceChildren(...reading.overlays().map((map) => {
      const { opacity, threshold, faded } = reading.stage;
      const magnitude = scale === "one" ? largest[map.unit] : map.magnitude;
      const look = { colors: reading.colorsOf(map), signed: map.signed, magnitude, opacity, threshold, faded };
      const [canvas, strip] = [h("canvas"), h("canvas", { className: "strip" })];
      paint(canvas, picture, map, look);
      paintScale(strip, look);
      return h("button", {
        type: "button", className: "beside-map", "aria-label": map.title,
        onclick: () => { reading.set({ overlay: map.kind, hidden: false }); onclose(); },
      }, h("span", { className: "name" }, map.title), canvas, strip,
      h("span", { className: "ends" }, h("span", {}, map.signed ? `−${T.number(magnitude, 2)}` : "0"),
        h("span", {}, map.unit), h("span", {}, T.number(magnitude, 2))));
    }));
  }
  draw();
  reading.on("explained", draw);
  return h("section", { className: "beside", "aria-label": T.maps.beside },
    h("div", { className: "toolbar" },
      h("button", { type: "button", className: "primary", onclick: onclose }, T.maps.back), scales,
      h("span", { className: "note" }, T.maps.scaleNote)),
    grid);
}
