/** What a turn says, folded into an answer event by event. No elements, no network here. */
import { written } from "./media.js";

/**
 * @typedef {object} Answer
 * @property {"assistant"} role
 * @property {string} content
 * @property {string} reasoning
 * @property {string} status what the model says it is doing while it thinks
 * @property {"running" | "done" | "stopped" | "interrupted" | "abandoned" | "failed"} state
 * @property {{kind: Failure, message: string} | null} error
 * @property {string[]} notes
 * @property {string} name who answers
 * @property {number} tokens
 * @property {string} reason why it finished
 * @property {number} began when reasoning began, in milliseconds since 1970; 0 when it did not
 * @property {number} seconds how long it thought
 * @property {string} turn the id by which the rest can be read
 * @property {string} last the id of the last event that was read
 * @property {import("./sources.js").Source[] | null} sources the passages of documents that it may rest on
 */
/** @typedef {"failed" | "auth" | "unreachable" | "broken" | "gone"} Failure */
/** @typedef {import("./stream.js").Event} Event */
/** @typedef {Record<string, any>} Part a piece of a question: text, or what was uploaded */
/** @typedef {{role: "user", content: string | Part[]}} Question */
/** @typedef {Question | Answer} Message */

/** @returns {Answer} */
export const newAnswer = () => ({
  role: "assistant",
  content: "",
  reasoning: "",
  status: "",
  state: "running",
  error: null,
  notes: [],
  name: "",
  tokens: 0,
  reason: "",
  began: 0,
  seconds: 0,
  turn: "",
  last: "",
  sources: null,
});

/** @type {Record<string, Answer["state"]>} what has become of an answer that was not simply finished */
const ENDINGS = { stopped: "stopped", interrupted: "interrupted", abandoned: "abandoned" };

/** @type {Record<string, (answer: Answer, event: any) => void>} */
const folds = {
  reset: (answer) => {
    const { turn, name, began, seconds } = answer;
    Object.assign(answer, { ...newAnswer(), turn, name, began, seconds });
  },
  provider: (answer, { provider }) => {
    answer.name = provider?.model || provider?.label || provider?.name || answer.name;
  },
  content: (answer, { content, urls, alt }) => {
    answer.seconds ||= answer.began && Math.max(1, Math.round((Date.now() - answer.began) / 1000));
    answer.content += readable(content || written(urls ?? [], alt ?? ""));
  },
  reasoning: (answer, { token, status }) => {
    answer.began ||= Date.now();
    answer.reasoning += token ?? "";
    answer.status = status ?? answer.status;
  },
  usage: (answer, { usage }) => {
    answer.tokens = usage?.completion_tokens ?? 0;
    conclude(answer);
  },
  finish: (answer, { finish }) => {
    answer.reason = finish?.reason ?? "stop";
  },
  sources: (answer, { sources }) => {
    answer.sources = sources;
  },
  message: (answer, { message }) => {
    answer.notes.push(message);
  },
  error: (answer, { error, message }) => fail(answer, "failed", bare(message, error)),
  auth: (answer, { auth, message }) => fail(answer, "auth", bare(message, auth)),
};

/** The service writes `Class: text`; a reader needs the text. @param {string} message @param {string} name */
const bare = (message, name) => String(message ?? name).replace(`${name}: `, "");

/** As the service keeps it: a chat in which somebody has said NUL could not go on. @param {string} text */
export const readable = (text) => text.replaceAll("\0", "\ufffd");

/**
 * Takes an event and remembers that it was read, in one step: what is kept of an answer is never ahead of, nor
 * behind, the place from which it is read on.
 * @param {Answer} answer @param {string} id "" when it has none @param {Event} event
 */
export function fold(answer, id, event) {
  if (Object.hasOwn(folds, event.type ?? "")) folds[event.type ?? ""](answer, event);
  if (id) answer.last = id;
}

/** Nothing follows: its reason says what has become of it. @param {Answer} answer */
export function conclude(answer) {
  if (answer.state === "running") answer.state = ENDINGS[answer.reason] ?? "done";
}

/** @param {Answer} answer @param {Failure} kind @param {string} [message] the service's own words */
export function fail(answer, kind, message = "") {
  answer.state = "failed";
  answer.error = { kind, message };
}

/** @param {Message[]} messages @returns {{role: string, content: string | Part[]}[]} what the model is to read */
export const history = (messages) =>
  messages.filter(({ content }) => content.length).map(({ role, content }) => ({ role, content }));
