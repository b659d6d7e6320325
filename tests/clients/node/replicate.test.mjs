// replicate

import assert from "node:assert/strict";
import { test } from "node:test";

import Replicate from "replicate";

import { end, picture, start, url } from "./native.mjs";

const client = new Replicate({ auth: "none", baseUrl: `${url}/v1` });
const fetched = async (address) => Buffer.from(await (await fetch(address)).arrayBuffer());

for (const model of ["x0/fashion", "x0/fashion:fashion"]) {
  test(`run ${model}`, async () => {
    const input = { prompt: "sneaker", seed: 7, num_inference_steps: 10 };
    const output = await client.run(model, { input });
    assert.equal(output.length, 1);
    const same = { model: "fashion", class_label: "sneaker", seed: 7, steps: 10 };
    assert.deepEqual(await fetched(output[0]), await picture(same));
  });
}

test("run and ask again until it is finished", async () => {
  const states = [];
  const wait = { mode: "poll", interval: 50 };
  const input = { prompt: "coat", num_outputs: 2 };
  const output = await client.run("x0/fashion", { input, wait }, ({ status }) => states.push(status));
  assert.equal(output.length, 2);
  assert.equal(states.at(-1), "succeeded");
});

test("a picture to start from", async () => {
  const image = new Blob([start], { type: "image/png" });
  const input = { prompt: "a red ball", image, seed: 7, num_inference_steps: 4, prompt_strength: 0.75 };
  const output = await client.run("x0/sd15", { input });
  const same = { model: "sd15", prompt: "a red ball", seed: 7, steps: 4, strength: 0.75 };
  assert.deepEqual(await fetched(output[0]), await picture({ ...same, init_image: start.toString("base64") }));
});

test("cancel", async () => {
  const prediction = await client.predictions.create({ version: "fashion", input: { prompt: "coat", n: 8, steps: 1000 } });
  await client.predictions.cancel(prediction.id);
  assert.equal(await end(prediction.id), "cancelled");
  assert.equal((await client.predictions.get(prediction.id)).status, "canceled");
  const page = await client.predictions.list();
  assert.ok(page.results.some(({ id }) => id === prediction.id));
});

test("models are looked up", async () => {
  const model = await client.models.get("x0", "fashion");
  assert.equal(model.latest_version.id, "fashion");
  const version = await client.models.versions.get("x0", "fashion", "fashion");
  assert.equal(version.openapi_schema.components.schemas.Output.type, "array");
});

test("errors say what is wrong", async () => {
  await assert.rejects(client.run("x0/fashion", { input: { prompt: "hovercraft" } }), /hovercraft/);
  await assert.rejects(client.run("stability-ai/sdxl", { input: { prompt: "bag" } }), /no model/);
  const late = { prompt: "bag", n: 8, steps: 1000, deadline_seconds: 1 };
  await assert.rejects(client.run("x0/fashion", { input: late }), /Prediction failed: deadline_exceeded/);
});
