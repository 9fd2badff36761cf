// A canvas that has drawn before a film is there: compiling a shader takes a slow machine longer than reading a film.

import { Viewer } from "./viewer.js";

const BLANK = { rows: 2, columns: 2, low: 0, high: 1, inverted: false, orientation: 1, aspect: 1 };
let prepared = null;

/** Prepare one, where none waits yet. */
export function prepareCanvas() {
  if (prepared) return;
  const canvas = document.createElement("canvas");
  try {
    const viewer = new Viewer(canvas, BLANK, new Uint16Array(4));
    viewer.overlay = { values: new Float32Array(4), shape: [2, 2] };
    viewer.look = { ...viewer.look, colors: new Uint8Array(3 * 256) };
    viewer.camera.resize(2, 2);
    viewer.scaleTo(1);
    viewer.render();
    viewer.forget();
    viewer.leave();
  } catch {
    return; // the view that draws a film says what is missing
  }
  prepared = canvas;
}

/** The one that waits, or a new one. */
export function takeCanvas() {
  const canvas = prepared ?? document.createElement("canvas");
  prepared = null;
  delete canvas.dataset.frames;
  return canvas;
}
