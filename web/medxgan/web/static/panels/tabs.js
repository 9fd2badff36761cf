// Panels of which one is seen, by the pattern of the ARIA authoring practices.

import { h } from "../dom.js";

/** `entries` are [id, title, content]. */
export function tabs(label, entries) {
  const list = h("div", { className: "tabs", role: "tablist", "aria-label": label });
  const panels = entries.map(([id, title, content], index) => {
    list.append(h("button", {
      type: "button", role: "tab", id: `tab-${id}`, "aria-controls": `panel-${id}`,
      onclick: () => choose(index),
      onkeydown: (event) => {
        const to = { ArrowRight: index + 1, ArrowLeft: index - 1 }[event.key];
        if (to === undefined) return;
        event.preventDefault();
        event.stopPropagation();
        choose((to + entries.length) % entries.length);
        list.children[(to + entries.length) % entries.length].focus();
      },
    }, title));
    return h("div", { role: "tabpanel", id: `panel-${id}`, "aria-labelledby": `tab-${id}`, tabIndex: 0 }, content);
  });
  function choose(chosen) {
    panels.forEach((panel, index) => {
      panel.hidden = index !== chosen;
      list.children[index].setAttribute("aria-selected", String(index === chosen));
      list.children[index].tabIndex = index === chosen ? 0 : -1;
    });
  }
  choose(0);
  return h("section", { className: "tabbed" }, list, panels);
}
