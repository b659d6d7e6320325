// @huggingface/inference

import assert from "node:assert/strict";
import { test } from "node:test";

import { InferenceClient } from "@huggingface/inference";

import { acceptedAfter, end, lastId, picture, start, url } from "./native.mjs";

const endpoint = (model) => new InferenceClient("none", { endpointUrl: `${url}/hf/${model}` });
const bytes = async (blob) => Buffer.from(await blob.arrayBuffer());

test("text to image", async () => {
  const parameters = { seed: 7, num_inference_steps: 10, scheduler: "EulerDiscreteScheduler" };
  const blob = await endpoint("fashion").textToImage({ inputs: "sneaker", parameters });
  assert.equal(blob.type, "image/png");
  const same = { model: "fashion", class_label: "sneaker", seed: 7, steps: 10, sampler: "euler" };
  assert.deepEqual(await bytes(blob), await picture(same));
});

test("image to image", async () => {
  const inputs = new Blob([start], { type: "image/png" });
  const parameters = { prompt: "a red ball", seed: 7, num_inference_steps: 4, strength: 0.75 };
  const blob = await endpoint("sd15").imageToImage({ inputs, parameters });
  const same = { model: "sd15", prompt: "a red ball", seed: 7, steps: 4, strength: 0.75 };
  assert.deepEqual(await bytes(blob), await picture({ ...same, init_image: start.toString("base64") }));
});

test("errors say what is wrong", async () => {
  await assert.rejects(endpoint("fashion").textToImage({ inputs: "hovercraft" }), /hovercraft/);
  await assert.rejects(endpoint("nobody").textToImage({ inputs: "bag" }), /no model/);
});

test("who aborts cancels", async () => {
  const before = await lastId();
  const controller = new AbortController();
  const parameters = { num_inference_steps: 1000, guidance_scale: 3 };
  const asked = endpoint("fashion").textToImage({ inputs: "bag", parameters }, { signal: controller.signal });
  const id = await acceptedAfter(before);
  controller.abort();
  await assert.rejects(asked, { name: "AbortError" });
  assert.equal(await end(id), "cancelled");
});
