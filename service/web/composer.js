/** Where one writes: grows with the text, sends with Enter, stops with Escape. */
import { Attachments } from "./attachments.js";
import { icon } from "./dom.js";
import { say } from "./messages.js";
import { contentOf } from "./parts.js";
import { preferences } from "./store.js";
import { readable } from "./turn.js";

const touch = matchMedia("(hover: none) and (pointer: coarse)");

export class Composer {
  /**
   * @param {HTMLFormElement} form
   * @param {object} acts
   * @param {(content: string | import("./parts.js").Part[]) => void} acts.send
   * @param {() => void} acts.stop
   * @param {(text: string) => void} acts.announce
   */
  constructor(form, acts) {
    this.acts = acts;
    this.running = false;
    this.field = /** @type {HTMLTextAreaElement} */ (form.elements.namedItem("message"));
    this.button = /** @type {HTMLButtonElement} */ (form.querySelector("#send"));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (this.running) acts.stop();
      else this.#send();
    });
    this.field.addEventListener("input", () => this.#changed());
    this.field.addEventListener("keydown", (event) => this.#pressed(event));
    this.attachments = new Attachments(form, { changed: () => this.#changed(), announce: acts.announce });
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
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    const isSent = event.ctrlKey || event.metaKey || (preferences.enterSends && !touch.matches);
    if (!isSent) return;
    event.preventDefault();
    if (!this.running) this.#send();
  }

  #send() {
    const text = readable(this.field.value).trim();
    if (this.attachments.pending) return this.acts.announce(say("notYet"));
    if (text === "" && !this.attachments.ready) return;
    this.field.value = "";
    if (touch.matches) this.field.blur();
    this.acts.send(contentOf(this.attachments.take(), text));
  }

  #changed() {
    const isEmpty = this.field.value.trim() === "" && !this.attachments.ready;
    this.button.disabled = !this.running && (isEmpty || this.attachments.pending);
    if (CSS.supports("field-sizing", "content")) return;
    this.field.style.height = "auto";
    this.field.style.height = `${this.field.scrollHeight}px`;
  }
}
