// Begins: a session, the header, and the view that the address names.

import { ApiError, get, post } from "./api.js";
import { h } from "./dom.js";
import { drawHeader } from "./header.js";
import { listenToKeys } from "./keyboard.js";
import { T } from "./texts.js";
import { archiveView } from "./views/archive.js";
import { showError } from "./views/error.js";
import { galleryView } from "./views/gallery.js";
import { gatewayView } from "./views/gateway.js";
import { readingView } from "./views/reading.js";
import { reportView } from "./views/report.js";
import { signInView } from "./views/sign_in.js";
import { startView } from "./views/start.js";

const ROUTES = [
  [/^$/, startView],
  [/^film\/([\w-]+)$/, (app, id) => readingView(app, { film: id })],
  [/^gallery$/, galleryView],
  [/^report$/, reportView],
  [/^gateway$/, gatewayView],
  [/^archive$/, archiveView],
  [/^gallery\/([\w-]+)$/, (app, id) => readingView(app, { entry: id })],
];

const descriptions = new Map(); // of models, by name and version

/** What every view is given: the room's state, the models, what the reader chose, and ways to go. */
const app = {
  room: null,
  models: [],
  model: null, // {name, version} that the reader chose
  names: new Map(), // of files, by film: they stay here
  begun: null, // an explanation of a film that came in, which its view follows: {film, model, told, controller}
  archive: null, // what was looked for there, and found
  notice: "",
  view: null,
  subject: "",
  asks: true,
  main: document.getElementById("main"),

  go(path) {
    if (location.hash === `#/${path}`) show();
    else location.hash = `#/${path}`;
  },

  /** `title` of the page; `asks`: whether the model that is chosen answers here. */
  show(title, content, { asks = true } = {}) {
    document.title = T.pageTitle(title);
    [this.subject, this.asks] = [title, asks];
    this.header();
    this.main.replaceChildren(...[content].flat().filter(Boolean));
    // What had the focus is gone with the view before: the next Tab begins at this one.
    if (document.activeElement === document.body) this.main.focus({ preventScroll: true });
  },

  /** What is known of a model, asked for once. */
  describe({ name, version }) {
    const key = new URLSearchParams({ name, version }).toString();
    if (!descriptions.has(key)) {
      descriptions.set(key, get(`/model?${key}`));
      descriptions.get(key).catch(() => descriptions.delete(key));
    }
    return descriptions.get(key);
  },

  /** Take the explanation of a film that has begun; another one is stopped. */
  takeBegun(film) {
    const { begun } = app;
    app.begun = null;
    if (begun?.film.id === film) return begun;
    begun?.controller.abort();
    return null;
  },

  fail(error, again) {
    if (error.name === "AbortError") return;
    if (error instanceof ApiError && error.kind === "sign_in") {
      this.notice = T.ended;
      this.archive = null; // who comes in next may be somebody else
      begin().then(() => this.go(""));
      return;
    }
    if (!(error instanceof ApiError)) console.error(error);
    showError(this, error, again);
  },

  header() {
    drawHeader(this);
  },
};

async function show() {
  app.view?.close?.();
  app.view = null;
  const path = location.hash.replace(/^#\/?/, "");
  if (!path.startsWith("film/")) app.takeBegun(null);
  const [pattern, view] = ROUTES.find(([each]) => each.test(path)) ?? [];
  if (!view) {
    app.show("", h("p", { className: "notice" }, T.missing));
    return;
  }
  try {
    const shown = await view(app, ...path.match(pattern).slice(1));
    // Where the reader has gone on meanwhile, the view that came late is closed.
    if (path === location.hash.replace(/^#\/?/, "")) app.view = shown;
    else shown?.close?.();
  } catch (error) {
    app.fail(error, show);
  }
}

async function begin() {
  app.room = await get("/session");
  if (!app.room.signed_in) {
    if (app.room.asks_for_token) {
      await signInView(app);
    } else {
      await post("/session");
    }
  }
  try {
    app.models = await get("/models");
  } catch (error) {
    // The server may be away: films can be opened all the same, and the error is told where it matters.
    if (!(error instanceof ApiError) || error.kind === "sign_in") throw error;
    app.models = [];
  }
}

document.getElementById("skip").textContent = T.skip;
document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault(); // the address names a view
  (document.querySelector("canvas.film") ?? app.main).focus();
});
listenToKeys(app);
try {
  await begin();
  window.addEventListener("hashchange", show);
  await show();
} catch (error) {
  app.fail(error, () => location.reload());
}
