/** Where one writes: grows with the text, sends with Enter, stops with Escape. */
import { icon } from "./dom.js";
import { say } from "./messages.js";

const touch = matchMedia("(hover: none) and (pointer: coarse)");

export class Composer {
  /** @param {HTMLFormElement} form @param {{send: (text: string) => void, stop: () => void}} acts */
  constructor(form, acts) {
    this.acts = acts;
    this.running = false;
    this.field = /** @type {HTMLTextAreaElement} */ (form.elements.namedItem("message"));
    this.button = /** @type {HTMLButtonElement} */ (form.querySelector("button"));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (this.running) acts.stop();
      else this.#send();
    });
    this.field.addEventListener("input", () => this.#changed());
    this.field.addEventListener("keydown", (event) => this.#pressed(event));
    this.setRunning(false);
  }

  /** @param {boolean} running whether an answer is under way, and the button stops it */
  setRunning(running) {
    this.running = running;
    this.button.replaceChildren(icon(running ? "stop" : "send"));
    this.button.setAttribute("aria-label", say(running ? "stop" : "send"));
    this.button.title = say(running ? "stop" : "send");
    this.#changed();
  }

  focus() {
    if (!touch.matches) this.field.focus();
  }

  /** @param {KeyboardEvent} event */
  #pressed(event) {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing || touch.matches) return;
    event.preventDefault();
    if (!this.running) this.#send();
  }

  #send() {
    const text = this.field.value.trim();
    if (text === "") return;
    this.field.value = "";
    if (touch.matches) this.field.blur();
    this.acts.send(text);
  }

  #changed() {
    this.button.disabled = !this.running && this.field.value.trim() === "";
    if (CSS.supports("field-sizing", "content")) return;
    this.field.style.height = "auto";
    this.field.style.height = `${this.field.scrollHeight}px`;
  }
}
