/** How one answer looks, from the first sign of life to its last word. */
import { button, copyButton, element } from "./dom.js";
import { Markup } from "./markup.js";
import { divided } from "./media.js";
import { say } from "./messages.js";
import { figures } from "./pictures.js";
import { sourcesShown } from "./sources.js";
import { SpeakButton } from "./speaking.js";
import { arrows } from "./variants.js";

/** @typedef {import("./turn.js").Answer} Answer */

const guillemets = () => ["«", "»"].map((sign) => element("b", { "aria-hidden": "true" }, sign));

export class AnswerView {
  /** @param {import("./tree.js").Node} place where it stands in its chat @param {import("./transcript.js").Acts} acts */
  constructor(place, acts) {
    const answer = /** @type {Answer} */ (place.message);
    this.place = place;
    this.answer = answer;
    this.acts = acts;
    this.heading = element("h2", { className: "unseen" });
    this.running = answer.state === "running";
    this.thinking = false;
    this.frame = 0;
    this.looks = "";
    this.patience = "";
    this.problem = "";
    this.status = element("span");
    this.waiting = element("p", { className: "waiting" }, ...guillemets(), this.status);
    this.summary = element("summary");
    this.reasoning = element("div", { className: "reasoning" });
    this.thoughts = element("details", { hidden: true }, this.summary, this.reasoning);
    this.body = element("div", { className: "markup" });
    this.said = divided("");
    this.media = element("div", { className: "media" });
    this.outcome = element("div", { className: "outcome" });
    this.sources = element("div");
    this.foot = element("footer");
    this.node = element(
      "article",
      { className: "answer" },
      ...[this.heading, this.thoughts, this.body, this.media, this.waiting, this.outcome, this.sources, this.foot],
    );
    this.markup = new Markup(this.body, acts.changed);
    this.voice = new SpeakButton(() => ({ text: this.said.text, turn: answer.turn }), (problem) => this.#tell(problem));
  }

  /** @param {import("./tree.js").Node} place @returns {boolean} whether this is how it looks */
  shows = (place) => place === this.place && place.message === this.answer;

  /** What the reader is waiting for, until something comes. @param {string} text */
  wait(text) {
    this.patience = text;
    this.updateSoon();
  }

  /** What is wrong as long as it is, whatever has come; "": nothing is. @param {string} text */
  trouble(text) {
    this.problem = text;
    this.updateSoon();
  }

  /** Shows the answer as it is now, at the next frame: tokens may come faster than a screen can show. */
  updateSoon() {
    this.frame ||= requestAnimationFrame(() => this.update());
  }

  update() {
    cancelAnimationFrame(this.frame);
    this.frame = 0;
    const { content, name, notes } = this.answer;
    this.heading.textContent = name || say("title");
    this.node.setAttribute("aria-busy", String(this.running));
    this.#wait();
    this.#think();
    this.outcome.replaceChildren(...notes.map((note) => element("p", { className: "note" }, note)));
    this.said = divided(content);
    const { text } = this.said;
    this.#picture();
    if (text !== this.markup.text) this.markup.show(text);
    if (this.running && text !== this.markup.shown) this.markup.renderSoon();
    this.acts.changed();
  }

  /** Nothing more comes. @param {boolean} last whether it is the answer that can be asked for again */
  settle(last) {
    this.running = false;
    this.update();
    this.#showOutcome(last);
    this.sources.replaceChildren(...sourcesShown(this.answer.sources));
    this.setLast(last);
  }

  /** @param {boolean} last */
  setLast(last) {
    const looks = [last, this.running, ...this.place.variants.keys()].join();
    if (looks === this.looks) return;
    this.looks = looks;
    const { state, name, tokens } = this.answer;
    const { text } = this.said;
    this.foot.replaceChildren(...arrows(this.place, this.acts.go));
    if (text !== "" && !this.running) {
      this.foot.append(copyButton(say("copy"), say("copied"), () => text, say("copyAnswer")), this.voice.node);
    }
    if (last && ["done", "stopped"].includes(state)) {
      this.foot.append(button("again", say("regenerate"), this.acts.again));
    }
    if (this.running) return;
    const facts = [name, tokens && say("tokens", { count: tokens })].filter(Boolean).join(" · ");
    if (facts) this.foot.append(element("small", {}, facts));
    this.outcome.querySelector(".acts")?.toggleAttribute("hidden", !last);
  }

  #wait() {
    const { content, reasoning } = this.answer;
    this.status.textContent = this.problem || this.patience;
    this.waiting.hidden = !this.running || (this.problem === "" && content + reasoning !== "");
  }

  /** What is there stays: a picture that is looked at, a sound that is heard. */
  #picture() {
    const { media } = this.said;
    if (media.length < this.media.children.length) this.media.replaceChildren();
    this.media.append(...figures(media.slice(this.media.children.length)));
  }

  /** What went wrong when it was read aloud. @param {string} problem */
  #tell(problem) {
    this.unspoken?.remove();
    this.unspoken = element("p", { className: "note", role: "alert" }, problem);
    if (problem) this.foot.after(this.unspoken);
  }

  /** Reasoning is open while it grows and folds away once, when the answer begins or ends. */
  #think() {
    const { reasoning, content, seconds, status } = this.answer;
    const thinking = this.running && content === "";
    this.reasoning.textContent = reasoning;
    if (reasoning === "") this.thoughts.hidden = true;
    if (reasoning === "") return;
    if (this.thoughts.hidden || (!thinking && this.thinking)) this.thoughts.open = thinking;
    this.thinking = thinking;
    this.thoughts.hidden = false;
    const past = seconds ? say("thought", { count: seconds }) : say("thoughts");
    this.summary.textContent = thinking ? status || say("thinking") : past;
  }

  #showOutcome(/** @type {boolean} */ last) {
    const { content, state, error, reason } = this.answer;
    if (error) this.outcome.append(this.#failure(error));
    else if (state === "stopped") this.#remark(say("stopped"));
    else if (state === "interrupted" || state === "abandoned") this.#remark(say(state), last);
    else if (reason === "length") this.#remark(say("cutOff"));
    else if (content === "") this.#remark(say("empty"));
  }

  #remark(/** @type {string} */ text, again = false) {
    const retry = button("again", say("retry"), this.acts.again);
    this.outcome.append(element("p", { className: "note" }, text));
    if (again) this.outcome.append(element("div", { className: "acts" }, retry));
  }

  #failure(/** @type {NonNullable<Answer["error"]>} */ { kind, message }) {
    const titles = { failed: say("failed"), auth: say("failedAuth") };
    const acts = element("div", { className: "acts" }, button("again", say("retry"), this.acts.again));
    if (kind === "auth" || kind === "failed") acts.append(button("model", say("chooseOther"), this.acts.choose));
    const failure = element("div", { className: "failure" });
    if (kind in titles) failure.append(element("strong", {}, titles[kind]));
    failure.append(element("p", {}, message || say(kind)), acts);
    return failure;
  }
}
