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

/** An explanation, by server-sent events: `onprogress` hears of every block of steps; gives the result. */
export async function explain(film, wish, onprogress, signal) {
  const answer = await ask("POST", `/films/${film}/explanations`, { json: wish, signal });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let waiting = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) throw new ApiError({ kind: "gone", message: T.errors.gone });
    const events = (waiting + value).split("\n\n");
    waiting = events.pop();
    for (const event of events) {
      const [, name, data] = event.match(/^event: (.*)\ndata: ([^]*)$/);
      const content = JSON.parse(data);
      if (name === "result") return content;
      if (name === "error") throw new ApiError(content);
      onprogress(content);
    }
  }
}
