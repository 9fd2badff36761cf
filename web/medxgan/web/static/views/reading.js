// The reading view: the film with all that belongs to it, and the panels beside it.

import { save } from "../api.js";
import { announce, h } from "../dom.js";
import { besidePanel } from "../panels/beside.js";
import { mapsPanel } from "../panels/maps.js";
import { modelPanel } from "../panels/model.js";
import { questionPanel } from "../panels/question.js";
import { tabs } from "../panels/tabs.js";
import { trajectoryPanel } from "../panels/trajectory.js";
import { verdictPanel } from "../panels/verdict.js";
import { keysOf } from "../reading/keys.js";
import { Reading } from "../reading/reading.js";
import { EntrySource, FilmSource } from "../reading/sources.js";
import { wishFor } from "../reading/wishes.js";
import { stageOf } from "../stage/stage.js";
import { T } from "../texts.js";

export async function readingView(app, { film, entry }) {
  const here = location.hash;
  const begun = app.takeBegun(film);
  const source = begun ? new FilmSource(begun.film) : film ? await FilmSource.open(film) : await EntrySource.open(entry);
  if (location.hash !== here) return null; // the reader has gone on
  const loading = source.load(); // meanwhile the page is built, and the server explains it
  const reading = new Reading(source);
  const name = source.explanation?.name ?? app.names.get(source.film.id) ?? T.start.film("");
  let running = null;

  const trajectory = trajectoryPanel(reading);
  const stage = stageOf(reading, name, trajectory);
  const question = questionPanel(reading, {
    run: (settings) => { reading.settings = settings; run(); },
    region: stage.regionInTheMiddle,
    clear: stage.clearRegion,
    fail: (error) => app.fail(error),
  });
  const maps = mapsPanel(reading, { beside: () => beside(), computeAll: () => run({ all: true }) });
  const aside = h("aside", { className: "panel", "aria-label": T.verdict.heading },
    verdictPanel(reading),
    tabs(T.tabs.label, [["maps", T.tabs.maps, maps], ["question", T.tabs.question, question],
      ["model", T.tabs.model, modelPanel(reading)]]),
    saveLinks(reading, (error) => app.fail(error)));
  app.show(name, h("div", { className: "reading" }, stage.element, aside), { asks: source.canAsk });

  const seen = loading.then(() => {
    if (location.hash !== here) throw new DOMException("the reader has gone on", "AbortError");
    try {
      reading.see(stage.canvas);
    } catch (error) {
      throw new Error(error.message === "size" ? T.errors.size : T.errors.webgl, { cause: error });
    }
    stage.begin();
  });
  seen.catch((error) => { running?.abort(); app.fail(error); });

  async function describe(model) {
    reading.model = await app.describe(model);
    reading.emit("model");
  }

  /** Explain, with progress; a run before it is stopped. What has begun is followed. */
  async function run({ all = false, followed = null } = {}) {
    running?.abort();
    const controller = running = followed?.controller ?? new AbortController();
    stage.progress(null);
    try {
      await describe(followed?.model ?? app.model ?? { name: "", version: "" });
      const kinds = reading.explanation?.maps.map((map) => map.kind) ?? [];
      const wish = wishFor(reading.model, reading.settings, { all, kinds });
      const explanation = await source.explain(wish, stage.progress, controller.signal, followed?.told);
      await seen;
      await reading.take(explanation);
      announce(T.progress.done(T.verdict[explanation.verdict.status] ?? T.verdict.other));
    } catch (error) {
      if (error.name === "AbortError") announce(T.progress.cancelled);
      else if (running === controller) {
        if (error.field) question.mark?.(error.field);
        app.fail(error, () => run({ all }));
      }
    } finally {
      if (running === controller) {
        running = null;
        stage.progressEnds();
      }
    }
  }
  stage.onCancel(() => running?.abort());
  stage.onFrame(async (frame) => {
    try {
      running?.abort();
      await source.turnTo(frame);
      app.go(`film/${source.film.id}`);
    } catch (error) {
      app.fail(error);
    }
  });

  let shownBeside = null;
  function beside(open = shownBeside === null) {
    if (!open) {
      shownBeside?.remove();
      shownBeside = null;
      stage.element.classList.remove("covered");
    } else if (reading.maps.size && !shownBeside) {
      shownBeside = besidePanel(reading, () => beside(false));
      stage.element.append(shownBeside);
      stage.element.classList.add("covered");
      shownBeside.querySelector("button").focus();
    }
  }

  if (source.explanation) {
    const { model } = source.explanation;
    await describe(model).catch(() => {}); // of the gallery: the model may not be served here
    if (film && reading.model) choose(app, reading.model.model);
    await seen;
    await reading.take(source.explanation);
  } else {
    const sample = app.models.find((each) => each.model.name === source.film.model);
    if (sample) choose(app, sample.model);
    if (begun && app.model.name === begun.model.name && app.model.version === begun.model.version) run({ followed: begun });
    else {
      begun?.controller.abort(); // by another model than is chosen now
      run();
    }
  }

  return {
    close() {
      running?.abort();
      trajectory.stop();
      reading.viewer?.close();
    },
    modelChosen() {
      if (!source.canAsk) return;
      reading.settings = {};
      run();
    },
    key: keysOf(reading, stage, trajectory, { beside, covered: () => shownBeside !== null,
      cancel: () => running?.abort(), running: () => running !== null }),
  };
}

function choose(app, model) {
  app.model = { name: model.name, version: model.version };
  app.header();
}

function saveLinks(reading, fail) {
  async function saveDicom({ currentTarget: button }) {
    button.disabled = true;
    try {
      await save(`${reading.source.path}/dicom.zip`, "dicom.zip");
    } catch (error) {
      fail(error);
    } finally {
      button.disabled = false;
    }
  }
  const links = h("p", { className: "save" });
  reading.on("explained", () => {
    const { source } = reading;
    links.replaceChildren(...(source.canAsk ? [
      h("span", {}, `${T.exports.label}: `),
      h("a", { href: `/api${source.path}/panel.png`, download: "panel.png" }, T.exports.panel), " ",
      h("a", { href: `/api${source.path}/explanation.json`, download: "explanation.json" }, T.exports.json), " ",
      source.film.makes_dicom
        ? h("button", { type: "button", title: T.exports.dicomNote, onclick: saveDicom }, T.exports.dicom) : "",
    ] : []));
  });
  return links;
}
