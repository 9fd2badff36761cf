// One reading: the film, its explanation, the maps as they are fetched, and what is shown. Panels listen to it.

import { colors } from "../color_maps.js";
import { T } from "../texts.js";
import { toStored } from "../viewer/geometry.js";
import { Viewer } from "../viewer/viewer.js";

export class Reading {
  constructor(source) {
    this.source = source;
    this.explanation = source.explanation;
    this.before = null; // the explanation before this one, with its difference map
    this.model = null;
    this.maps = new Map(); // kind: {kind, title, unit, signed, picture, shape, values, magnitude}
    this.frames = null; // of the trajectory, each {values, shape}
    this.settings = {};
    this.outline = null; // a region: [[row, column], …] on the upright film
    this.stage = {
      base: "film", compare: "", blinking: false, swipe: 0.5, swiping: false, frame: null, overlay: null, hidden: false,
      opacity: 0.85, threshold: 0.1, faded: true, smooth: true, signedColors: "coolwarm", unsignedColors: "inferno",
    };
    this.tables = new Map(); // colours, by name
    this.listeners = new Map();
  }

  on(name, listener) {
    this.listeners.set(name, [...(this.listeners.get(name) ?? []), listener]);
  }

  emit(name) {
    (this.listeners.get(name) ?? []).forEach((listener) => listener());
  }

  see(canvas) {
    this.viewer = new Viewer(canvas, this.source.film, this.source.levels);
  }

  /** Take an explanation in: fetches its maps, then tells the panels. */
  async take(explanation) {
    const wanted = explanation.maps.filter((entry) => entry.shape.length === 2);
    const [values, frames] = await Promise.all([this.source.values(wanted),
      explanation.trajectory.length ? this.source.trajectory() : null]);
    const maps = new Map(wanted.map((entry, index) => [entry.kind, loaded(entry, values[index])]));
    addChange(maps, explanation);
    if (this.explanation && this.explanation !== explanation && this.maps.size) {
      this.before = { explanation: this.explanation, difference: this.maps.get("difference") ?? null };
    }
    this.explanation = explanation;
    this.maps = maps;
    this.frames = frames && cut(frames, explanation.trajectory, maps);
    this.viewer.forget();
    this.viewer.lay(explanation.geometry, explanation.grey);
    this.settle();
    this.emit("explained");
    this.apply();
  }

  /** What is shown may be gone with the explanation before. */
  settle() {
    const { stage } = this;
    const known = this.layers().map(([name]) => name);
    if (!known.includes(stage.base) && stage.base !== "trajectory") stage.base = "film";
    if (stage.base === "trajectory" && !this.frames) stage.base = "film";
    if (!known.includes(stage.compare)) {
      stage.compare = ["less", "applied_negative", "negative_realization"].find((name) => known.includes(name)) ?? "";
    }
    if (!this.maps.has(stage.overlay)) {
      stage.overlay = ["difference", "grad_cam", "gradient"].find((kind) => this.maps.has(kind))
        ?? this.overlays()[0]?.kind ?? null;
    }
  }

  /** The pictures that can be shown: [name, title, hint]. */
  layers() {
    const found = [["film", T.layers.film, ""]];
    const has = (kind) => this.maps.has(kind);
    for (const kind of ["original", "reconstruction", "negative_realization"]) {
      if (has(kind)) found.push([kind, T.layers[kind], T.layers[`${kind}Title`]]);
    }
    const less = has("difference") && this.explanation?.grey;
    if (less) found.push(["less", T.layers.less, T.layers.lessTitle]);
    else if (has("applied_negative")) found.push(["applied_negative", T.layers.applied_negative, T.layers.applied_negativeTitle]);
    if (has("positive_realization") && !this.explanation.scores.original.positive) {
      found.push(["positive_realization", T.layers.positive_realization, T.layers.positive_realizationTitle]);
    }
    return found;
  }

  overlays() {
    return [...this.maps.values()].filter((entry) => !entry.picture);
  }

  get overlay() {
    return this.maps.get(this.stage.overlay) ?? null;
  }

  /** The region on the film as it is stored. */
  storedOutline() {
    const { size, turn } = this.viewer;
    return this.outline.map(([row, column]) => toStored(row, column, size, turn));
  }

  /** The colours of a map, 256 of them. */
  colorsOf(map) {
    const name = map.signed ? this.stage.signedColors : this.stage.unsignedColors;
    if (!this.tables.has(name)) this.tables.set(name, colors(name));
    return this.tables.get(name);
  }

  layer(name) {
    if (name === "film" || name === "") return { kind: "film" };
    if (name === "less") return { kind: "less", map: this.maps.get("difference") };
    if (name === "trajectory") return { kind: "picture", map: this.frames[this.stage.frame ?? 0] };
    return { kind: "picture", map: this.maps.get(name) };
  }

  /** Change what is shown. */
  set(change) {
    Object.assign(this.stage, change);
    this.apply();
  }

  apply() {
    const { stage, viewer, overlay } = this;
    const shown = stage.blinking && stage.compare ? stage.compare : stage.base;
    const covered = overlay !== null && !stage.hidden;
    viewer.show({
      layers: { a: this.layer(shown), b: this.layer(stage.compare) },
      swipe: stage.swiping && stage.compare ? stage.swipe : -1,
      overlay: covered ? overlay : null,
      smooth: stage.smooth,
      look: {
        opacity: stage.opacity, threshold: stage.threshold, faded: stage.faded,
        magnitude: overlay?.magnitude ?? 1, signed: overlay?.signed ?? true,
        colors: overlay ? this.colorsOf(overlay) : null,
      },
    });
    this.emit("shown");
  }
}

function loaded(entry, values) {
  let magnitude = 0;
  for (const value of values) magnitude = Math.max(magnitude, Math.abs(value));
  // What is next to nothing is drawn pale: its scale does not end below one grey level.
  return { ...entry, values, magnitude: Math.max(magnitude, entry.least) || 1 };
}

/** Of an image that is negative: what would make it positive, as a map. */
function addChange(maps, { scores, positive_outcome: outcome }) {
  const [positive, negative] = [maps.get("positive_realization"), maps.get("negative_realization")];
  if (!outcome || scores.original.positive || !positive || !negative) return;
  const values = positive.values.map((value, index) => value - negative.values[index]);
  maps.set("change", loaded({
    ...positive, kind: "change", title: T.makesPositive.change, picture: false, signed: true,
    unit: maps.get("difference")?.unit ?? "", least: maps.get("difference")?.least ?? 0, reading: T.makesPositive.found,
  }, values));
}

function cut(frames, trajectory, maps) {
  const { shape } = maps.values().next().value;
  const size = frames.length / trajectory.length;
  return trajectory.map((_, index) => ({ values: frames.subarray(index * size, (index + 1) * size), shape }));
}
