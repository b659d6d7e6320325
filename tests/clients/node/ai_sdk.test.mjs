// ai with @ai-sdk/openai-compatible

import assert from "node:assert/strict";
import { test } from "node:test";

import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, generateImage } from "ai";

import { acceptedAfter, end, lastId, picture, url } from "./native.mjs";

const x0 = createOpenAICompatible({ name: "x0", baseURL: `${url}/v1` });
const model = x0.imageModel("fashion");
const maxRetries = 0;

test("pictures", async () => {
  const providerOptions = { x0: { seed: 7, steps: 10 } };
  const { images } = await generateImage({ model, prompt: "sneaker", n: 2, size: "28x28", providerOptions, maxRetries });
  assert.equal(images.length, 2);
  const native = (seed) => picture({ model: "fashion", class_label: "sneaker", seed, steps: 10 });
  assert.deepEqual(Buffer.from(images[0].uint8Array), await native(7));
});

test("errors say what is wrong", async () => {
  await assert.rejects(generateImage({ model, prompt: "hovercraft", maxRetries }), (error) => {
    assert.ok(APICallError.isInstance(error));
    assert.equal(error.statusCode, 400);
    assert.match(error.message, /hovercraft/);
    return true;
  });
});

test("who aborts cancels", async () => {
  const before = await lastId();
  const controller = new AbortController();
  const providerOptions = { x0: { steps: 1000 } };
  const asked = generateImage({ model, prompt: "bag", providerOptions, abortSignal: controller.signal, maxRetries });
  const id = await acceptedAfter(before);
  controller.abort();
  await assert.rejects(asked, { name: "AbortError" });
  assert.equal(await end(id), "cancelled");
});
