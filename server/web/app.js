// The page: a form, and the generation that is watched. Its id is kept in the address, so that it can be opened again.

import * as api from "./api.js";
import { Card } from "./card.js";
import { receive } from "./drop.js";
import { Form } from "./form.js";
import { ask } from "./key.js";
import { shimmer } from "./noise.js";
import { watch } from "./watch.js";

const root = document.querySelector("#form");
const cards = document.querySelector("#cards");
const status = document.querySelector("#status");

let form;
let current;
let shown = [];

/** A generation that is being watched. */
class Run {
  constructor(id) {
    this.id = id;
    this.cards = [];
    this.stop = watch(id, (name, data) => this.on(name, data));
  }

  on(name, data) {
    switch (name) {
      case "snapshot":
        return this.begin(data);
      case "queued":
        return say(waiting(data));
      case "started":
        return say("Removing noise …");
      case "step":
        return this.cards[data.index].step(data);
      case "preview":
        return this.cards[data.index].preview(data);
      case "image":
        return this.cards[data.index].finish(data);
      case "succeeded":
        return this.end([`Done in ${data.timings.running_seconds.toFixed(1)} s.`, ...data.warnings].join(" "));
      case "failed":
        form.show({ message: data.error.message });
        return this.end("It failed.");
      case "cancelled":
        return this.end("Cancelled.");
      case "gone":
        form.show(data);
        return this.end("");
      case "shutdown":
        return say(data.message);
      case "interrupted":
        return say("The connection was lost, trying again …");
    }
  }

  begin(record) {
    if (this.cards.length === 0) this.layOut(record);
    record.images.forEach((image) => this.cards[image.index].finish(image));
    say(record.state === "queued" ? waiting(record) : "Removing noise …");
  }

  layOut({ request, progress }) {
    const name = request.class_label ?? request.prompt ?? request.model;
    const { width, height, n, preview } = request;
    const card = (_, index) =>
      new Card({ index, name, width, height, steps: progress.steps / n, every: preview?.every, onSeed: reuse });
    this.cards = Array.from({ length: n }, card);
    shown.forEach((card) => card.forget());
    shown = this.cards;
    cards.replaceChildren(...this.cards.map(({ node }) => node));
    cards.classList.toggle("several", n > 1);
    // On a narrow screen the form is above, and the picture would form out of sight.
    if (cards.getBoundingClientRect().top > innerHeight / 2) cards.scrollIntoView();
    if (root.dataset.fill) form.fill(request);
    delete root.dataset.fill;
  }

  end(text) {
    this.cards.forEach((card) => card.end());
    form.busy = false;
    say(text);
  }
}

function say(text) {
  status.textContent = text;
}

function waiting({ position, eta_seconds }) {
  const eta = eta_seconds == null ? "" : `, about ${eta_seconds < 10 ? eta_seconds.toFixed(1) : Math.round(eta_seconds)} s`;
  return position ? `Waiting for ${position} before it${eta} …` : `Waiting${eta} …`;
}

function reuse(seed) {
  form.seed = seed;
  document.querySelector("#seed").focus();
}

/** Takes over the settings of a picture that was made before. */
function refill(request) {
  form.clear();
  if (form.fill(request)) say("The picture’s settings are in the form.");
  else form.show({ message: "No model of this server takes the picture’s settings." });
}

function follow(id) {
  current?.stop();
  form.clear();
  form.busy = true;
  current = new Run(id);
}

async function generate(event) {
  event.preventDefault();
  if (form.controls.generate.disabled || form.controls.generate.hidden) return;
  form.clear();
  form.controls.generate.disabled = true;
  try {
    const record = await api.create(form.request());
    history.replaceState(null, "", `#${record.id}`);
    follow(record.id);
  } catch (problem) {
    form.show(problem);
  } finally {
    form.controls.generate.disabled = false;
  }
}

async function cancel() {
  form.controls.cancel.disabled = true;
  try {
    await api.cancel(current.id);
  } catch (problem) {
    form.show(problem);
    form.controls.cancel.disabled = false;
  }
}

/** Watches the generation that the address names, if any. */
function open() {
  const id = location.hash.slice(1);
  if (!/^[0-9a-f-]{36}$/.test(id) || id === current?.id) return;
  root.dataset.fill = "yes";
  follow(id);
}

/** What the server offers. It may ask for a key before it says so. */
async function offered() {
  for (;;) {
    try {
      return await Promise.all([api.models(), api.samplers()]);
    } catch (problem) {
      if (problem.status !== 401) throw problem;
      await ask();
    }
  }
}

async function start() {
  shimmer(cards.querySelector("canvas"), () => false);
  try {
    const [models, samplers] = await offered();
    form = new Form(root, models, samplers);
  } catch (problem) {
    say(problem.message);
    return;
  }
  root.addEventListener("submit", generate);
  form.controls.cancel.addEventListener("click", cancel);
  receive(refill, (problem) => form.show(problem));
  addEventListener("hashchange", open);
  open();
}

start();
