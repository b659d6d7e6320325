// The predictions of one image, from the first to the last step, and the finished picture at their end.

import { element } from "./element.js";

export class Film {
  /** `marks` are the steps at which predictions will come; `onPick(frame)` is called when one is chosen, with `null` when let go. */
  constructor(label, marks, onPick) {
    this.onPick = onPick;
    this.picked = null;
    this.frames = new Map([...marks, "end"].map((mark) => [mark, this.#frame(mark)]));
    const buttons = [...this.frames.values()].map(({ button }) => button);
    this.node = element("div", { className: "film", role: "group", "aria-label": label }, ...buttons);
    this.node.addEventListener("keydown", (event) => this.#move(event));
  }

  /** A prediction or the finished picture has come. Returns its frame. */
  put(mark, src, caption) {
    const frame = this.frames.get(mark);
    if (!frame) return null;
    frame.src = src;
    frame.caption = caption;
    frame.button.replaceChildren(element("img", { src, alt: "" }));
    frame.button.disabled = false;
    frame.button.title = caption;
    frame.button.setAttribute("aria-label", caption);
    if (![...this.frames.values()].some(({ button }) => button.tabIndex === 0)) frame.button.tabIndex = 0;
    return frame;
  }

  #frame(mark) {
    const text = mark === "end" ? "x₀" : String(mark);
    const button = element("button", { type: "button", disabled: true, tabIndex: -1, "aria-pressed": "false" }, text);
    const frame = { button, src: null, caption: "" };
    if (mark === "end") button.classList.add("end");
    button.addEventListener("click", () => this.#pick(this.picked === frame ? null : frame));
    return frame;
  }

  #pick(frame) {
    this.picked = frame;
    for (const other of this.frames.values()) other.button.setAttribute("aria-pressed", String(other === frame));
    this.onPick(frame);
  }

  /** The arrow keys go from frame to frame; the film is one stop of the tab key. */
  #move(event) {
    const come = [...this.frames.values()].filter(({ src }) => src);
    const at = come.findIndex(({ button }) => button === document.activeElement);
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: come.length - 1 }[event.key];
    const frame = come[to];
    if (at < 0 || to === undefined || !frame) return;
    event.preventDefault();
    come[at].button.tabIndex = -1;
    frame.button.tabIndex = 0;
    frame.button.focus();
    this.#pick(frame);
  }
}
