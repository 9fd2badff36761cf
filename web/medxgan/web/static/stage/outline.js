// The region that a reader draws, over the film; its corners are on the upright film.

import { h } from "../dom.js";

const LEAST = 3; // CSS pixels between corners
const MOST = 1500;

export function outlineOf(reading) {
  const polygon = h("polygon", {});
  const element = h("svg", { className: "outline", "aria-hidden": "true" }, polygon);
  let corners = null;

  function draw() {
    const shown = corners ?? reading.outline;
    polygon.setAttribute("points", (shown ?? []).map(([row, column]) => {
      const { x, y } = reading.viewer.camera.toScreen(row, column);
      return `${x.toFixed(1)},${y.toFixed(1)}`;
    }).join(" "));
  }
  function take(outline) {
    corners = null;
    reading.outline = outline;
    draw();
    reading.emit("region");
  }
  const within = ({ row, column }) => {
    const { size } = reading.viewer;
    return [Math.min(Math.max(row, 0), size.rows), Math.min(Math.max(column, 0), size.columns)];
  };
  return {
    element,
    draw,
    take,
    clear: () => take(null),
    begin: (place) => { corners = [within(place)]; },
    grow: (place) => {
      const [row, column] = within(place);
      const [lastRow, lastColumn] = corners.at(-1);
      const moved = Math.hypot(row - lastRow, column - lastColumn) * reading.viewer.camera.scale;
      if (moved >= LEAST && corners.length < MOST) corners.push([row, column]);
    },
    end: () => take(corners && corners.length > 2 ? corners : null),
  };
}
