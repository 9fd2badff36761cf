// What is known of the model: its limits, what its verdict promises, what was measured; and how this answer came about.

import { fill, h } from "../dom.js";
import { T } from "../texts.js";

const FIGURES = ["classifier_auc", "reconstruction_ssim", "applied_negative_called_negative", "reliable_share",
  "reliable_difference_pointing", "difference_average_precision"];

export function modelPanel(reading) {
  const panel = h("div", { className: "model-card" });
  const draw = () => {
    const { model, explanation } = reading;
    if (!explanation) return;
    fill(panel, model ? card(model) : null, answered(explanation));
  };
  reading.on("explained", draw);
  return panel;
}

function card({ model, bundle, execution }) {
  const { reliability, provenance, metrics = [] } = bundle;
  const promise = reliability?.promise;
  return [
    h("h3", {}, T.model.promise),
    h("p", {}, promise ? T.model.promised(promise) : T.model.notPromised),
    h("p", { className: "note" }, T.model.notAboutDisease),
    h("h3", {}, T.model.limitations),
    provenance.limitations?.length ? h("ul", {}, provenance.limitations.map((each) => h("li", {}, each)))
      : h("p", {}, T.model.noLimitations),
    h("h3", {}, T.model.figures),
    h("dl", {}, metrics.filter((metric) => FIGURES.includes(metric.name)).map((metric) =>
      pair(metric.description, T.number(metric.value ?? 0)))),
    h("dl", {}, pair(T.model.images, bundle.image.modality), pair(T.model.positive, bundle.classification.positive_class),
      pair(T.model.license, provenance.license), pair(T.model.engine, execution.provider),
      pair(T.model.bundle, `${model.name} ${model.version} · ${model.bundle_sha256.slice(0, 12)}`)),
  ];
}

function answered({ image_checks: checks, notes, settings, timing }) {
  const flat = [["class", settings.target_class || null], ["seed", settings.seed],
    ...Object.entries(settings.inversion ?? {}),
    ...Object.entries(settings.integrated_gradients ?? {}).map(([name, value]) => [`path ${name}`, value]),
    ...Object.entries(settings.occlusion ?? {}).map(([name, value]) => [`occlusion ${name}`, value])];
  return [
    checks.length ? h("h3", {}, T.model.checks) : null,
    checks.length ? h("dl", {}, checks.map((check) => pair(check.name.replaceAll("_", " "),
      T.model.check(check.measured, check.maximum)))) : null,
    notes.length ? h("h3", {}, T.model.notes) : null,
    notes.length ? h("ul", {}, notes.map((note) => h("li", {}, note))) : null,
    h("h3", {}, T.model.settings),
    h("dl", {}, flat.filter(([, value]) => value !== null).map(([name, value]) => pair(name.replaceAll("_", " "),
      typeof value === "number" ? String(value) : value)),
    pair(T.question.seconds, (timing.total_ms / 1000).toFixed(2))),
  ];
}

const pair = (name, value) => h("div", {}, h("dt", {}, name), h("dd", {}, value));
