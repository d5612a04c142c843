/** One chat: its tree, the path that is shown, and how it is to be answered. No elements, no network here. */
import { filesOf, titleOf as nameOf } from "./parts.js";
import { unique } from "./store.js";
import { Node, Tree } from "./tree.js";
import { history, newAnswer } from "./turn.js";

/** @typedef {import("./turn.js").Answer} Answer */
/** @typedef {import("./turn.js").Message} Message */
/**
 * @typedef {object} Settings how a chat is answered; what is missing is left to the service
 * @property {string | null} [provider]
 * @property {string | null} [model]
 * @property {string} [label] the model's name
 * @property {string} [system] what the model is told before everything else
 * @property {{temperature?: number, top_p?: number, max_tokens?: number, reasoning_effort?: string}} [parameters]
 */
/**
 * @typedef {object} Listed a chat as it stands in a list
 * @property {string} id
 * @property {string} title
 * @property {number} created in milliseconds since 1970
 * @property {number} updated
 * @property {boolean} starred
 * @property {boolean} archived
 * @property {string | null} share the id under which it is shared
 * @property {string | null} running the id of the turn that answers just now
 * @property {[string, boolean][]} [snippet] where it was found: pieces of text, and whether they were looked for
 * @property {number} [message] the number of the message that was found
 */

/** Longer titles of our own would be cut in the list anyway. */
const LONGEST_TITLE = 60;

const SHOWN = new Set(["user", "assistant"]);

export class Chat {
  /** @param {{id?: string, isPrivate?: boolean}} [how] a private chat is kept nowhere, and has no address */
  constructor({ id = unique(), isPrivate = false } = {}) {
    this.id = id;
    this.isPrivate = isPrivate;
    this.isKept = false;
    this.title = "";
    this.updated = 0;
    /** @type {string | null} */
    this.share = null;
    /** @type {Settings} */
    this.settings = {};
    this.tree = new Tree();
    this.leaf = this.tree.root;
  }

  /** Takes what the service has of this chat. @param {any} told @param {(message: Message) => boolean} [isOurs] */
  take(told, isOurs) {
    const isFirst = !this.isKept;
    Object.assign(this, { isKept: true, title: told.title, updated: told.updated, share: told.share });
    this.tree.merge(shownOf(told.tree), isOurs);
    if (isFirst && !this.leaf.parent) this.settings = told.settings ?? {};
    if (!this.leaf.parent) this.leaf = (this.tree.node(told.leaf) ?? this.tree.root).end;
    else this.leaf = this.leaf.end;
  }

  /** @returns {Node[]} what is shown */
  get path() {
    return this.leaf.path;
  }

  /** @param {Message} message @returns {Node} the message, below that which is shown last */
  say(message) {
    this.title ||= titleOf(message.content).slice(0, LONGEST_TITLE);
    this.leaf = this.leaf.add(message);
    return this.leaf;
  }

  /** @returns {{role: string, content: any}[]} what the model is to read: all but the answer that is to come */
  get asked() {
    const { system } = this.settings;
    const said = history(this.path.map(({ message }) => message));
    return system?.trim() ? [{ role: "system", content: system }, ...said] : said;
  }
}

/** @param {any} content of a question @returns {string} its words, or the first of its files */
const titleOf = (content) => textOf(content).trim() || filesOf(content).map(nameOf)[0] || "";

/** @param {any} content text or parts of a message @returns {string} its words */
export function textOf(content) {
  if (typeof content === "string") return content;
  return (content ?? []).map((/** @type {any} */ { text }) => text ?? "").filter(Boolean).join("\n");
}

/** Questions and answers; what stands between them, such as instructions, is passed over. @param {any[]} told */
function shownOf(told) {
  const passed = new Map(told.filter(({ role }) => !SHOWN.has(role)).map(({ id, parent }) => [id, parent]));
  const above = (/** @type {number | null} */ parent) => {
    while (parent !== null && passed.has(parent)) parent = passed.get(parent);
    return parent;
  };
  const shown = told.filter(({ id }) => !passed.has(id));
  return shown.map((said) => ({ number: said.id, parent: above(said.parent), message: messageOf(said) }));
}

/** @type {Record<string, Answer["state"]>} what the service calls states */
const STATES = { finished: "done", running: "running", stopped: "stopped", failed: "failed" };

/** @param {any} said a message as the service has it @returns {Message} */
function messageOf({ role, content, reasoning, turn, model, provider, state, finish, error, usage, sources }) {
  if (role === "user") return { role, content };
  const answer = { ...newAnswer(), content: textOf(content), reasoning: reasoning ?? "", turn: turn ?? "" };
  const name = model ?? provider ?? "";
  const isLost = state === "running" && !turn;
  return Object.assign(answer, {
    ...{ name, sources, reason: finish ?? "", tokens: usage?.completion_tokens ?? 0 },
    state: isLost ? "interrupted" : (STATES[state] ?? "interrupted"),
    error: error ? { kind: "failed", message: error } : null,
  });
}
