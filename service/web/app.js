/** The page: what happens when, and who is told. */
import { Chooser } from "./chooser.js";
import { Composer } from "./composer.js";
import { element, icon } from "./dom.js";
import { Follower } from "./follow.js";
import { language, say } from "./messages.js";
import * as store from "./store.js";
import { Transcript } from "./transcript.js";
import { history, newAnswer, run } from "./turn.js";
import { Welcome, embeddedLoads } from "./welcome.js";

/** Milliseconds between two times that a growing answer is kept on the device. */
const KEEPING = 1_000;

const find = (/** @type {string} */ selector) => /** @type {any} */ (document.querySelector(selector));

let chat = store.chat();
let choice = store.choice();
/** @type {AbortController | null} the turn that is under way */
let turn = null;
let kept = 0;
/** The browser breaks the stream of a page that is left, which is not a failure to be kept. */
let leaving = false;

document.documentElement.lang = language;
for (const node of document.querySelectorAll("[data-say]")) {
  const [key, ...attributes] = /** @type {any} */ (node).dataset.say.split(" ");
  for (const attribute of attributes) node.setAttribute(attribute, say(key));
  if (!attributes.length) node.textContent = say(key);
}
for (const node of document.querySelectorAll("[data-icon]")) {
  node.prepend(icon(/** @type {any} */ (node).dataset.icon));
}

const follower = new Follower(find("#latest"));
const chooser = new Chooser(find("#chooser"), choose);
const composer = new Composer(find("#composer"), { send: ask, stop: () => turn?.abort() });
const welcome = new Welcome(find("#welcome"), ask, goBack);
const transcript = new Transcript(find("#transcript"), {
  again: () => askAgain(),
  choose: () => openChooser(),
  changed: () => follower.changed(),
});

find("textarea").placeholder = say("placeholder");
find("#choice").addEventListener("click", openChooser);
find("#new").addEventListener("click", beginNewChat);
addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !event.isComposing && !find("#chooser").open) turn?.abort();
});
addEventListener("pagehide", () => {
  keep();
  leaving = true;
});
addEventListener("pageshow", () => {
  leaving = false;
});

showChoice();
showChat();
welcome.watch();

/** @param {string} text */
function ask(text) {
  if (turn) return;
  chat.title ||= text.slice(0, 60);
  chat.messages.push({ role: "user", content: text });
  transcript.ask(text);
  answerLast();
}

function askAgain() {
  if (turn || chat.messages.at(-1)?.role !== "assistant") return;
  chat.messages.pop();
  transcript.forget();
  answerLast();
}

/** Lets the chosen model answer what stands at the end of the chat. */
async function answerLast() {
  const own = (turn = new AbortController());
  const [asked, answer] = [chat, newAnswer()];
  const messages = history(chat.messages);
  chat.messages.push(answer);
  const view = transcript.answer(answer);
  if (embeddedLoads(welcome.providers)) view.wait(say("embeddedWaits"));
  showTitle();
  composer.setRunning(true);
  composer.focus();
  follower.jump();
  announce(say("answering", { name: choice?.model ? choice.label : say("title") }));
  const body = { ...target(), messages, conversation_id: asked.id, id: store.unique() };
  await run(body, answer, own.signal, (event) => {
    if (event.type === "title") retitle(event.title);
    view.updateSoon();
    if (performance.now() - kept > KEEPING) keep();
  });
  if (turn === own) turn = null;
  if (asked !== chat) return;
  composer.setRunning(false);
  keep();
  view.settle(view === transcript.last);
  await view.markup.finish();
  announce(outcome(answer));
}

const target = () => ({ provider: choice?.provider ?? null, model: choice?.model ?? null });

/** @param {import("./turn.js").Answer} answer */
function outcome({ state, error }) {
  if (error) return error.message || say(/** @type {"broken" | "unreachable"} */ (error.kind));
  return say(state === "stopped" ? "stopped" : "answered");
}

/** @param {string} text told to screen readers, at the beginning and the end of an answer only */
function announce(text) {
  find("#announcement").textContent = text;
}

function beginNewChat() {
  turn?.abort();
  if (chat.messages.length) store.keepPrevious(chat);
  changeTo(store.newChat());
}

function goBack() {
  changeTo(store.previous() ?? store.newChat());
  store.keepPrevious(null);
}

/** @param {store.Chat} other */
function changeTo(other) {
  turn = null;
  chat = other;
  composer.setRunning(false);
  keep();
  showChat();
  composer.focus();
}

async function showChat() {
  showTitle();
  follower.jump();
  await transcript.show(chat.messages);
}

function showTitle() {
  document.title = chat.title ? `${chat.title} · ${say("title")}` : say("title");
  welcome.show(chat.messages.length === 0, store.previous()?.title ?? "");
  find("#new").disabled = chat.messages.length === 0;
}

/** @param {string} title */
function retitle(title) {
  chat.title = title;
  showTitle();
}

function keep() {
  if (leaving) return;
  kept = performance.now();
  find("#not-kept").hidden = store.keepChat(chat);
}

async function openChooser() {
  await welcome.look();
  chooser.open(welcome.providers, choice);
}

/** @param {store.Choice} chosen */
function choose(chosen) {
  choice = chosen;
  store.keepChoice(chosen);
  showChoice();
  composer.focus();
}

function showChoice() {
  const name = choice?.label ?? say("auto");
  find("#choice").replaceChildren(element("span", {}, name), icon("down"));
  find("#choice").setAttribute("aria-label", say("chosen", { name }));
}
