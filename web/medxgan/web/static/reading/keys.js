// The keys of the reading view; each says whether it took the event.

import { changeWindow } from "../viewer/gestures.js";

const STEP = 40; // CSS pixels
const ZOOM = 1.2;

export function keysOf(reading, stage, trajectory, on) {
  const { stage: state } = reading;
  const camera = () => reading.viewer.camera;
  const moved = () => reading.viewer.draw();
  const clamp = (value) => Math.min(Math.max(value, 0), 1);

  function nextMap(by) {
    const kinds = reading.overlays().map((map) => map.kind);
    if (!kinds.length) return;
    const at = kinds.indexOf(state.overlay);
    reading.set({ overlay: kinds[(at + by + kinds.length) % kinds.length], hidden: false });
  }

  const keys = {
    " ": () => state.compare && reading.set({ blinking: !state.blinking, swiping: false }),
    s: () => state.compare && reading.set({ swiping: !state.swiping, blinking: false }),
    o: () => reading.set({ hidden: !state.hidden }),
    m: () => nextMap(1),
    M: () => nextMap(-1),
    "[": () => reading.set({ opacity: clamp(state.opacity - 0.05) }),
    "]": () => reading.set({ opacity: clamp(state.opacity + 0.05) }),
    ",": () => trajectory.step(-1),
    ".": () => trajectory.step(1),
    "+": () => { camera().zoom(ZOOM); moved(); },
    "=": () => { camera().zoom(ZOOM); moved(); },
    "-": () => { camera().zoom(1 / ZOOM); moved(); },
    f: () => { camera().fit(); moved(); },
    w: () => stage.resetWindow(),
    e: () => stage.modelWindow(),
    h: () => stage.choose("pan"),
    l: () => stage.choose("window"),
    r: () => stage.choose("region"),
    b: () => on.beside(),
  };
  const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

  return (event) => {
    if (!reading.viewer) return false;
    if (event.key === "Escape") {
      if (on.running()) on.cancel();
      else if (on.covered()) on.beside(false);
      else if (reading.outline) stage.clearRegion();
      else return false;
      return true;
    }
    if (event.key in arrows && event.target === reading.viewer.canvas) {
      const [x, y] = arrows[event.key];
      if (stage.canvas.dataset.tool === "window") changeWindow(reading.viewer, x * 20, y * 20);
      else camera().pan(-x * STEP, -y * STEP);
      moved();
      return true;
    }
    if (/^[1-9]$/.test(event.key)) {
      const layer = reading.layers()[Number(event.key) - 1];
      if (layer) reading.set({ base: layer[0], blinking: false });
      return true;
    }
    const action = keys[event.key];
    action?.();
    return action !== undefined;
  };
}
