// Where a reading comes from: a film of the session, or an entry of the gallery.

import { binary, explain, floats, get, post, resultOf } from "../api.js";

/** A film of the session; its explanation is asked for. */
export class FilmSource {
  static async open(id) {
    const film = await get(`/films/${id}`);
    const source = new FilmSource(film);
    const last = film.explanations.at(-1);
    if (last) source.explanation = await get(`/films/${id}/explanations/${last}`);
    return source;
  }

  constructor(film) {
    this.film = film;
    this.levels = null;
    this.explanation = null;
    this.canAsk = true;
  }

  /** Fetch the grey levels, which take a moment. */
  async load() {
    this.levels = await levelsOf(this.film);
  }

  get path() {
    return `/films/${this.film.id}/explanations/${this.explanation.id}`;
  }

  /** Have it explained, or follow an explanation that has begun; gives the explanation. */
  async explain(wish, onprogress, signal, begun = null) {
    this.explanation = await resultOf(begun ?? await explain(this.film.id, wish, signal), onprogress);
    return this.explanation;
  }

  /** The values of maps, each [h, w]: all by one request. */
  async values(maps) {
    if (!maps.length) return [];
    const all = await floats(`${this.path}/maps/${maps.map((entry) => entry.kind).join(",")}`);
    let from = 0;
    return maps.map(({ shape }) => all.subarray(from, from += shape[0] * shape[1]));
  }

  trajectory() {
    return floats(`${this.path}/trajectory`);
  }

  shares(outline) {
    return post(`${this.path}/region`, { outline });
  }

  erased(outline, model) {
    return post(`/films/${this.film.id}/erased`, { outline, model: model.name, version: model.version });
  }

  async turnTo(frame) {
    await post(`/films/${this.film.id}/frame`, { frame });
  }
}

async function levelsOf(film) {
  const content = await binary(`/films/${film.id}/levels`);
  return film.bits === 16 ? new Uint16Array(content) : new Uint16Array(new Uint8Array(content));
}

const WHITE = 65535;

/** An entry of the gallery: no film, but x as the networks saw it. */
export class EntrySource {
  static async open(id) {
    const explanation = await get(`/gallery/${id}`);
    const shown = explanation.maps.find((entry) => entry.kind === "original") ?? explanation.maps[0];
    const [rows, columns] = shown?.shape ?? [1, 1];
    const x = shown ? await floats(`/gallery/${id}/maps/${shown.kind}`) : new Float32Array(1);
    const levels = Uint16Array.from(x, (value) => ((Math.min(Math.max(value, -1), 1) + 1) / 2) * WHITE);
    explanation.geometry = { ...explanation.geometry, orientation: "as_stored", box: { top: 0, left: 0, bottom: rows,
      right: columns } };
    explanation.grey = { slope: 2 / WHITE, offset: -1 };
    explanation.trajectory = [];
    const film = { id, rows, columns, low: 0, high: WHITE, inverted: false, orientation: 1, aspect: 1, frame: 1,
      frames: 1, slope: 2 / WHITE, intercept: -1, unit: "", model: "" };
    return new EntrySource(film, levels, explanation);
  }

  constructor(film, levels, explanation) {
    this.film = film;
    this.levels = levels;
    this.explanation = explanation;
    this.canAsk = false;
  }

  async load() {} // x came with the explanation

  values(maps) {
    return Promise.all(maps.map((entry) => floats(`/gallery/${this.film.id}/maps/${entry.kind}`)));
  }
}
