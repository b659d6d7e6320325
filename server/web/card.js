// One image being made: its newest prediction in large, how far it is, and its film.

import { picture } from "./api.js";
import { element } from "./element.js";
import { Film } from "./film.js";
import { shimmer } from "./noise.js";

const NOISE_SIDE = 48;
/** Pictures up to this size are shown with sharp pixels. */
const PIXEL_ART = 160;

export class Card {
  /** `steps` is what this image needs; a prediction comes after every `every` of them. `onSeed(seed)` is called to use a seed again. */
  constructor({ index, name, width, height, steps, every, onSeed }) {
    Object.assign(this, { name, onSeed });
    this.latest = null;
    this.waiting = true;

    const scale = NOISE_SIDE / Math.max(width, height, NOISE_SIDE);
    this.noise = element("canvas", { width: width * scale, height: height * scale, "aria-hidden": "true" });
    this.picture = element("img", { alt: "", hidden: true });
    this.picture.classList.toggle("pixels", Math.max(width, height) <= PIXEL_ART);
    const screen = element("div", { className: "screen" }, this.noise, this.picture);
    screen.style.setProperty("--ratio", `${width} / ${height}`);

    this.bar = element("progress", { max: steps, value: 0, "aria-label": `Progress of image ${index + 1}` });
    const marks = every ? Array.from({ length: Math.floor(steps / every) }, (_, i) => (i + 1) * every) : [];
    this.film = new Film(`Predictions of image ${index + 1}`, marks, (frame) => this.#look(frame));
    this.caption = element("span", { className: "numbers" }, "noise");
    this.result = element("span", { className: "result" });
    this.node = element(
      "figure",
      { className: "card", "aria-label": `Image ${index + 1}` },
      screen,
      this.bar,
      this.film.node,
      element("figcaption", {}, this.caption, this.result),
    );
    shimmer(this.noise, () => this.waiting && this.node.isConnected);
  }

  step(step) {
    this.bar.value = step.step;
    if (!this.film.picked && !this.latest) this.caption.textContent = describe(step);
  }

  preview(preview) {
    const src = `data:image/${preview.format};base64,${preview.b64}`;
    this.#show(this.film.put(preview.step, src, describe(preview)) ?? { src, caption: describe(preview) });
  }

  /** The finished image, as its record tells it. */
  finish({ url, seed, format }) {
    if (this.finished) return;
    this.finished = true;
    this.bar.value = this.bar.max;
    picture(url).then(
      (src) => this.#hold(src, seed, format),
      (problem) => (this.result.textContent = problem.message),
    );
  }

  #hold(src, seed, format) {
    this.src = src;
    this.#show(this.film.put("end", src, "finished"));
    const again = element("button", { type: "button", className: "link" }, "Use this seed");
    again.addEventListener("click", () => this.onSeed(seed));
    const file = `${this.name}-${seed}.${format}`.replace(/[^\w.-]+/g, "-");
    const download = element("a", { href: src, download: file }, "Download");
    this.result.replaceChildren("seed ", element("output", {}, String(seed)), again, download);
  }

  /** Nothing more will come. */
  end() {
    this.waiting = false;
    this.node.classList.toggle("unfinished", !this.finished);
  }

  /** The card is not shown any more. */
  forget() {
    if (this.src?.startsWith("blob:")) URL.revokeObjectURL(this.src);
  }

  #show(frame) {
    this.latest = frame;
    if (!this.film.picked) this.#look(null);
  }

  #look(picked) {
    const frame = picked ?? this.latest;
    this.waiting = false;
    this.noise.hidden = true;
    this.picture.hidden = false;
    this.picture.src = frame.src;
    this.picture.alt = `${this.name}, ${frame.caption}`;
    this.caption.textContent = frame.caption;
  }
}

function describe({ step, steps, timestep, sigma }) {
  return `step ${step} of ${steps} · timestep ${Math.round(timestep)} · σ ${sigma.toPrecision(3)}`;
}
