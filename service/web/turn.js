/** One turn: a question goes out, events come in and are folded into the answer. No elements here. */
import { Refused, conversation } from "./service.js";

/**
 * @typedef {object} Answer
 * @property {"assistant"} role
 * @property {string} content
 * @property {string} reasoning
 * @property {string} status what the model says it is doing while it thinks
 * @property {"running" | "done" | "stopped" | "interrupted" | "failed"} state
 * @property {{kind: "failed" | "auth" | "unreachable" | "broken", message: string} | null} error
 * @property {string[]} notes
 * @property {string} name who answers
 * @property {number} tokens
 * @property {string} reason why it finished
 * @property {number} began when reasoning began, in milliseconds; 0 when it did not
 * @property {number} seconds how long it thought
 */
/** @typedef {{role: "user", content: string}} Question */
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
});

/** @type {Record<string, (answer: Answer, event: any) => void>} */
const folds = {
  provider: (answer, { provider }) => {
    answer.name = provider?.model || provider?.label || provider?.name || answer.name;
  },
  content: (answer, { content }) => {
    answer.seconds ||= answer.began && Math.max(1, Math.round((performance.now() - answer.began) / 1000));
    answer.content += content ?? "";
  },
  reasoning: (answer, { token, status }) => {
    answer.began ||= performance.now();
    answer.reasoning += token ?? "";
    answer.status = status ?? answer.status;
  },
  usage: (answer, { usage }) => {
    answer.tokens = usage?.completion_tokens ?? 0;
  },
  finish: (answer, { finish }) => {
    answer.reason = finish?.reason ?? "stop";
    answer.state = "done";
  },
  message: (answer, { message }) => {
    answer.notes.push(message);
  },
  error: (answer, { error, message }) => fail(answer, "failed", bare(message, error)),
  auth: (answer, { auth, message }) => fail(answer, "auth", bare(message, auth)),
};

/** The service writes `Class: text`; a reader needs the text. @param {string} message @param {string} name */
const bare = (message, name) => String(message ?? name).replace(`${name}: `, "");

/** @param {Answer} answer @param {any} event */
export function fold(answer, event) {
  if (Object.hasOwn(folds, event.type)) folds[event.type](answer, event);
}

/**
 * Asks, folds what comes into `answer`, and always leaves it in a state other than `running`.
 * @param {object} body @param {Answer} answer @param {AbortSignal} signal @param {(event: any) => void} changed
 */
export async function run(body, answer, signal, changed) {
  let reached = false;
  try {
    for await (const event of conversation(body, signal)) {
      reached = true;
      fold(answer, event);
      changed(event);
    }
    if (answer.state === "running") fail(answer, "broken", "");
  } catch (problem) {
    if (answer.state !== "running") return;
    if (signal.aborted) answer.state = "stopped";
    else if (problem instanceof Refused) fail(answer, "failed", problem.message);
    else fail(answer, reached ? "broken" : "unreachable", "");
  }
}

/** @param {Answer} answer @param {"failed" | "auth" | "unreachable" | "broken"} kind @param {string} message */
function fail(answer, kind, message) {
  answer.state = "failed";
  answer.error = { kind, message };
}

/** @param {Message[]} messages @returns {{role: string, content: string}[]} what the model is to read */
export const history = (messages) =>
  messages.filter(({ content }) => content !== "").map(({ role, content }) => ({ role, content }));
