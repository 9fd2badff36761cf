// Keys that work everywhere; those of a film are the reading view's. Letters can be turned off (WCAG 2.1.4).

import { showHelp } from "./help.js";

const STORED = "medxgan-letters";

export const lettersOn = () => localStorage.getItem(STORED) !== "off";
export const setLetters = (on) => localStorage.setItem(STORED, on ? "on" : "off");

export function listenToKeys(app) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    const typing = event.target.closest("input:not([type=range]):not([type=checkbox]), select, textarea");
    if (typing || (event.key.length === 1 && !lettersOn())) return;
    // A space presses the button that has the focus.
    if (event.key === " " && event.target.closest("button, a, input, summary")) return;
    const taken = event.key === "?" ? (showHelp(), true)
      : event.key === "g" && app.room?.gallery ? (app.go("gallery"), true)
        : app.view?.key?.(event);
    if (taken) event.preventDefault();
  });
}
