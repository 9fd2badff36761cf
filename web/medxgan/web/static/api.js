// What is asked of the reading room's process. Errors are in words: `kind`, `message`, `field`.

import { T } from "./texts.js";

export class ApiError extends Error {
  constructor({ kind, message, field }) {
    super(message);
    this.kind = kind;
    this.field = field ?? null;
  }
}

async function ask(method, path, { body, json, signal } = {}) {
  let answer;
  try {
    answer = await fetch(`/api${path}`, {
      method,
      signal,
      body: json === undefined ? body : JSON.stringify(json),
      headers: json === undefined ? {} : { "Content-Type": "application/json" },
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError({ kind: "gone", message: T.errors.gone });
  }
  if (!answer.ok) throw new ApiError(await told(answer));
  return answer;
}

async function told(answer) {
  try {
    return (await answer.json()).error;
  } catch {
    return { kind: "fault", message: T.errors.fault };
  }
}

export const get = async (path, signal) => (await ask("GET", path, { signal })).json();
export const post = async (path, json) => {
  const answer = await ask("POST", path, { json: json ?? {} });
  return answer.status === 204 ? null : answer.json();
};
export const remove = async (path) => { await ask("DELETE", path); };
export const bring = async (file) => (await ask("POST", "/films", { body: file })).json();
export const binary = async (path, signal) => (await ask("GET", path, { signal })).arrayBuffer();
export const floats = async (path) => new Float32Array(await binary(path));

/** Save what is at a path as a file. What goes wrong is thrown in words; a link would save it. */
export async function save(path, name) {
  const address = URL.createObjectURL(new Blob([await binary(path)]));
  Object.assign(document.createElement("a"), { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000); // the browser has begun by then
}

/** Have a film explained; gives what is told of it, for `resultOf`. */
export async function explain(film, wish, signal) {
  return events(await ask("POST", `/films/${film}/explanations`, { json: wish, signal }));
}

/** Bring a film in that is explained while it is decoded; gives the film, and what is told of its explanation. */
export async function bringExplained(file, wish, signal) {
  const body = new Blob([JSON.stringify(wish), "\n", file]);
  const told = events(await ask("POST", "/explanations", { body, signal }));
  const { value: [, film] } = await told.next();
  return { film, told };
}

/** The result of an explanation; `onprogress` hears of every block of steps. */
export async function resultOf(told, onprogress) {
  for await (const [name, content] of told) {
    if (name === "result") return content;
    onprogress(content);
  }
  throw new ApiError({ kind: "gone", message: T.errors.gone });
}

/** Server-sent events, each [name, content]; an "error" is thrown. */
async function* events(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let waiting = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) throw new ApiError({ kind: "gone", message: T.errors.gone });
    const whole = (waiting + value).split("\n\n");
    waiting = whole.pop();
    for (const event of whole) {
      const [, name, data] = event.match(/^event: (.*)\ndata: ([^]*)$/);
      const content = JSON.parse(data);
      if (name === "error") throw new ApiError(content);
      yield [name, content];
    }
  }
}
