// The first view: a film comes in.

import { bring, bringExplained, get, post, remove } from "../api.js";
import { announce, h } from "../dom.js";
import { wishFor } from "../reading/wishes.js";
import { T } from "../texts.js";
import { prepareCanvas } from "../viewer/prepared.js";

export async function startView(app) {
  const here = location.hash;
  const films = await get("/films");
  if (location.hash !== here) return null;
  const chooser = h("input", {
    type: "file", id: "file", className: "unseen", tabIndex: -1, "aria-hidden": "true",
    onchange: () => chooser.files[0] && take(chooser.files[0]),
  });
  const opening = h("p", { className: "opening", "aria-live": "polite" });

  async function open(work, name) {
    opening.textContent = T.start.reading;
    announce(T.start.reading);
    try {
      const film = await work();
      if (name) app.names.set(film.id, name);
      app.notice = "";
      app.go(`film/${film.id}`);
    } catch (error) {
      app.fail(error);
    } finally {
      opening.textContent = "";
      chooser.value = "";
    }
  }
  const take = (file) => open(() => brought(app, file), file.name);

  const samples = Array.from({ length: app.room.samples - 1 }, (_, index) => index + 1);
  const drop = h("section", { className: "drop", "aria-label": T.start.drop },
    h("h1", {}, T.start.heading),
    h("p", { className: "lead" }, T.start.lead),
    h("div", { className: "target" },
      h("p", {}, T.start.drop),
      h("button", { type: "button", className: "primary", onclick: () => chooser.click() }, T.start.choose),
      chooser, opening),
    h("div", { className: "offers" },
      samples.map((number) => h("button", { type: "button", onclick: () => open(() => post(`/samples/${number}`), T.start.sampleName) },
        T.start.served(number, samples.length))),
      h("button", { type: "button", onclick: () => open(() => post("/samples/0"), T.start.sampleName) }, T.start.sample),
      app.room.gallery ? h("a", { className: "button", href: "#/gallery" }, T.start.gallery) : null,
      app.room.report ? h("a", { className: "button", href: "#/report" }, T.start.report) : null,
      app.room.gateway ? h("a", { className: "button", href: "#/gateway" }, T.start.gateway) : null,
      app.room.archive ? h("a", { className: "button", href: "#/archive" }, T.start.archive) : null),
    h("p", { className: "note" }, T.start.kept(Math.round(app.room.session_minutes))));

  app.show("", [
    app.notice ? h("p", { className: "notice", role: "status" }, app.notice) : null,
    drop,
    films.length === 0 ? null : h("section", { className: "films" }, h("h2", {}, T.start.films),
      h("ul", {}, films.map((film, index) => {
        const name = app.names.get(film.id) ?? T.start.film(index + 1);
        return h("li", {}, h("a", { href: `#/film/${film.id}` }, name),
          h("button", { type: "button", "aria-label": T.start.close(name), title: T.start.close(name),
            onclick: () => remove(`/films/${film.id}`).then(() => app.go(""), (error) => app.fail(error)) }, "×"));
      }))),
  ]);

  const prepare = () => { if (app.model) app.describe(app.model).catch(() => {}); }; // it is told where it matters
  prepare();
  (window.requestIdleCallback ?? setTimeout)(prepareCanvas);

  const dragging = (event) => {
    event.preventDefault();
    drop.classList.toggle("over", event.type === "dragover");
    if (event.type === "drop" && event.dataTransfer.files[0]) take(event.dataTransfer.files[0]);
  };
  const kinds = ["dragover", "dragleave", "drop"];
  kinds.forEach((kind) => document.addEventListener(kind, dragging));
  return { close: () => kinds.forEach((kind) => document.removeEventListener(kind, dragging)), modelChosen: prepare };
}

/** Bring a file in, and have it explained meanwhile by the model that is chosen; its view goes on with that. */
async function brought(app, file) {
  const model = app.model && await app.describe(app.model).catch(() => null);
  if (!model) return bring(file);
  const controller = new AbortController();
  const { film, told } = await bringExplained(file, wishFor(model), controller.signal);
  app.begun = { film, model: model.model, told, controller };
  return film;
}
