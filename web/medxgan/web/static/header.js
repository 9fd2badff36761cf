// The line at the top: where one is, which model answers, where one can go.

import { remove } from "./api.js";
import { fill, h } from "./dom.js";
import { showHelp } from "./help.js";
import { T } from "./texts.js";

export function drawHeader(app) {
  const header = document.getElementById("header");
  fill(header,
    h("a", { className: "brand", href: "#/", "aria-label": T.header.home },
      h("img", { src: "/icon.svg", alt: "", width: 24, height: 24 }), h("span", {}, "medxgan")),
    modelChoice(app),
    h("span", { className: "subject" }, app.subject),
    h("span", { className: "device" }, T.notDevice),
    h("nav", { "aria-label": T.title },
      h("a", { className: "button", href: "#/", title: T.header.openTitle }, T.header.open),
      app.room?.gallery ? h("a", { className: "button", href: "#/gallery" }, T.header.gallery) : null,
      app.room?.report ? h("a", { className: "button", href: "#/report", title: T.header.reportTitle }, T.header.report) : null,
      app.room?.gateway ? h("a", { className: "button", href: "#/gateway", title: T.header.gatewayTitle }, T.header.gateway) : null,
      app.room?.archive ? h("a", { className: "button", href: "#/archive", title: T.header.archiveTitle }, T.header.archive) : null,
      h("button", {
        type: "button", title: T.header.forgetTitle,
        onclick: async () => {
          await remove("/session").catch(() => {});
          app.names.clear();
          location.hash = "#/";
          location.reload();
        },
      }, T.header.forget),
      h("button", { type: "button", title: T.header.helpTitle, onclick: showHelp }, T.header.help)),
  );
}

function modelChoice(app) {
  if (app.models.length === 0 || !app.asks) return null;
  const chosen = app.model ?? app.models.find((entry) => entry.is_default)?.model ?? app.models[0].model;
  app.model = { name: chosen.name, version: chosen.version };
  const key = (model) => `${model.name} ${model.version}`;
  const select = h("select", {
    "aria-label": T.header.model, id: "model",
    onchange: () => {
      app.model = app.models.find((entry) => key(entry.model) === select.value).model;
      app.view?.modelChosen?.();
    },
  }, app.models.map((entry) => h("option", { value: key(entry.model), selected: key(entry.model) === key(app.model) },
    `${key(entry.model)} · ${entry.positive_class}`)));
  return h("span", { className: "model" }, select);
}
