// The server's API, as far as the page uses it. Addresses are relative, so that the page works under a prefix too.

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

async function call(method, path, body) {
  const headers = { accept: "application/json" };
  if (body) headers["content-type"] = "application/json";
  let answer;
  try {
    answer = await fetch(path, { method, headers, body: body && JSON.stringify(body) });
  } catch {
    throw new Problem({ detail: "The server cannot be reached." }, 0);
  }
  const json = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Problem(json, answer.status);
  return json;
}

export const models = async () => (await call("GET", "v1/models")).data;
export const samplers = async () => (await call("GET", "v1/samplers")).data;
export const create = (request) => call("POST", "v1/generations", request);
export const settings = (image) => call("POST", "v1/pictures/settings", { image });
export const record = (id) => call("GET", `v1/generations/${id}`);
export const cancel = (id) => call("DELETE", `v1/generations/${id}`);
export const events = (id) => new EventSource(`v1/generations/${id}/events`);
