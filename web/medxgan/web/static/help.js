// The overlay behind "?".

import { h } from "./dom.js";
import { lettersOn, setLetters } from "./keyboard.js";
import { T } from "./texts.js";

export function showHelp() {
  if (document.querySelector("dialog.help")) return;
  const letters = h("input", { type: "checkbox", id: "letters", checked: lettersOn(),
    onchange: () => setLetters(letters.checked) });
  const dialog = h("dialog", { className: "help", "aria-labelledby": "help-heading" },
    h("h2", { id: "help-heading" }, T.help.heading),
    h("dl", { className: "keys" }, T.help.keys.map(([key, what]) =>
      h("div", {}, h("dt", {}, h("kbd", {}, key)), h("dd", {}, what)))),
    h("p", {}, T.help.mouse),
    h("p", {}, T.help.lead),
    h("p", { className: "check" }, letters, h("label", { htmlFor: "letters" }, T.help.shortcuts)),
    h("button", { type: "button", className: "primary", autofocus: true, onclick: () => dialog.close() }, T.help.close));
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}
