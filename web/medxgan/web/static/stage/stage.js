// The film on its stage: the toolbar above it, what is written on it, progress, and the trajectory below.

import { announce, dressed, h } from "../dom.js";
import { T } from "../texts.js";
import { Gestures } from "../viewer/gestures.js";
import { takeCanvas } from "../viewer/prepared.js";
import { legendOf, probeOf } from "./legend.js";
import { outlineOf } from "./outline.js";
import { toolbarOf } from "./toolbar.js";

export function stageOf(reading, name, trajectory) {
  const canvas = dressed(takeCanvas(), { className: "film", tabIndex: 0, role: "img", "aria-label": T.canvas(name) });
  const shown = h("p", { className: "shown" });
  const outline = outlineOf(reading);
  const probe = probeOf(reading);
  let tool = "pan";
  let cancel = () => {};
  let turnTo = () => {};

  const bar = h("progress", { max: 1, "aria-label": T.progress.inversion });
  const steps = h("span", {});
  const progress = h("div", { className: "progress", hidden: true }, h("div", {}, steps, bar),
    h("button", { type: "button", onclick: () => cancel() }, T.progress.cancel));

  const toolbar = toolbarOf(reading, {
    tool: (chosen) => { tool = chosen; canvas.dataset.tool = chosen; },
    fit: () => { reading.viewer.camera.fit(); reading.viewer.draw(); },
    zoom: (factor) => { reading.viewer.camera.zoom(factor); reading.viewer.draw(); },
    resetWindow,
    modelWindow,
    frame: (frame) => turnTo(frame),
  });
  const box = h("div", { className: "box" }, canvas, outline.element, shown, legendOf(reading), probe.element, progress);
  toolbar.element.inert = true; // until the film is there
  const element = h("section", { className: "stage" }, toolbar.element, box, trajectory);

  function resetWindow() {
    const { low, high } = reading.source.film;
    reading.viewer.show({ window: { low, high } });
  }

  /** From where x is -1 to where it is 1, in whichever order the levels are. */
  function modelWindow() {
    const grey = reading.explanation?.grey;
    if (!grey) return;
    const [low, high] = [-1, 1].map((x) => (x - grey.offset) / grey.slope).sort((one, other) => one - other);
    reading.viewer.show({ window: { low, high } });
  }

  reading.on("shown", () => {
    const { stage } = reading;
    const title = (layer) => (layer === "trajectory"
      ? T.layers.trajectory(reading.explanation.trajectory[stage.frame ?? 0].position)
      : reading.layers().find(([each]) => each === layer)?.[1] ?? "");
    const base = title(stage.blinking ? stage.compare : stage.base);
    shown.textContent = stage.swiping && stage.compare ? `${base} | ${title(stage.compare)}` : base;
  });

  return {
    element,
    canvas,
    toolbar,
    resetWindow,
    modelWindow,
    clearRegion: outline.clear,

    /** After the viewer is there. */
    begin() {
      reading.viewer.onChange(() => { outline.draw(); probe.draw(); });
      new Gestures(reading.viewer, () => tool, {
        probe: probe.at,
        window: () => {},
        swipe: (share) => reading.set({ swipe: share }),
        regionBegins: outline.begin,
        regionGrows: outline.grow,
        regionEnds: outline.end,
      });
      toolbar.element.inert = false;
      toolbar.tools.choose(tool);
      canvas.dataset.tool = tool;
      reading.apply();
      reading.emit("opened");
    },

    choose(chosen) {
      toolbar.tools.choose(chosen);
      tool = chosen;
      canvas.dataset.tool = chosen;
    },

    /** A square of a quarter of the view, for those who can't draw one. */
    regionInTheMiddle() {
      const { camera } = reading.viewer;
      const { width, height } = camera.screen;
      const side = Math.min(width, height) / 8;
      const corner = (x, y) => {
        const { row, column } = camera.toFilm(width / 2 + x * side, height / 2 + y * side);
        return [row, column];
      };
      outline.take([corner(-1, -1), corner(1, -1), corner(1, 1), corner(-1, 1)]);
    },

    progress(told) {
      if (progress.hidden) announce(T.progress.begins);
      progress.hidden = false;
      if (told === null) {
        bar.removeAttribute("value");
        steps.textContent = T.progress.begins;
      } else {
        bar.value = told.steps_taken / told.steps_total;
        steps.textContent = `${T.progress[told.phase] ?? T.progress.inversion}: `
          + T.progress.steps(told.steps_taken, told.steps_total);
      }
    },

    progressEnds() {
      progress.hidden = true;
    },

    onCancel(listener) {
      cancel = listener;
    },

    onFrame(listener) {
      turnTo = listener;
    },
  };
}
