// The server's own interface, to compare with.

import { readFile } from "node:fs/promises";

export const url = process.env.X0_URL;

/** The file that a request gives. */
export async function picture(request) {
  const answer = await fetch(`${url}/v1/generations`, {
    method: "POST",
    headers: { accept: "image/png", "content-type": "application/json" },
    body: JSON.stringify(request),
  });
  if (!answer.ok) throw new Error(await answer.text());
  return Buffer.from(await answer.arrayBuffer());
}

/** Follows the events of a generation to their end, and gives the name of the last. */
export async function end(id) {
  const answer = await fetch(`${url}/v1/generations/${id}/events`);
  return (await answer.text()).match(/^event: (.*)$/gm).pop().slice("event: ".length);
}

/** The generation that was accepted last. */
export async function lastId() {
  return (await (await fetch(`${url}/v1/generations?limit=1`)).json()).data[0].id;
}

/** Waits until a generation was accepted after the one of this id. */
export async function acceptedAfter(id) {
  for (;;) {
    const last = await lastId();
    if (last !== id) return last;
  }
}

/** A picture of 64 x 64 pixels to start from. */
export const start = await readFile(new URL("../../../model/tests/data/sd15/init.png", import.meta.url));
