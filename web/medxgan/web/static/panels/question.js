// Question it: other settings, and what moved; a region, and what lies in it.

import { announce, field, fill, h } from "../dom.js";
import { T } from "../texts.js";

/** Settings that have another name in the form than in an error. */
const NAMES = {
  "settings.target_class": "target",
  "settings.integrated_gradients.steps": "path_steps",
  "settings.occlusion.level": "occlusion_level",
};

/** `on.run(settings)` explains again; `on.region` draws a region in the middle; `on.clear` takes it away. */
export function questionPanel(reading, on) {
  if (!reading.source.canAsk) return h("p", { className: "note" }, T.gallery.noFilm);
  const form = h("form", { className: "settings", noValidate: true });
  const moved = h("div", { className: "moved", "aria-live": "polite" });
  const region = regionPart(reading, on);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const settings = {};
    for (const input of form.elements) {
      if (!input.name) continue; // the button
      input.removeAttribute("aria-invalid");
      if (input.value === "" || input.value === input.dataset.default) continue;
      settings[input.name] = input.type === "number" ? Number(input.value) : input.value;
    }
    on.run(settings);
  });
  let shown = "";
  reading.on("model", () => {
    // Drawn anew for another model alone: else the focus would be lost with the button that had it.
    const { name, version } = reading.model.model;
    if (shown === `${name} ${version}`) return;
    shown = `${name} ${version}`;
    form.replaceChildren(...fields(reading));
  });
  reading.on("explained", () => fill(moved, whatMoved(reading)));
  const panel = h("div", {}, h("p", { className: "note" }, T.question.lead), form, moved, region);
  /** Mark the field that an error names: "settings.inversion.steps". */
  panel.mark = (path) => {
    const name = NAMES[path] ?? path.split(".").at(-1);
    const input = form.elements.namedItem(name);
    input?.setAttribute("aria-invalid", "true");
    input?.focus();
  };
  return panel;
}

function fields({ model }) {
  const { inversion, integrated_gradients: path, occlusion, seed } = model.default_settings;
  const { inversion: allowed, image, classification } = model.bundle;
  const number = (name, value, note = "", step = 1) => field(T.question[name], h("input", {
    type: "number", inputMode: step === 1 ? "numeric" : "decimal", name, step: step === 1 ? 1 : "any",
    value, "data-default": String(value), autocomplete: "off",
  }), note);
  const choice = (name, value, choices, note = "") => {
    const select = h("select", { name, "data-default": value, autocomplete: "off" },
      choices.map(([each, text]) => h("option", { value: each }, text)));
    select.value = value;
    return field(T.question[name], select, note);
  };
  const classes = classification.outputs.map(({ name }) => [name, name]);
  const weights = allowed?.reconstruction_weight_range;
  return [
    ...(classes.length > 1 ? [choice("target", classification.positive_class, classes,
      inversion ? T.question.targetNote(classification.positive_class) : "")] : []),
    ...(inversion ? [
      number("steps", inversion.steps, T.question.stepsNote(allowed.maximum_steps)),
      number("reconstruction_weight", inversion.reconstruction_weight,
        T.question.rangeNote(weights?.minimum ?? 0, weights?.maximum ?? 0), 0.1),
      number("restarts", inversion.restarts, T.question.restartsNote),
      number("seed", seed ?? 0),
      choice("solver", inversion.solver, Object.entries(T.question.solvers)),
    ] : []),
    ...(path ? [number("path_steps", path.steps), number("baseline", path.baseline, T.question.rangeNote(-1, 1), 0.1)] : []),
    ...(occlusion ? [number("window", occlusion.window, T.question.stepsNote(image.height)),
      number("occlusion_level", occlusion.level, T.question.rangeNote(-1, 1), 0.1)] : []),
    h("div", { className: "row wide" }, h("button", { className: "primary" }, T.question.run)),
  ];
}

function whatMoved({ before, explanation, maps }) {
  if (!before) return [];
  const [then, now] = [before.explanation, explanation];
  const score = (name) => [T.scores[name], ...[then, now].map((each) => T.number(each.scores[name]?.probability))];
  const rows = [
    [T.question.verdict, ...[then, now].map((each) => T.verdict[each.verdict.status] ?? T.verdict.other)],
    score("reconstruction"), score("negative_realization"), score("applied_negative"),
    [T.question.error, ...[then, now].map((each) => T.number(each.outcome?.reconstruction_mse))],
    [T.question.spread, ...[then, now].map((each) => T.number(each.outcome?.difference_spread))],
    [T.question.seconds, ...[then, now].map((each) => (each.timing.total_ms / 1000).toFixed(2))],
  ];
  const alike = correlation(before.difference, maps.get("difference"));
  return [
    h("table", {}, h("caption", {}, T.question.moved),
      h("thead", {}, h("tr", {}, h("td", {}), h("th", { scope: "col" }, T.question.before), h("th", { scope: "col" }, T.question.now))),
      h("tbody", {}, rows.map(([name, ...values]) => h("tr", { className: values[0] === values[1] ? "" : "changed" },
        h("th", { scope: "row" }, name), values.map((value) => h("td", {}, value)))))),
    alike === null ? null : h("p", {}, `${T.question.alike}: ${alike.toFixed(3)}`),
  ];
}

/** Correlation of two maps, pixel by pixel; null where they can't be compared. */
function correlation(one, other) {
  if (!one || !other || one.values.length !== other.values.length) return null;
  const mean = ({ values }) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const [meanOne, meanOther] = [mean(one), mean(other)];
  let [both, squareOne, squareOther] = [0, 0, 0];
  one.values.forEach((value, index) => {
    const [a, b] = [value - meanOne, other.values[index] - meanOther];
    both += a * b;
    squareOne += a * a;
    squareOther += b * b;
  });
  return squareOne && squareOther ? both / Math.sqrt(squareOne * squareOther) : null;
}

function regionPart(reading, on) {
  const found = h("div", { "aria-live": "polite" });
  const lead = h("p", { className: "note" }, T.question.regionLead);
  const buttons = h("div", { className: "row" },
    h("button", { type: "button", onclick: on.region }, T.question.regionByKey));
  const erase = h("button", { type: "button", className: "primary" }, T.question.erase);
  const score = h("p", {});
  erase.addEventListener("click", async () => {
    erase.disabled = true;
    try {
      const { whole, erased } = await reading.source.erased(reading.storedOutline(), reading.explanation.model);
      score.textContent = T.question.erased(whole.probability, erased.probability);
      announce(score.textContent);
    } catch (error) {
      on.fail(error);
    } finally {
      erase.disabled = false;
    }
  });
  async function ask() {
    score.textContent = "";
    found.replaceChildren();
    if (!reading.outline || !reading.explanation) return;
    try {
      const { area, ...shares } = await reading.source.shares(reading.storedOutline());
      const rows = Object.entries(shares).sort(([, one], [, other]) => other - one);
      found.replaceChildren(
        h("table", {}, h("caption", {}, T.question.share), h("tbody", {},
          [[T.question.area, area], ...rows.map(([kind, share]) => [reading.maps.get(kind)?.title ?? kind, share])]
            .map(([name, share]) => h("tr", {}, h("th", { scope: "row" }, name), h("td", {}, T.percent(share)))))),
        h("div", { className: "row" }, erase,
          h("button", { type: "button", onclick: on.clear }, T.question.clear)),
        score, h("p", { className: "note" }, T.question.erasedNote));
    } catch (error) {
      on.fail(error);
    }
  }
  reading.on("region", ask);
  reading.on("explained", ask);
  return h("section", { className: "region-part" }, h("h3", {}, T.question.region), lead, buttons, found);
}
