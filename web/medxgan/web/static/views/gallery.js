// A folder of explanations: failures first, or as the reader sorts them; each opens in the reading view.

import { floats, get } from "../api.js";
import { colors } from "../color_maps.js";
import { field, h } from "../dom.js";
import { paint } from "../reading/paint.js";
import { T } from "../texts.js";
import { rank } from "./ranks.js";

const ORDERS = {
  verdict: (one, other) => rank(one.status) - rank(other.status) || (other.error ?? 0) - (one.error ?? 0),
  score: (one, other) => (other.score ?? -1) - (one.score ?? -1),
  error: (one, other) => (other.error ?? -1) - (one.error ?? -1),
  agreement: (one, other) => (one.agreement ?? 2) - (other.agreement ?? 2), // least first, as failures are
  name: (one, other) => one.name.localeCompare(other.name),
};
const STORED = "medxgan-gallery-order";

export async function galleryView(app) {
  const here = location.hash;
  const entries = await get("/gallery");
  if (location.hash !== here) return null;
  const list = h("ul", { className: "cards" });
  const seen = new IntersectionObserver((changes) => changes.filter((change) => change.isIntersecting).forEach((change) => {
    seen.unobserve(change.target);
    drawThumbnail(change.target).catch(() => {}); // the card says what is known without it
  }));
  const order = h("select", { onchange: () => { sessionStorage.setItem(STORED, order.value); sort(); } },
    Object.keys(ORDERS).map((name) => h("option", { value: name }, T.gallery.by[name])));
  order.value = sessionStorage.getItem(STORED) ?? "verdict";
  function sort() {
    list.replaceChildren(...entries.toSorted(ORDERS[order.value]).map((entry) => card(entry, seen)));
  }
  sort();
  app.show(T.gallery.heading, h("section", { className: "gallery" },
    h("div", { className: "line" }, h("h1", {}, T.gallery.heading), field(T.gallery.sort, order)),
    h("p", { className: "note" }, entries.length ? T.gallery.lead(entries.length) : T.gallery.empty), list));
  return { close: () => seen.disconnect() };
}

function card(entry, seen) {
  const facts = entry.readable
    ? [h("span", { className: `badge ${entry.status in T.verdict.sentence ? entry.status : "other"}` },
      T.verdict[entry.status] ?? T.verdict.other),
    h("span", { className: "facts" }, [entry.model, T.gallery.score(entry.score),
      entry.error === null ? null : T.gallery.error(entry.error),
      entry.agreement === null ? null : T.gallery.agreement(entry.agreement)].filter(Boolean).join(" · ")),
    entry.reasons[0] ? h("span", { className: "note" }, entry.reasons[0]) : null]
    : [h("span", { className: "badge other" }, T.gallery.unreadable)];
  const canvas = h("canvas", { "aria-hidden": "true", width: 128, height: 128 });
  canvas.dataset.entry = entry.id;
  if (entry.readable) seen.observe(canvas);
  const inside = [canvas, h("span", { className: "words" }, h("strong", {}, entry.name), facts)];
  return h("li", {}, entry.readable ? h("a", { href: `#/gallery/${entry.id}` }, inside) : h("div", {}, inside));
}

async function drawThumbnail(canvas) {
  const id = canvas.dataset.entry;
  const { maps } = await get(`/gallery/${id}`);
  const fetched = async (kind) => {
    const entry = maps.find((each) => each.kind === kind);
    return entry ? { ...entry, values: await floats(`/gallery/${id}/maps/${kind}`) } : null;
  };
  const [picture, map] = [await fetched("original"), await fetched("difference") ?? await fetched("grad_cam")];
  const magnitude = map ? map.values.reduce((most, value) => Math.max(most, Math.abs(value)), 0) || 1 : 1;
  paint(canvas, picture, map, { colors: colors("coolwarm"), signed: map?.signed ?? true, magnitude, opacity: 0.85,
    threshold: 0.1, faded: true });
}
