// The way from the negative realization to the positive one: the curve of the score, and a slider along it.

import { h } from "../dom.js";
import { T } from "../texts.js";

const HEIGHT = 60;
const INTERVAL = 140;

export function trajectoryPanel(reading) {
  const { stage } = reading;
  const curve = h("svg", { className: "curve", viewBox: `0 0 100 ${HEIGHT}`, preserveAspectRatio: "none",
    "aria-hidden": "true" });
  const slider = h("input", { type: "range", min: 0, step: 1, value: 0, "aria-label": T.trajectory.slider,
    oninput: () => { stop(); show(Number(slider.value)); } });
  const words = h("span", { className: "at" });
  const play = h("button", { type: "button", onclick: () => (timer ? stop() : start()) }, T.trajectory.play);
  const panel = h("section", { className: "trajectory", hidden: true, "aria-label": T.trajectory.heading },
    h("div", { className: "words" }, h("h2", {}, T.trajectory.heading), words),
    h("div", { className: "way" }, curve, slider), play);
  let timer = 0;

  function show(frame) {
    reading.set({ base: "trajectory", frame, blinking: false, swiping: false });
  }
  function stop() {
    clearInterval(timer);
    timer = 0;
    play.textContent = T.trajectory.play;
  }
  function start() {
    if (!reading.frames) return;
    let [frame, step] = [stage.frame ?? 0, 1];
    play.textContent = T.trajectory.stop;
    timer = setInterval(() => {
      if (frame + step < 0 || frame + step >= reading.frames.length) step = -step;
      frame += step;
      show(frame);
    }, INTERVAL);
  }

  reading.on("explained", () => {
    const { trajectory, scores } = reading.explanation;
    panel.hidden = trajectory.length === 0;
    if (panel.hidden) return;
    slider.max = trajectory.length - 1;
    const y = (score) => HEIGHT - 3 - score * (HEIGHT - 6);
    const points = trajectory.map((frame) => `${(100 * frame.position).toFixed(2)},${y(frame.score.probability).toFixed(2)}`);
    const line = (className, x1, y1, x2, y2) => h("line", { className, x1, y1, x2, y2 });
    curve.replaceChildren(
      line("threshold", 0, y(scores.decision_threshold), 100, y(scores.decision_threshold)),
      h("polyline", { className: "score", points: points.join(" ") }),
      line("here", 0, 0, 0, HEIGHT));
  });
  reading.on("shown", () => {
    if (!reading.frames) return;
    const on = stage.base === "trajectory";
    if (!on && timer) stop();
    const frame = reading.explanation.trajectory[stage.frame ?? 0];
    slider.value = stage.frame ?? 0;
    const here = curve.querySelector(".here");
    here.setAttribute("x1", 100 * frame.position);
    here.setAttribute("x2", 100 * frame.position);
    panel.classList.toggle("on", on);
    words.textContent = T.trajectory.at(frame.position, frame.score.probability);
    slider.setAttribute("aria-valuetext", words.textContent);
  });
  panel.step = (by) => {
    if (!reading.frames) return false;
    stop();
    const now = stage.base === "trajectory" ? (stage.frame ?? 0) + by : stage.frame ?? 0;
    show(Math.min(Math.max(now, 0), reading.frames.length - 1));
    return true;
  };
  panel.stop = stop;
  return panel;
}
