// openai

import assert from "node:assert/strict";
import { test } from "node:test";

import OpenAI, { toFile } from "openai";

import { end, picture, start, url } from "./native.mjs";

const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "none", maxRetries: 0 });

test("models are listed", async () => {
  const ids = (await client.models.list()).data.map((model) => model.id);
  assert.ok(ids.includes("fashion"));
});

test("a class is a prompt", async () => {
  const answer = await client.images.generate({ model: "fashion", prompt: "sneaker", seed: 7 });
  const file = Buffer.from(answer.data[0].b64_json, "base64");
  assert.deepEqual(file, await picture({ model: "fashion", class_label: "sneaker", seed: 7 }));
});

test("a stream shows the picture form", async () => {
  const request = { model: "fashion", prompt: "coat", stream: true, partial_images: 2, seed: 7 };
  const events = [];
  for await (const event of await client.images.generate(request)) events.push(event);
  const types = events.map((event) => event.type);
  const partial = "image_generation.partial_image";
  assert.deepEqual(types, [partial, partial, "image_generation.completed"]);
  assert.deepEqual(events.slice(0, 2).map((event) => event.partial_image_index), [0, 1]);
  assert.ok(events[0].sigma > events[1].sigma && events[0].step < events[1].step);
  const file = Buffer.from(events[2].b64_json, "base64");
  assert.deepEqual(file, await picture({ model: "fashion", class_label: "coat", seed: 7 }));
});

test("a picture is edited", async () => {
  const image = await toFile(start, "start.png", { type: "image/png" });
  const fields = { model: "sd15", prompt: "a red ball", seed: 7, steps: 4, strength: 0.75 };
  const answer = await client.images.edit({ image, ...fields });
  const file = Buffer.from(answer.data[0].b64_json, "base64");
  assert.deepEqual(file, await picture({ init_image: start.toString("base64"), ...fields }));
});

test("who aborts cancels", async () => {
  const long = { model: "fashion", prompt: "dress", stream: true, partial_images: 3, steps: 1000, n: 4 };
  const stream = await client.images.generate(long);
  let id;
  for await (const event of stream) {
    id = event.generation_id;
    stream.controller.abort();
  }
  assert.equal(await end(id), "cancelled");
});

test("errors have their classes", async () => {
  await assert.rejects(client.images.generate({ model: "fashion", prompt: "hovercraft" }), (error) => {
    assert.ok(error instanceof OpenAI.BadRequestError);
    assert.deepEqual([error.param, error.code, error.type], ["prompt", "unsupported_value", "invalid_request_error"]);
    assert.ok(error.requestID);
    return true;
  });
  await assert.rejects(client.images.generate({ model: "dall-e-3", prompt: "bag" }), OpenAI.NotFoundError);
});

test("a failure ends the stream with an error", async () => {
  const late = { model: "fashion", prompt: "shirt", stream: true, steps: 1000, n: 8, deadline_seconds: 1 };
  await assert.rejects(async () => {
    for await (const event of await client.images.generate(late)) assert.fail(event.type);
  }, { code: "deadline_exceeded" });
});
