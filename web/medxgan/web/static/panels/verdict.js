// The verdict in words with its reasons, and the scores behind it.

import { fill, h } from "../dom.js";
import { T } from "../texts.js";

const SCORES = ["original", "reconstruction", "negative_realization", "applied_negative", "positive_realization"];

export function verdictPanel(reading) {
  const panel = h("section", { className: "verdict", "aria-labelledby": "verdict-heading" });
  reading.on("explained", () => {
    const { verdict, scores, positive_class: positive, positive_outcome: outcome } = reading.explanation;
    const known = verdict.status in T.verdict.sentence ? verdict.status : "other";
    const unfamiliar = verdict.reasons.some((reason) => reason.code === "image_unfamiliar");
    fill(panel,
      h("div", { className: "line" },
        h("h2", { id: "verdict-heading" }, T.verdict.heading),
        h("span", { className: `badge ${known}` }, T.verdict[known])),
      h("p", {}, T.verdict.sentence[known]),
      verdict.reasons.length === 0 ? null : h("ul", { className: "reasons" }, verdict.reasons.map((reason) =>
        h("li", {}, reason.sentence))),
      h("h3", {}, T.scores.heading(positive ?? reading.model?.bundle.classification.positive_class ?? T.scores.positive)),
      h("ul", { className: "scores" }, SCORES.filter((name) => scores[name]
        && (name !== "positive_realization" || !scores.original.positive)).map((name) => bar(name, scores))),
      h("p", { className: "note" }, `${T.scores.threshold(scores.decision_threshold)}. ${T.verdict.speaks}`),
      outcome && !scores.original.positive && !unfamiliar ? h("div", { className: "makes-positive" },
        h("h3", {}, T.makesPositive.heading),
        h("p", {}, outcome.scale === 0 ? T.makesPositive.none
          : outcome.found ? T.makesPositive.found : T.makesPositive.lost),
        reading.maps.has("change") ? h("button", { type: "button", onclick: () => reading.set({
          base: "positive_realization", compare: "negative_realization", overlay: "change", hidden: false }) },
        T.makesPositive.show) : null) : null,
    );
  });
  return panel;
}

function bar(name, scores) {
  const { probability, positive } = scores[name];
  const filled = h("span", { className: positive ? "filled positive" : "filled" });
  filled.style.width = `${100 * (probability ?? 0)}%`;
  const mark = h("span", { className: "mark" });
  mark.style.left = `${100 * scores.decision_threshold}%`;
  return h("li", {},
    h("span", { className: "name" }, T.scores[name]),
    h("span", { className: "track", "aria-hidden": "true" }, filled, mark),
    h("span", { className: "value" }, T.scores.value(probability)),
    h("span", { className: positive ? "decision positive" : "decision" }, positive ? T.scores.positive : T.scores.negative));
}
