/** The page: what happens when, and who is told. */
import { Chooser } from "./chooser.js";
import { Composer } from "./composer.js";
import { element, icon } from "./dom.js";
import { Follower } from "./follow.js";
import { Login } from "./login.js";
import { language, say } from "./messages.js";
import { whenNobody } from "./service.js";
import * as store from "./store.js";
import { Reading } from "./reading.js";
import { Transcript } from "./transcript.js";
import { history, newAnswer } from "./turn.js";
import { Welcome, embeddedLoads } from "./welcome.js";

/** Milliseconds between two times that a growing answer is kept on the device. */
const KEEPING = 1_000;

const find = (/** @type {string} */ selector) => /** @type {any} */ (document.querySelector(selector));

let chat = store.chat();
let choice = store.choice();
/** @type {Reading | null} the answer that is under way */
let reading = null;
let kept = 0;

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
const login = new Login(find("#login"), find("#leave"));
const chooser = new Chooser(find("#chooser"), choose);
const composer = new Composer(find("#composer"), { send: ask, stop: () => reading?.stop() });
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
  if (event.key === "Escape" && !event.isComposing && !find("dialog[open]")) reading?.stop();
});
addEventListener("pagehide", keep);

whenNobody(() => login.enter());
login.enter().catch(() => {}); // the chat itself tells that the service does not answer
showChoice();
showChat();
welcome.watch();

/** @param {string} text */
function ask(text) {
  if (reading) return;
  chat.title ||= text.slice(0, 60);
  chat.messages.push({ role: "user", content: text });
  transcript.ask(text);
  answerLast();
}

function askAgain() {
  if (reading || chat.messages.at(-1)?.role !== "assistant") return;
  chat.messages.pop();
  transcript.forget();
  answerLast();
}

/** Lets the chosen model answer what stands at the end of the chat. */
function answerLast() {
  const answer = newAnswer();
  const asked = { messages: history(chat.messages), conversation_id: chat.id, id: store.unique() };
  const question = { body: { ...target(), ...asked, on_disconnect: "wait" }, key: store.unique() };
  chat.messages.push(answer);
  const view = transcript.answer(answer);
  if (embeddedLoads(welcome.providers)) view.wait(say("embeddedWaits"));
  showTitle();
  composer.focus();
  follower.jump();
  announce(say("answering", { name: choice?.model ? choice.label : say("title") }));
  follow(view, question);
}

/** @param {import("./answer.js").AnswerView} view @param {import("./reading.js").Question | null} question */
async function follow(view, question) {
  const own = (reading = new Reading(view.answer, told(view), question));
  const asked = chat;
  composer.setRunning(true);
  await own.run();
  if (reading === own) reading = null;
  if (asked !== chat) return store.keepWhereItIs(asked);
  composer.setRunning(false);
  keep();
  view.settle(view === transcript.last);
  await view.markup.finish();
  announce(outcome(view.answer));
}

/** @param {import("./answer.js").AnswerView} view @returns {import("./reading.js").Told} */
function told(view) {
  const asked = chat;
  return {
    changed: (event) => {
      if (event.type === "title" && asked === chat) retitle(event.title);
      view.updateSoon();
      if (performance.now() - kept > KEEPING) keep();
    },
    reached: () => {
      view.trouble("");
      keep();
    },
    broke: (what) => {
      view.trouble(say(what));
      announce(say(what));
    },
  };
}

const target = () => ({ provider: choice?.provider ?? null, model: choice?.model ?? null });

/** @param {import("./turn.js").Answer} answer */
function outcome({ state, error }) {
  if (error) return error.message || say(error.kind);
  return say(state === "done" ? "answered" : state);
}

/** @param {string} text told to screen readers, once: at the beginning and the end of an answer, and when it hangs */
function announce(text) {
  if (find("#announcement").textContent !== text) find("#announcement").textContent = text;
}

function beginNewChat() {
  reading?.stop();
  if (chat.messages.length) store.keepPrevious(chat);
  changeTo(store.newChat());
}

function goBack() {
  changeTo(store.previous() ?? store.newChat());
  store.keepPrevious(null);
}

/** @param {store.Chat} other */
function changeTo(other) {
  reading = null;
  chat = other;
  composer.setRunning(false);
  keep();
  showChat();
  composer.focus();
}

function showChat() {
  showTitle();
  follower.jump();
  transcript.show(chat.messages);
  // What was being answered when the page was left is read on where it stood.
  if (transcript.last?.running) follow(transcript.last, null);
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
