/** What this device remembers: the chat, the one before it, and the chosen model. */
import { newAnswer } from "./turn.js";

/** @typedef {{id: string, title: string, messages: import("./turn.js").Message[]}} Chat */
/** @typedef {{provider: string | null, model: string | null, label: string}} Choice */

/** Browsers give about five million characters to a host; two chats must fit. */
const LONGEST = 2_000_000;

/** @returns {Chat} */
export const newChat = () => ({ id: unique(), title: "", messages: [] });

/** @returns {Chat} as it was left; an answer that was under way can be read on */
export const chat = () => valid(read("chat")) ?? newChat();

/** @returns {Chat | null} the chat before this one */
export const previous = () => valid(read("previous"));

/** @returns {Choice | null} */
export const choice = () => read("choice");

/** @param {Choice} value */
export const keepChoice = (value) => write("choice", value);

/** @param {Chat} value @returns {boolean} */
export const keepChat = (value) => write("chat", bounded(value));

/** A chat that is not before one any more: it may have become the previous one. @param {Chat} value */
export function keepWhereItIs(value) {
  if (previous()?.id === value.id) keepPrevious(value);
}

/** @param {Chat | null} value */
export const keepPrevious = (value) => write("previous", value && bounded(value));

/** @param {Chat} value @returns {Chat} with as many of the latest messages as there is room for */
function bounded(value) {
  let first = value.messages.length;
  for (let room = LONGEST; first > 0; first--) {
    const { content, reasoning = "" } = /** @type {any} */ (value.messages[first - 1]);
    room -= content.length + reasoning.length + 500;
    if (room < 0) break;
  }
  return { ...value, messages: value.messages.slice(first) };
}

/** @returns {string} 128 random bits; `crypto.randomUUID` exists only on HTTPS and localhost */
export const unique = () =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");

/** @param {any} kept @returns {Chat | null} */
function valid(kept) {
  if (!Array.isArray(kept?.messages)) return null;
  for (const message of kept.messages) {
    if (message.role !== "assistant") continue;
    Object.assign(message, { ...newAnswer(), ...message });
    const goesOn = message.turn && message === kept.messages.at(-1);
    if (message.state === "running" && !goesOn) message.state = "interrupted";
  }
  return kept;
}

/** @param {string} name @returns {any} */
function read(name) {
  try {
    return JSON.parse(localStorage.getItem(`causerie.${name}`) ?? "null");
  } catch {
    return null;
  }
}

/** @param {string} name @param {unknown} value @returns {boolean} false: storage is full or closed */
function write(name, value) {
  try {
    localStorage.setItem(`causerie.${name}`, JSON.stringify(value));
    return true;
  } catch {
    return false;
  }
}
