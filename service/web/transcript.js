/** The chat as it stands on the page: questions and answers, the welcome when there are none. */
import { AnswerView } from "./answer.js";
import { element } from "./dom.js";
import { say } from "./messages.js";

/** @typedef {import("./turn.js").Message} Message */

export class Transcript {
  /** @param {HTMLElement} place @param {import("./answer.js").Acts} acts */
  constructor(place, acts) {
    this.place = place;
    this.acts = acts;
    /** @type {AnswerView | null} */
    this.last = null;
  }

  /** Shows a whole chat at once; the latest answers, which are in sight, are rendered first. @param {Message[]} messages */
  async show(messages) {
    this.place.replaceChildren();
    this.last = null;
    /** @type {AnswerView[]} */
    const views = [];
    for (const message of messages) {
      if (message.role === "user") this.ask(message.content);
      else views.unshift(this.answer(message));
    }
    const settled = views.filter((view) => !view.running);
    for (const view of settled) view.settle(view === this.last);
    for (const view of settled) {
      if (view.node.isConnected) await view.markup.finish();
    }
  }

  /** @param {string} text */
  ask(text) {
    const heading = element("h2", { className: "unseen" }, say("you"));
    this.place.append(element("article", { className: "question" }, heading, element("p", {}, text)));
  }

  /** @param {import("./turn.js").Answer} answer @returns {AnswerView} */
  answer(answer) {
    this.last?.setLast(false);
    this.last = new AnswerView(answer, this.acts);
    this.place.append(this.last.node);
    this.last.update();
    return this.last;
  }

  /** Takes the last answer away, to make room for another. */
  forget() {
    this.last?.node.remove();
    this.last = null;
  }
}
