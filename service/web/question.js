/** How one question looks, and how it is changed. */
import { filesShown } from "./attached.js";
import { textOf } from "./chat.js";
import { button, copyButton, element } from "./dom.js";
import { say } from "./messages.js";
import { readable } from "./turn.js";
import { arrows } from "./variants.js";

/** @typedef {import("./tree.js").Node} Node */
/** @typedef {import("./turn.js").Question} Question */

export class QuestionView {
  /** @param {Node} place where it stands in its chat @param {import("./transcript.js").Acts} acts */
  constructor(place, acts) {
    this.place = place;
    this.acts = acts;
    this.question = /** @type {Question} */ (place.message);
    this.text = textOf(this.question.content);
    this.words = element("p", { hidden: this.text === "" }, this.text);
    this.foot = element("footer");
    const heading = element("h2", { className: "unseen" }, say("you"));
    this.node = element("article", { className: "question" }, heading, ...filesShown(this.question.content), this.words, this.foot);
    this.setLast();
  }

  /** @param {Node} place @returns {boolean} whether this is how it looks */
  shows = (place) => place === this.place && place.message === this.question;

  /** Shows anew what can be done from here: there may be another variant. */
  setLast() {
    const { length } = this.place.variants;
    if (this.foot.dataset.variants === String(length)) return;
    this.foot.dataset.variants = String(length);
    const copy = copyButton(say("copy"), say("copied"), () => this.text, say("copyQuestion"));
    const edit = button("pencil", say("edit"), () => this.edit());
    this.foot.replaceChildren(...arrows(this.place, this.acts.go), copy, edit);
  }

  edit() {
    const field = element("textarea", { value: this.text, rows: 1, "aria-label": say("editQuestion") });
    const form = element("form", { className: "edited" }, field);
    const close = () => {
      form.replaceWith(this.words);
      this.foot.hidden = false;
      this.foot.querySelector("button:last-child")?.focus();
    };
    const send = element("button", { className: "primary" }, say("send"));
    form.append(element("div", { className: "acts" }, button("close", say("cancel"), close), send));
    form.addEventListener("submit", (/** @type {Event} */ event) => this.#send(event, field.value, close));
    field.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => pressed(event, form, close));
    this.foot.hidden = true;
    this.words.replaceWith(form);
    field.focus();
  }

  /** @param {Event} event @param {string} written @param {() => void} close */
  #send(event, written, close) {
    event.preventDefault();
    const text = readable(written).trim();
    if (text === "") return;
    close();
    this.acts.edit(this.place, rewritten(this.question.content, text));
  }
}

/** @param {KeyboardEvent} event @param {HTMLFormElement} form @param {() => void} close */
function pressed(event, form, close) {
  if (event.isComposing) return;
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  else if (event.key === "Escape") close();
  else return;
  event.preventDefault();
  event.stopPropagation();
}

/** @param {Question["content"]} content @param {string} text @returns {Question["content"]} with other words */
function rewritten(content, text) {
  if (typeof content === "string") return text;
  return [...content.filter((part) => part.text === undefined), { type: "text", text }];
}
