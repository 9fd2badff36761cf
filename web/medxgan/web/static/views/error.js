// What went wrong, in words, where the reader looks.

import { h } from "../dom.js";
import { T } from "../texts.js";

const WORDS = { away: T.errors.away, busy: T.errors.busy };

/** A notice over the view; `again` tries once more. */
export function showError(app, error, again) {
  document.querySelector(".alert")?.remove();
  const text = WORDS[error.kind] ?? (error.message || T.errors.fault);
  const words = text.charAt(0).toUpperCase() + text.slice(1);
  const alert = h("div", { className: "alert", role: "alert" },
    h("div", {}, h("strong", {}, T.errors.heading), h("p", {}, words)),
    again ? h("button", { type: "button", className: "primary", onclick: () => { alert.remove(); again(); } },
      T.errors.again) : null,
    h("button", { type: "button", onclick: () => alert.remove() }, T.errors.close));
  app.main.prepend(alert);
}
