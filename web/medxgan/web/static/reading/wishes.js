// What is asked for: the quick maps at once, the others when the reader wants them.

const QUICK = 10; // passes of the classifier; see GetModel
const FRAMES = 17;

/** Whether another class than the positive one is to be explained: what is inverted explains that one alone. */
const ofAnother = (model, target) => Boolean(target) && target !== model.bundle.classification.positive_class;

const possible = (model, settings, target) => model.maps.filter((entry) =>
  entry.kind !== "colorized" && entry.channels === 1
  && (entry.any_class || entry.kind === "original" || !ofAnother(model, target))
  && (!entry.needs.includes("restarts") || (settings.restarts ?? 1) > 1));

const inverts = (model) => model.maps.some((entry) => entry.needs.includes("inversion"));

/** A wish: `settings` that the reader changed; `all` maps, or the quick ones with those in `kinds`. */
export function wishFor(model, settings = {}, { all = false, kinds = [] } = {}) {
  const maps = possible(model, settings, settings.target)
    .filter((entry) => all || entry.cost <= QUICK || kinds.includes(entry.kind));
  const walks = inverts(model) && !ofAnother(model, settings.target);
  return {
    model: model.model.name,
    version: model.model.version,
    maps: maps.map((entry) => entry.kind),
    ...(walks ? { trajectory: Math.min(FRAMES, model.limits.trajectory_frames) } : {}),
    ...settings,
  };
}

/** Maps that the model has, and that an explanation does not hold. */
export function missingMaps(model, explanation) {
  const held = new Set(explanation.maps.map((entry) => entry.kind));
  const { inversion, target_class: target } = explanation.settings;
  return possible(model, inversion ?? {}, target).filter((entry) => !held.has(entry.kind));
}
