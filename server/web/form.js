// The form: from what the server offers to a request, and from a problem to the fields that it names.

import { element } from "./element.js";

const PREVIEWS = 12;
/** Fields of a request that change the picture and that the form has no control for. */
const UNSEEN = ["prompt_syntax", "variation", "highres", "noise_source", "clip_skip", "guidance_rescale", "timestep_spacing", "eta", "noise_schedule"];

/** Controls that do not change the picture. The model is chosen before the others are filled in. */
const APART = ["model", "n", "preview.every"];

export class Form {
  /** `models` and `samplers` are as the server lists them. */
  constructor(root, models, samplers) {
    this.root = root;
    this.models = new Map(models.map((model) => [model.id, model]));
    this.samplers = new Map(samplers.map((sampler) => [sampler.name, sampler]));
    this.controls = root.elements;

    this.controls.model.replaceChildren(...options(models.map(({ id }) => id)));
    const first = models.find((model) => model.default);
    if (first) this.controls.model.value = first.id;
    this.controls.model.addEventListener("change", () => this.#showModel());
    root.querySelector("#kept button").addEventListener("click", () => this.#keep({}));
    this.controls.sampler.addEventListener("change", () => this.#showOptions());
    root.addEventListener("input", ({ target }) => this.#forgive(target));
    root.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) root.requestSubmit();
    });
    this.#showModel();
  }

  /** What is filled in, as the body of `POST /v1/generations`. Blank fields are left to the server's defaults. */
  request() {
    const request = { ...this.kept };
    for (const control of this.#visible()) {
      const value = read(control);
      if (value === undefined) continue;
      const [name, inner] = control.name.split(".");
      if (inner) request[name] = { ...request[name], [inner]: value };
      else request[name] = value;
    }
    const steps = request.steps ?? this.model.defaults.steps;
    request.preview ??= { every: Math.max(1, Math.floor(steps / PREVIEWS) || 1) };
    return request;
  }

  /**
   * Fills in a request that was made before, as its record or its picture tells it. What it does not say is left to the defaults. False if
   * there is no model that takes it; then the form stays as it is.
   */
  fill(request) {
    const model = this.#modelFor(request);
    if (!model) return false;
    this.controls.model.value = model.id;
    this.#showModel();
    put(this.controls.sampler, request.sampler);
    this.#showOptions();
    const seen = this.#visible();
    for (const control of seen) {
      if (!APART.includes(control.name)) put(control, request[control.name]);
    }
    const said = (name) => request[name] && request[name] !== "default";
    const unseen = UNSEEN.filter((name) => said(name) && !seen.some((control) => control.name === name));
    this.#keep(Object.fromEntries(unseen.map((name) => [name, request[name]])));
    return true;
  }

  /** The model that a request names, or the default for what it gives if it names none that is here. */
  #modelFor(request) {
    const named = this.models.get(request.model);
    if (named) return named;
    const models = [...this.models.values()];
    const ofKind = (kind) => models.find((model) => model.default && model.kind === kind);
    if (request.prompt != null) return ofKind("text_to_image");
    if (request.class_label != null) return ofKind("class_conditional");
    return this.model;
  }

  /** Goes on asking for what the form does not show, until it is told not to. */
  #keep(fields) {
    this.kept = fields;
    const box = this.root.querySelector("#kept");
    box.hidden = Object.keys(fields).length === 0;
    box.querySelector("output").value = JSON.stringify(fields).slice(1, -1).replaceAll('"', "").replaceAll(",", ", ");
  }

  set seed(seed) {
    this.controls.seed.value = seed;
  }

  get model() {
    return this.models.get(this.controls.model.value);
  }

  /** While a generation is under way it can be cancelled, and no other begun. */
  set busy(busy) {
    this.controls.generate.hidden = busy;
    this.controls.cancel.hidden = !busy;
    this.controls.cancel.disabled = false;
  }

  /** Says what is wrong: beside the fields that the problem names, and below the form for the rest. */
  show(problem) {
    this.clear();
    const rest = [];
    let first;
    for (const { field, message } of problem.errors ?? []) {
      const control = this.#visible().find(({ name }) => name === field);
      if (!control) {
        rest.push(field ? `${field}: ${message}` : message);
        continue;
      }
      first ??= control;
      const error = element("p", { className: "error", id: `${control.id}-error` }, message);
      control.setAttribute("aria-invalid", "true");
      control.setAttribute("aria-describedby", error.id);
      control.closest(".field").append(error);
    }
    if (!problem.errors?.length) rest.push(problem.message);
    const box = this.root.querySelector("#problem");
    box.textContent = rest.join(" ");
    box.hidden = rest.length === 0;
    if (first) {
      first.closest("details")?.setAttribute("open", "");
      first.focus();
    }
  }

  clear() {
    for (const control of this.controls) this.#forgive(control);
    this.root.querySelector("#problem").hidden = true;
  }

  #visible() {
    return [...this.controls].filter((control) => control.name && !control.disabled && !control.closest("[hidden]"));
  }

  #forgive(control) {
    if (!control.hasAttribute("aria-invalid")) return;
    control.removeAttribute("aria-invalid");
    control.removeAttribute("aria-describedby");
    control.closest(".field").querySelector(".error")?.remove();
  }

  #showModel() {
    const { model, controls } = this;
    for (const field of this.root.querySelectorAll("[data-kind]")) field.hidden = field.dataset.kind !== model.kind;
    controls.class_label.replaceChildren(...options(model.classes));
    if (model.classes.includes(model.examples[0])) controls.class_label.value = model.examples[0];
    controls.prompt.placeholder = model.examples[0] ?? "";
    this.root.querySelector("#examples").replaceChildren(...model.examples.map((text) => this.#example(text)));

    this.#keep({});
    controls.steps.placeholder = model.defaults.steps;
    controls.guidance_scale.placeholder = model.defaults.guidance_scale;
    this.root.querySelector("#guidance").hidden = !model.guidable;
    this.root.querySelector("#size").hidden = model.size.fixed;
    for (const side of ["width", "height"]) {
      controls[side].placeholder = model.size[`default_${side}`];
      controls[side].step = model.size.multiple;
    }
    const standard = new Option(`the model’s (${model.defaults.sampler})`, "");
    controls.sampler.replaceChildren(standard, ...options([...this.samplers.keys()]));
    this.#showOptions();
    this.clear();
  }

  #example(text) {
    const chip = element("button", { type: "button", className: "chip" }, text);
    chip.addEventListener("click", () => {
      this.controls.prompt.value = text;
      this.#forgive(this.controls.prompt);
    });
    return chip;
  }

  /** One field for each of the request's fields that the chosen sampler reads. */
  #showOptions() {
    const sampler = this.samplers.get(this.controls.sampler.value || this.model.defaults.sampler);
    const fields = (sampler?.options ?? []).map(({ name, kind, values }) => {
      const words = name.replaceAll("_", " ");
      const label = element("label", { htmlFor: name }, words[0].toUpperCase() + words.slice(1));
      const control = kind === "choice" ? choice(name, values) : number(name);
      return element("div", { className: "field" }, label, control);
    });
    this.root.querySelector("#options").replaceChildren(...fields);
  }
}

function options(values) {
  return values.map((value) => new Option(value, value));
}

function choice(name, values) {
  const others = options(values.filter((value) => value !== "default"));
  return element("select", { id: name, name }, new Option("default", ""), ...others);
}

function number(name) {
  return element("input", { id: name, name, type: "number", step: "any", "data-type": "number", placeholder: "default" });
}

/** Sets a control, or empties it where there is no value. A choice that lacks the value gets its first, which is the default. */
function put(control, value) {
  control.value = value ?? "";
  if (control.selectedIndex === -1) control.selectedIndex = 0;
}

function read(control) {
  const text = control.value.trim();
  if (text === "") return undefined;
  switch (control.dataset.type) {
    case "number":
      return Number(text);
    case "seed":
      // JavaScript's numbers are exact up to 15 digits. The server reads longer seeds from strings.
      return /^\d{1,15}$/.test(text) ? Number(text) : text;
    default:
      return control.value;
  }
}
