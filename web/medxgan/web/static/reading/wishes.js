// What is asked for: the quick maps at once, the others when the reader wants them.

const QUICK = 10; // passes of the classifier; see GetModel
const FRAMES = 17;

const possible = (model, settings) => model.maps.filter((entry) =>
  entry.kind !== "colorized" && entry.channels === 1
  && (!entry.needs.includes("restarts") || (settings.restarts ?? 1) > 1));

const inverts = (model) => model.maps.some((entry) => entry.needs.includes("inversion"));

/** A wish: `settings` that the reader changed; `all` maps, or the quick ones with those in `kinds`. */
export function wishFor(model, settings = {}, { all = false, kinds = [] } = {}) {
  const maps = possible(model, settings).filter((entry) => all || entry.cost <= QUICK || kinds.includes(entry.kind));
  return {
    model: model.model.name,
    version: model.model.version,
    maps: maps.map((entry) => entry.kind),
    ...(inverts(model) ? { trajectory: Math.min(FRAMES, model.limits.trajectory_frames) } : {}),
    ...settings,
  };
}

/** Maps that the model has, and that an explanation does not hold. */
export function missingMaps(model, explanation) {
  const held = new Set(explanation.maps.map((entry) => entry.kind));
  const settings = explanation.settings.inversion ?? {};
  return possible(model, settings).filter((entry) => !held.has(entry.kind));
}
