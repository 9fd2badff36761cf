// The studies of an archive: searched for, or named by a UID; the films of one open one by one.

import { get, post } from "../api.js";
import { announce, field, fill, h } from "../dom.js";
import { T } from "../texts.js";

export function archiveView(app) {
  const here = location.hash;
  // Who is looked for is kept by this page alone: an address would stay in the browser's history.
  const kept = app.archive ??= { asked: {}, page: null, study: "" };
  const input = (value, attributes = {}) => h("input", { type: "text", spellcheck: false, autocomplete: "off",
    value: value ?? "", oninput: ({ target }) => target.removeAttribute("aria-invalid"), ...attributes });
  const fields = {
    patient: input(kept.asked.patient),
    earliest: input(kept.asked.earliest, { type: "date" }),
    latest: input(kept.asked.latest, { type: "date" }),
    modality: input(kept.asked.modality, { className: "short", maxLength: 16, autocapitalize: "characters" }),
    study: input(kept.study, { required: true }),
  };
  const found = h("div", { className: "found" });
  const current = () => location.hash === here;

  let last = null;

  /** Ask, say so meanwhile, and show what comes of it, unless the reader has gone on or asked for something else.
   *  `focused` is the button there that has the focus then, where what had it is gone. */
  async function show(question, draw, focused = -1) {
    const asked = last = {};
    fill(found, h("p", { className: "note" }, T.archive.looking));
    try {
      const answer = await question();
      if (!current() || asked !== last) return;
      fill(found, draw(answer));
      found.querySelectorAll("button")[focused]?.focus();
    } catch (error) {
      if (!current() || asked !== last) return;
      fill(found);
      fields[error.field]?.setAttribute("aria-invalid", "true");
      fields[error.field]?.focus();
      app.fail(error);
    }
  }

  function search() {
    const { patient, earliest, latest, modality } = fields;
    kept.asked = { patient: patient.value.trim(), earliest: earliest.value, latest: latest.value,
      modality: modality.value.trim().toUpperCase() };
    kept.study = "";
    return show(() => post("/archive", kept.asked), (page) => {
      kept.page = page;
      return studies();
    });
  }

  function furtherOnes() {
    const { asked, page } = kept;
    return show(() => post("/archive", { ...asked, offset: page.studies.length }), (further) => {
      kept.page = { ...further, studies: [...page.studies, ...further.studies] };
      return studies();
    }, page.studies.length);
  }

  function look(study, focused) {
    kept.study = study;
    return show(() => get(`/archive/${encodeURIComponent(study)}`), films, focused);
  }

  function back() {
    kept.study = "";
    fill(found, studies());
    found.querySelector("button")?.focus();
  }

  async function open(object, name) {
    announce(T.start.reading);
    try {
      const { id } = await post(`/archive/${encodeURIComponent(kept.study)}/${object.instance}`);
      app.names.set(id, name);
      app.go(`film/${id}`);
    } catch (error) {
      app.fail(error);
    }
  }

  function studies() {
    const { page } = kept;
    announce(T.archive.found(page.studies.length, page.more));
    return [h("p", { className: "note" }, T.archive.found(page.studies.length, page.more)),
      h("ul", { className: "cards" }, page.studies.map((each) => h("li", {},
        h("button", { type: "button", className: "card", onclick: () => look(each.study, 0) }, h("span", { className: "words" },
          h("strong", {}, [each.day || T.archive.noDay, each.modalities.join(", ")].filter(Boolean).join(" · ")),
          h("span", { className: "facts" }, [each.name, each.patient].filter(Boolean).join(" · ") || T.archive.nobody),
          h("span", { className: "note" }, [each.description, each.objects === null ? "" : T.archive.objects(each.objects)]
            .filter(Boolean).join(" · "))))))),
      page.cut ? h("p", { className: "notice", role: "status" }, T.archive.cut)
        : page.more ? h("div", { className: "row" }, h("button", { type: "button", onclick: furtherOnes }, T.archive.more)) : null];
  }

  function films(objects) {
    const count = objects.filter((object) => !object.skipped).length;
    announce(T.archive.lead(count, objects.length - count));
    return [h("div", { className: "row" },
      kept.page ? h("button", { type: "button", onclick: back }, T.archive.back) : null,
      h("p", { className: "note" }, T.archive.lead(count, objects.length - count))),
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
    h("form", { className: "search", noValidate: true, onsubmit: (event) => { event.preventDefault(); search(); } },
      field(T.archive.patient, fields.patient), field(T.archive.earliest, fields.earliest),
      field(T.archive.latest, fields.latest), field(T.archive.modality, fields.modality),
      h("button", { className: "primary" }, T.archive.search)),
    h("p", { className: "note" }, T.archive.bounds),
    h("form", { className: "study", onsubmit: (event) => { event.preventDefault(); look(fields.study.value.trim()); } },
      field(T.archive.study, fields.study), h("button", {}, T.archive.look)),
    found));
  if (kept.study) look(kept.study);
  else if (kept.page) fill(found, studies());
  else fields.patient.focus();
  return null;
}
