// The server's API, as far as the page uses it. Addresses are relative, so that the page works under a prefix too.

import { events as read } from "./events.js";
import { key } from "./key.js";

/** What the server answers when it cannot do as asked (RFC 9457). */
export class Problem extends Error {
  constructor({ detail, title, code, errors = [] }, status) {
    super(detail ?? title ?? `The server answered ${status}.`);
    this.code = code;
    this.status = status;
    /** What is wrong with single fields: `{field, code, message}`. */
    this.errors = errors;
  }
}

/** Sends a request with the key, if there is one, and gives the answer if it is a good one. */
async function send(path, { headers, ...rest }) {
  if (key()) headers.authorization = `Bearer ${key()}`;
  let answer;
  try {
    answer = await fetch(path, { headers, ...rest });
  } catch {
    throw new Problem({ detail: "The server cannot be reached." }, 0);
  }
  if (!answer.ok) throw new Problem(await answer.json().catch(() => ({})), answer.status);
  return answer;
}

async function call(method, path, body) {
  const headers = { accept: "application/json" };
  if (body) headers["content-type"] = "application/json";
  const answer = await send(path, { method, headers, body: body && JSON.stringify(body) });
  return answer.json().catch(() => ({}));
}

export const models = async () => (await call("GET", "v1/models")).data;
export const samplers = async () => (await call("GET", "v1/samplers")).data;
export const create = (request) => call("POST", "v1/generations", request);
export const settings = (image) => call("POST", "v1/pictures/settings", { image });
export const record = (id) => call("GET", `v1/generations/${id}`);
export const cancel = (id) => call("DELETE", `v1/generations/${id}`);

/** The events of a generation after the one of the id `after`, to be read one after the other. */
export async function* events(id, after, signal) {
  const headers = { accept: "text/event-stream" };
  if (after) headers["last-event-id"] = after;
  const answer = await send(`v1/generations/${id}/events`, { headers, signal, cache: "no-store" });
  if (answer.body) yield* read(answer.body);
}

/** An address at which a finished picture can be shown: its own, or with a key one that needs none. */
export async function picture(url) {
  if (!key()) return url;
  const answer = await send(url, { headers: { accept: "image/*" } });
  return URL.createObjectURL(await answer.blob());
}
