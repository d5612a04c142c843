/** The open chat: what is asked in it, the answers that are read, and which of its variants are shown. */
import { Chat } from "./chat.js";
import { say } from "./messages.js";
import { Reading } from "./reading.js";
import * as service from "./service.chats.js";
import { choice, unique } from "./store.js";
import { newAnswer } from "./turn.js";

/** @typedef {import("./tree.js").Node} Node */
/** @typedef {import("./turn.js").Answer} Answer */
/** @typedef {import("./turn.js").Question["content"]} Content */
/**
 * @typedef {object} Watched who wants to know
 * @property {() => void} shown something else is shown, or can be done
 * @property {(answer: Answer) => void} begun an answer begins
 * @property {() => void} kept the service has something new
 * @property {(text: string) => void} announce screen readers are to say it
 * @property {(text: string) => void} notice it stands in the place of the chat, until there is something else
 */

/** @param {{isPrivate?: boolean}} [how] @returns {Chat} answered by the model that was chosen last */
export function newChat(how) {
  const made = new Chat(how);
  made.settings = { ...choice() };
  return made;
}

export class Conversation {
  chat = newChat();
  /** @type {Map<unknown, Reading>} the answers of the chat that are being read */
  #readings = new Map();

  /** @param {import("./transcript.js").Transcript} transcript @param {Watched} watched */
  constructor(transcript, watched) {
    this.transcript = transcript;
    this.watched = watched;
  }

  /** @returns {boolean} the answer that is shown last has not ended */
  get isRunning() {
    return this.transcript.last?.running ?? false;
  }

  /** @param {Content} content */
  ask(content) {
    if (this.isRunning) return;
    this.chat.say({ role: "user", content });
    this.#answer();
  }

  /** What was asked there before stays, as a variant. @param {Node} place @param {Content} content */
  edit(place, content) {
    const said = JSON.stringify(content);
    const same = place.variants.find(({ message }) => JSON.stringify(message.content) === said);
    this.chat.leaf = same ?? /** @type {Node} */ (place.parent);
    if (!same) this.chat.say({ role: "user", content });
    this.#answer();
  }

  /** Asks for another answer; one that the service has never heard of need not be kept. */
  again() {
    const { leaf } = this.chat;
    if (this.isRunning || leaf.message?.role !== "assistant") return;
    const asked = (this.chat.leaf = /** @type {Node} */ (leaf.parent));
    if (!leaf.message.turn) asked.children.splice(asked.children.indexOf(leaf), 1);
    this.#answer();
  }

  stop() {
    const { last } = this.transcript;
    if (last) this.#readings.get(last.answer)?.stop();
  }

  /** Answers of the chat that is left go on; those of a private one end with it. @param {Chat} other */
  async open(other) {
    for (const reading of this.#readings.values()) this.chat.isPrivate ? reading.stop() : reading.leave();
    this.#readings.clear();
    this.chat = other;
    this.watched.notice("");
    this.draw();
  }

  /** Reads the chat from the service, which may have heard of it on another device. */
  async load() {
    const asked = this.chat;
    if (!asked.isKept) this.watched.notice(say("loadingChat"));
    try {
      const told = await service.chat(asked.id);
      if (asked !== this.chat) return;
      asked.take(told, (message) => this.#readings.has(message));
      this.watched.notice("");
      this.draw();
    } catch (error) {
      const { status, message: reason } = /** @type {any} */ (error);
      const isNew = asked !== this.chat || asked.leaf.parent;
      if (!isNew) this.watched.notice(status === 404 ? say("chatGone") : say("chatFailed", { reason }));
    }
  }

  /** The service's list has this of the open chat. @param {import("./chat.js").Listed} listed */
  refresh({ title, share, updated }) {
    Object.assign(this.chat, { title: title || this.chat.title, share });
    this.watched.shown();
    if (updated > this.chat.updated && !this.#readings.size) this.load();
  }

  /** Shows a message, on whichever branch it is. @param {number} number */
  reveal(number) {
    const node = this.chat.tree.node(number);
    if (!node) return;
    if (!this.chat.path.includes(node)) this.chat.leaf = node.end;
    this.draw();
    this.transcript.reveal(node);
  }

  /** @param {Node} variant */
  go(variant) {
    const { id, isPrivate } = this.chat;
    const { number } = (this.chat.leaf = variant.end);
    this.draw();
    this.transcript.focusArrow(variant);
    if (number !== null && !isPrivate) this.#keep(id, { leaf: number });
  }

  /** @param {import("./chat.js").Settings} settings */
  keepSettings(settings) {
    this.chat.settings = settings;
    if (this.chat.isKept) this.#keep(this.chat.id, { settings });
    this.watched.shown();
  }

  draw() {
    this.transcript.show(this.chat.path);
    const { last } = this.transcript;
    // What is being answered, whoever asked, is read on where it stands.
    if (last?.running && !this.#readings.has(last.answer)) this.#follow(last.answer, null);
    this.watched.shown();
  }

  /** Lets the chosen model answer what stands at the end of the chat. */
  #answer() {
    const { id, isPrivate, settings, asked: messages } = this.chat;
    const { provider = null, model = null, parameters } = settings;
    const held = { conversation_id: isPrivate ? null : id, on_disconnect: isPrivate ? "wait" : "detach" };
    const answer = newAnswer();
    this.chat.say(answer);
    this.#follow(answer, {
      body: { ...parameters, ...held, provider, model, messages, id: unique() },
      key: unique(),
    });
    this.draw();
    this.watched.begun(answer);
  }

  /** @param {Answer} answer @param {import("./reading.js").Question | null} question null: it was asked before */
  async #follow(answer, question) {
    const { chat } = this;
    const reading = new Reading(answer, this.#told(chat, answer), question);
    this.#readings.set(answer, reading);
    await reading.run();
    this.#readings.delete(answer);
    if (question && answer.turn) this.#begun(chat);
    if (answer.state !== "running") await this.#settle(answer); // else it was left, and can be come back to
    this.watched.kept();
  }

  /** The service has a chat since its first answer was settled. @param {Chat} chat */
  #begun(chat) {
    if (chat.isPrivate || chat.isKept) return;
    chat.isKept = true;
    if (Object.keys(chat.settings).length) this.#keep(chat.id, { settings: chat.settings });
  }

  /** @param {Answer} answer */
  async #settle(answer) {
    const view = this.transcript.viewOf(answer);
    if (!view) return;
    view.settle(view === this.transcript.last);
    this.watched.shown();
    await view.markup.finish();
    this.watched.announce(outcome(answer));
  }

  /** @param {Chat} chat @param {Answer} answer @returns {import("./reading.js").Told} */
  #told(chat, answer) {
    const view = () => this.transcript.viewOf(answer);
    return {
      changed: (event) => {
        if (event.type === "title") chat.title = event.title;
        if (event.type === "title" && chat === this.chat) this.watched.shown();
        view()?.updateSoon();
      },
      reached: () => {
        view()?.trouble("");
        this.watched.kept();
      },
      broke: (what) => {
        view()?.trouble(say(what));
        this.watched.announce(say(what));
      },
    };
  }

  /** @param {string} id @param {object} changes */
  async #keep(id, changes) {
    try {
      await service.change(id, changes);
    } catch (error) {
      this.watched.announce(say("notChanged", { reason: /** @type {Error} */ (error).message }));
    }
  }
}

/** @param {Answer} answer */
function outcome({ state, error }) {
  if (error) return error.message || say(error.kind);
  return say(state === "done" ? "answered" : state);
}
