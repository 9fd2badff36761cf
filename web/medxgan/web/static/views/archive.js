// The studies of an archive: a study is named by its UID, and its films open one by one.

import { get, post } from "../api.js";
import { announce, field, fill, h } from "../dom.js";
import { T } from "../texts.js";

export function archiveView(app) {
  const here = location.hash;
  // The UID is kept by this page alone: an address would stay in the browser's history.
  const study = h("input", { type: "text", required: true, spellcheck: false, autocomplete: "off",
    value: app.study ?? "" });
  const found = h("div", { className: "found", "aria-live": "polite" });

  async function look() {
    app.study = study.value.trim();
    fill(found, h("p", { className: "note" }, T.archive.looking));
    try {
      const asked = app.study;
      const objects = await get(`/archive/${encodeURIComponent(asked)}`);
      if (location.hash === here && asked === app.study) fill(found, list(objects));
    } catch (error) {
      fill(found);
      app.fail(error);
    }
  }

  async function open(object, name) {
    announce(T.start.reading);
    try {
      const { id } = await post(`/archive/${encodeURIComponent(app.study)}/${object.instance}`);
      app.names.set(id, name);
      app.go(`film/${id}`);
    } catch (error) {
      app.fail(error);
    }
  }

  function list(objects) {
    const films = objects.filter((object) => !object.skipped).length;
    return [h("p", { className: "note" }, T.archive.lead(films, objects.length - films)),
      h("ul", { className: "cards" }, objects.map((object, index) => {
        const name = T.archive.film(index + 1);
        const words = h("span", { className: "words" },
          h("strong", {}, object.skipped ? T.archive.object(index + 1) : name),
          object.skipped ? h("span", { className: "facts" }, T.archive.skipped(object.skipped)) : null,
          h("span", { className: "note" }, object.instance));
        return h("li", {}, object.skipped ? h("div", { className: "card" }, words)
          : h("button", { type: "button", className: "card", onclick: () => open(object, name) }, words));
      }))];
  }

  app.show(T.archive.heading, h("section", { className: "gallery" },
    h("h1", {}, T.archive.heading),
    h("form", { className: "study", onsubmit: (event) => { event.preventDefault(); look(); } },
      field(T.archive.study, study), h("button", { className: "primary" }, T.archive.look)),
    found));
  if (app.study) look();
  else study.focus();
  return null;
}
