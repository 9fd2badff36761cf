// The films that the gateway holds: failures first; each opens with what the server said of it.

import { get, post } from "../api.js";
import { announce, h } from "../dom.js";
import { T } from "../texts.js";
import { LAST, rank } from "./ranks.js";

const place = (film) => (film.verdict === null ? LAST : rank(film.verdict));

export async function gatewayView(app) {
  const here = location.hash;
  const films = await get("/gateway");
  if (location.hash !== here) return null;

  async function open(film) {
    announce(T.start.reading);
    try {
      const { id } = await post(`/gateway/${film.number}`);
      app.names.set(id, T.gateway.film(film.number));
      app.go(`film/${id}`);
    } catch (error) {
      app.fail(error);
    }
  }

  app.show(T.gateway.heading, h("section", { className: "gallery" },
    h("h1", {}, T.gateway.heading),
    h("p", { className: "note" }, films.length ? T.gateway.lead(films.length) : T.gateway.empty),
    h("ul", { className: "cards" }, films.toSorted((one, other) => place(one) - place(other) || other.received - one.received)
      .map((film) => h("li", {}, h("button", { type: "button", className: "card", onclick: () => open(film) },
        h("span", { className: "words" },
          h("strong", {}, T.gateway.film(film.number)),
          h("span", { className: `badge ${film.verdict in T.verdict.sentence ? film.verdict : "other"}` },
            film.verdict === null ? T.gateway.states[film.state] ?? film.state : T.verdict[film.verdict] ?? T.verdict.other),
          h("span", { className: "facts" }, [film.model, T.gateway.received(film.received * 1000)].join(" · ")),
          h("span", { className: "note" }, film.explained ? T.gateway.kept : T.gateway.anew))))))));
  return null;
}
