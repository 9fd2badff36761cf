// The token of the reading room, where it asks for one.

import { post } from "../api.js";
import { field, h } from "../dom.js";
import { T } from "../texts.js";
import { showError } from "./error.js";

/** Resolves once the reader is in. */
export function signInView(app) {
  return new Promise((resolve) => {
    const token = h("input", { type: "password", autocomplete: "current-password", required: true });
    app.show(T.signIn.heading, h("form", {
      className: "card sign-in",
      onsubmit: async (event) => {
        event.preventDefault();
        try {
          await post("/session", { token: token.value });
          app.room.signed_in = true;
          resolve();
        } catch (error) {
          showError(app, error);
        }
      },
    }, h("h1", {}, T.signIn.heading), h("p", {}, T.signIn.lead), field(T.signIn.token, token),
    h("button", { className: "primary" }, T.signIn.enter)));
    token.focus();
  });
}
