// The film on its canvas: draws what it is told once a frame, and knows where the pointer is on the film.

import { Camera } from "./camera.js";
import { toMap, toStored, turnOf, uprightSize, valueAt } from "./geometry.js";
import { Pace } from "./pace.js";
import { program } from "./shader.js";
import { colorTexture, filmTexture, mapTexture } from "./textures.js";

const UNITS = ["film", "pictureA", "pictureB", "difference", "overlay", "colors"];
const LAYERS = { film: 0, picture: 1, less: 2 };

export class Viewer {
  /** `film`: its description; `levels`: Uint16Array. Throws where the browser has no WebGL 2. */
  constructor(canvas, film, levels) {
    this.canvas = canvas;
    this.gl = canvas.getContext("webgl2", { alpha: false, antialias: false, powerPreference: "high-performance" });
    if (!this.gl) throw new Error("WebGL 2");
    if (Math.max(film.rows, film.columns) > this.gl.getParameter(this.gl.MAX_TEXTURE_SIZE)) throw new Error("size");
    this.film = film;
    this.levels = levels;
    this.turn = turnOf(film.orientation);
    this.size = uprightSize(film.rows, film.columns, this.turn);
    this.camera = new Camera(this.size, this.turn.transposed ? 1 / film.aspect : film.aspect);
    this.window = { low: film.low, high: film.high };
    this.box = { top: 0, left: 0, bottom: this.size.rows, right: this.size.columns };
    this.grey = null;
    this.layers = { a: { kind: "film" }, b: { kind: "film" } };
    this.swipe = -1;
    this.smooth = true;
    this.overlay = null;
    this.look = { opacity: 0.8, threshold: 0.1, magnitude: 1, signed: true, faded: true };
    this.pace = new Pace();
    this.textures = new Map();
    this.listeners = [];
    this.drawn = 0;
    this.begin();
    this.seeing = new AbortController();
    const { signal } = this.seeing;
    canvas.addEventListener("webglcontextlost", (event) => event.preventDefault(), { signal });
    canvas.addEventListener("webglcontextrestored", () => { this.textures.clear(); this.begin(); this.draw(); }, { signal });
    this.observer = new ResizeObserver(() => this.resize());
    this.observer.observe(canvas);
    this.resize();
  }

  begin() {
    const { gl } = this;
    this.program = program(gl);
    gl.useProgram(this.program);
    gl.bindVertexArray(gl.createVertexArray());
    this.places = {};
    for (let index = 0; index < gl.getProgramParameter(this.program, gl.ACTIVE_UNIFORMS); index += 1) {
      const { name } = gl.getActiveUniform(this.program, index);
      this.places[name] = gl.getUniformLocation(this.program, name);
    }
    UNITS.forEach((name, unit) => gl.uniform1i(this.places[name], unit));
    this.filmTexture = filmTexture(gl, this.levels, this.film.rows, this.film.columns);
    this.empty = mapTexture(gl, new Float32Array(1), [1, 1]);
  }

  /** Leave the canvas to another viewer. */
  leave() {
    this.seeing.abort();
    this.observer.disconnect();
    this.pace.stop();
    cancelAnimationFrame(this.asked);
  }

  close() {
    this.leave();
    this.gl.getExtension("WEBGL_lose_context")?.loseContext();
  }

  /** Where maps lie, and how grey levels became x: `geometry` of an answer, `grey` or null. */
  lay(geometry, grey) {
    this.turn = turnOf(geometry.orientation) ?? this.turn;
    this.box = geometry.box;
    this.grey = grey;
    this.draw();
  }

  /** How a level became x; where that is not known, [-1, 1] is shown from black to white, whatever the window. */
  get greyScale() {
    if (this.grey) return this.grey;
    const { low, high } = this.window;
    const sign = this.film.inverted ? -1 : 1;
    return { slope: (sign * 2) / (high - low), offset: (-sign * (low + high)) / (high - low) };
  }

  /** Forget the textures of an explanation before this one. */
  forget() {
    for (const texture of this.textures.values()) this.gl.deleteTexture(texture);
    this.textures.clear();
  }

  /** Change what is shown: layers, swipe, overlay, look, smooth, window. */
  show(change) {
    Object.assign(this, change);
    this.draw();
  }

  onChange(listener) {
    this.listeners.push(listener);
  }

  resize() {
    const { clientWidth, clientHeight } = this.canvas;
    if (!clientWidth || !clientHeight) return;
    this.camera.resize(clientWidth, clientHeight);
    this.draw();
  }

  /** The canvas at its full resolution, or coarser while a slow machine moves it. */
  scaleTo(coarseness) {
    const { width, height } = this.camera.screen;
    this.density = (window.devicePixelRatio || 1) / coarseness;
    const [wide, tall] = [Math.round(width * this.density), Math.round(height * this.density)];
    if (this.canvas.width !== wide) this.canvas.width = wide;
    if (this.canvas.height !== tall) this.canvas.height = tall;
    if (coarseness > 1) this.canvas.dataset.coarse = coarseness;
    else delete this.canvas.dataset.coarse;
  }

  draw() {
    if (this.asked) return;
    this.asked = requestAnimationFrame(() => {
      this.asked = 0;
      this.scaleTo(this.pace.begins());
      this.render();
      this.pace.drawn(this.gl, () => this.draw());
      this.listeners.forEach((listener) => listener());
    });
  }

  texture(map, make) {
    if (!this.textures.has(map)) this.textures.set(map, make());
    return this.textures.get(map);
  }

  map(entry) {
    return entry ? this.texture(entry.values, () => mapTexture(this.gl, entry.values, entry.shape)) : this.empty;
  }

  render() {
    const { gl, places, camera, layers, look, film } = this;
    if (gl.isContextLost()) return;
    gl.viewport(0, 0, this.canvas.width, this.canvas.height);
    const bound = [
      this.filmTexture.texture, this.map(layers.a.map), this.map(layers.b.map),
      this.map(layers.a.kind === "less" ? layers.a.map : layers.b.kind === "less" ? layers.b.map : null),
      this.map(this.overlay),
      look.colors ? this.texture(look.colors, () => colorTexture(gl, look.colors)) : this.empty,
    ];
    bound.forEach((texture, unit) => {
      gl.activeTexture(gl.TEXTURE0 + unit);
      gl.bindTexture(gl.TEXTURE_2D, texture);
    });
    gl.uniform2f(places.screen, this.canvas.width, this.canvas.height);
    gl.uniform1f(places.density, this.density);
    gl.uniform3f(places.camera, camera.x, camera.y, camera.scale);
    gl.uniform1f(places.aspect, camera.aspect);
    gl.uniform2f(places.upright, this.size.columns, this.size.rows);
    gl.uniform3i(places.turn, +this.turn.transposed, +this.turn.rowsReversed, +this.turn.columnsReversed);
    gl.uniform1i(places.pyramid, this.filmTexture.count);
    gl.uniform4f(places.box, this.box.top, this.box.left, this.box.bottom, this.box.right);
    gl.uniform1i(places.layerA, LAYERS[layers.a.kind]);
    gl.uniform1i(places.layerB, LAYERS[layers.b.kind]);
    gl.uniform1f(places.swipe, this.swipe < 0 ? -1 : this.swipe * camera.screen.width);
    gl.uniform2f(places.grey, this.greyScale.slope, this.greyScale.offset);
    gl.uniform2f(places.window, this.window.low, this.window.high);
    gl.uniform1i(places.inverted, +film.inverted);
    gl.uniform1i(places.smoothed, +this.smooth);
    gl.uniform1i(places.hurried, +("coarse" in this.canvas.dataset));
    gl.uniform1i(places.overlaid, +(this.overlay !== null));
    gl.uniform1f(places.opacity, look.opacity);
    gl.uniform1f(places.threshold, look.threshold);
    gl.uniform1f(places.magnitude, look.magnitude);
    gl.uniform1i(places.signedScale, +look.signed);
    gl.uniform1i(places.faded, +look.faded);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
    this.drawn += 1;
    this.canvas.dataset.frames = String(this.drawn);
  }

  /** What lies under a point of the canvas: row and column on the film as it is stored, its level; null beside it. */
  under(x, y) {
    const { row, column } = this.camera.toFilm(x, y);
    if (row < 0 || column < 0 || row >= this.size.rows || column >= this.size.columns) return null;
    const [storedRow, storedColumn] = toStored(row, column, this.size, this.turn).map(Math.floor);
    const at = Math.min(storedRow, this.film.rows - 1) * this.film.columns + Math.min(storedColumn, this.film.columns - 1);
    return { row: storedRow, column: storedColumn, level: this.levels[at], upright: { row, column } };
  }

  /** Row and column on a map of that shape under a place on the upright film. */
  onMap(upright, shape) {
    return toMap(upright.row, upright.column, this.box, shape);
  }

  /** The value of a map at a place on it, as it is drawn; null where it does not cover. */
  value(map, row, column, smooth) {
    return valueAt(map.values, map.shape, row, column, smooth);
  }
}
