// A report on many films as a table: failures first, or sorted by a heading; a film that is at hand opens.

import { get, post } from "../api.js";
import { announce, field, fill, h } from "../dom.js";
import { T } from "../texts.js";
import { rank } from "./ranks.js";

const PAGE = 200;
const LOCALISATION = ["average_precision", "pointing_game", "iou"];
/** Which end of a column is the worse one, and comes first: 1 for small values. */
const WORSE = { verdict: 1, score: -1, error: -1, agreement: 1, average_precision: 1, pointing_game: 1, iou: 1, name: 1 };

export async function reportView(app) {
  const here = location.hash;
  const report = await get("/report");
  if (location.hash !== here) return null;
  const kept = app.reportOrder ??= { by: "verdict", way: 1, method: "" }; // of this page: as long as the reader stays
  const methods = Object.keys(report.methods);
  if (!methods.includes(kept.method)) kept.method = methods[0] ?? "";
  const columns = ["name", "verdict", "score", "error", "agreement", ...(methods.length ? LOCALISATION : [])];
  let shown = PAGE;
  const pictures = new Map(); // by row
  const seen = new IntersectionObserver((changes) => changes.filter((change) => change.isIntersecting).forEach(({ target }) => {
    seen.unobserve(target);
    target.src = `/api/report/${target.dataset.row}/thumbnail`;
  }));

  const value = (row, column) => {
    if (column === "verdict") return rank(row.status);
    if (LOCALISATION.includes(column)) return row.localisation[kept.method]?.[column] ?? null;
    return row[column];
  };
  /** What is not known comes last, whichever way it goes; of equal verdicts the larger error comes first. */
  function compare(one, other) {
    const [a, b] = [value(one, kept.by), value(other, kept.by)];
    if (a === null || b === null) return (a === null) - (b === null);
    const order = typeof a === "string" ? a.localeCompare(b, "en", { numeric: true }) : a - b;
    return WORSE[kept.by] * kept.way * order || (other.error ?? 0) - (one.error ?? 0);
  }

  async function open(row) {
    announce(T.start.reading);
    try {
      const { id } = await post(`/report/${row.id}`);
      app.names.set(id, row.name);
      app.go(`film/${id}`);
    } catch (error) {
      app.fail(error);
    }
  }

  const head = h("tr", {});
  const body = h("tbody", {});
  const more = h("div", { className: "row" });
  function draw() {
    fill(head, columns.map((column) => {
      const [label, title] = T.report.columns[column];
      const sorted = column === kept.by ? (WORSE[column] * kept.way > 0 ? "ascending" : "descending") : "none";
      return h("th", { scope: "col", "aria-sort": sorted }, h("button", { type: "button", title, value: column,
        onclick: () => sortBy(column) }, label, sorted === "none" ? null : h("span", { "aria-hidden": "true" }, ARROWS[sorted])));
    }));
    const rows = report.rows.toSorted(compare);
    fill(body, rows.slice(0, shown).map((row) => line(row)));
    fill(more, rows.length > shown ? h("button", { type: "button", onclick: () => { shown += PAGE; draw(); } },
      T.report.more(Math.min(PAGE, rows.length - shown))) : null);
  }
  function sortBy(column) {
    kept.way = column === kept.by ? -kept.way : 1;
    kept.by = column;
    draw();
    head.querySelector(`button[value=${column}]`).focus();
  }
  function line(row) {
    return h("tr", {}, columns.map((column) => (column === "name" ? h("th", { scope: "row" }, title(row))
      : h("td", {}, column === "verdict" ? badge(row.status) : figure(column, value(row, column))))));
  }
  /** The small picture of a row's film: one for as long as the view lasts, however its rows are sorted. */
  function picture(row) {
    if (!pictures.has(row.id)) {
      pictures.set(row.id, row.opens ? h("img", { className: "picture", alt: T.report.picture(row.name, verdict(row.status)),
        onclick: () => open(row), onerror: (event) => event.target.replaceWith(fallen(row)) })
        : h("span", { className: "picture", "aria-hidden": "true" })); // the words beside it say so
      pictures.get(row.id).dataset.row = row.id;
      if (row.opens) seen.observe(pictures.get(row.id));
    }
    return pictures.get(row.id);
  }
  function fallen(row) {
    const words = T.report.noPicture(row.name);
    const place = h("span", { className: "picture none", role: "img", "aria-label": words, title: words });
    pictures.set(row.id, place);
    return place;
  }
  function title(row) {
    return [report.films ? picture(row) : null,
      row.opens ? h("button", { type: "button", className: "link", onclick: () => open(row) }, row.name)
        : h("span", { className: "named" }, row.name),
      h("span", { className: "note" }, [row.source, row.opens ? "" : T.report.absent, row.note].filter(Boolean).join(" · "))];
  }

  const method = h("select", { onchange: () => { kept.method = method.value; draw(); } },
    methods.map((name) => h("option", { value: name }, report.methods[name] || (T.report.methods[name] ?? name))));
  method.value = kept.method;
  const atHand = report.rows.filter((row) => row.opens).length;
  draw();
  app.show(T.report.heading(report.model), h("section", { className: "gallery report" },
    h("div", { className: "line" }, h("h1", {}, T.report.heading(report.model)),
      methods.length ? field(T.report.method, method) : null),
    h("p", { className: "note" }, report.rows.length ? T.report.lead(report.rows.length, atHand) : T.report.empty,
      report.films || !report.rows.length ? "" : ` ${T.report.start}`),
    report.damaged ? h("p", { className: "notice", role: "status" }, T.report.damaged(report.damaged)) : null,
    h("div", { className: "scrolled" },
      h("table", {}, h("caption", {}, T.report.caption), h("thead", {}, head), body)), more));
  return { close: () => seen.disconnect() };
}

const ARROWS = { ascending: "▲", descending: "▼" };

function badge(status) {
  return h("span", { className: `badge ${status in T.verdict.sentence ? status : "other"}` }, verdict(status));
}

const verdict = (status) => (status ? T.verdict[status] ?? T.verdict.other : T.report.failed);

function figure(column, value) {
  if (value === null) return T.number(null);
  return column === "agreement" ? T.percent(value) : T.number(value);
}
