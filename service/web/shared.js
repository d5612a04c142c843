/** A shared chat, for whoever has its link: it is read as it stands, and kept up to date while somebody looks. */
import { emblem } from "./attachment.view.js";
import { element } from "./dom.js";
import { dress } from "./dress.js";
import { Markup } from "./markup.js";
import { say } from "./messages.js";
import "./media.words.js";
import "./shared.words.js";

/** Milliseconds between two questions whether the chat has changed. */
const PAUSE = 5_000;

/**
 * @typedef {object} Said
 * @property {"user" | "assistant"} role
 * @property {string | null} name
 * @property {string} text
 * @property {string | null} html null: it is no Markdown
 * @property {string} reasoning
 * @property {string[]} pictures
 * @property {string[]} files names
 * @property {"running" | "finished" | "stopped" | "failed" | "interrupted"} state
 */
/** @typedef {{title: string, updated: number, messages: Said[]}} Page */

const find = (/** @type {string} */ selector) => /** @type {any} */ (document.querySelector(selector));
const address = `/backend-api/v2/chat/${location.pathname.replace(/^\/share\//, "")}/page`;
const REMARKS = { stopped: "stopped", failed: "failed", interrupted: "interrupted" };

/** @type {number | null} */
let updated = null;
/** @type {string[]} each message that stands on the page, as JSON */
let standing = [];
let timer = 0;
let isOver = false;

dress();
document.title = `${say("sharedChat")} · ${say("title")}`;
document.addEventListener("visibilitychange", look);
look();

/** Asks at once, and then from time to time, as long as the page can be seen. */
async function look() {
  clearTimeout(timer);
  if (isOver || document.visibilityState !== "visible") return;
  timer = window.setTimeout(look, PAUSE);
  try {
    const answer = await asked();
    if (answer.status === 404 || answer.status === 400) end();
    else if (answer.ok) await show(await answer.json());
    else if (answer.status !== 304) throw new Error(answer.statusText);
    else find("#notice").textContent = standing.length ? "" : say("emptyShared");
  } catch {
    find("#notice").textContent = say("sharedUnreachable");
  }
}

/** @returns {Promise<Response>} 304: nothing has changed */
function asked() {
  const headers = updated === null ? {} : { "if-none-match": String(updated) };
  return fetch(address, { headers, cache: "no-store", credentials: "omit" });
}

/** It is not shared any more, so it does not stay on the page either. */
function end() {
  isOver = true;
  clearTimeout(timer);
  find("#title").textContent = "";
  find("#title").hidden = true;
  find("#transcript").replaceChildren();
  find("#notice").textContent = say("notShared");
  document.title = `${say("sharedChat")} · ${say("title")}`;
}

/** Messages that are as they were stay where they are: a selection in them, an open thought. @param {Page} page */
async function show(page) {
  const messages = page.messages.map((said) => JSON.stringify(said));
  const place = find("#transcript");
  let same = 0;
  while (same < messages.length && messages[same] === standing[same]) same++;
  while (place.children.length > same) place.lastElementChild.remove();
  if (updated !== null) find("#announcement").textContent = say("sharedChanged");
  [updated, standing] = [page.updated, messages];
  find("#title").textContent = page.title;
  find("#title").hidden = page.title === "";
  find("#notice").textContent = messages.length ? "" : say("emptyShared");
  document.title = `${page.title || say("sharedChat")} · ${say("title")}`;
  for (const said of page.messages.slice(same)) {
    const node = said.role === "user" ? question(said) : answer(said);
    place.append(node);
    await dressed(node.querySelector(".markup"), said);
  }
}

/** @param {Said} said @returns {HTMLElement} */
function question({ text, pictures, files }) {
  const heading = element("h2", { className: "unseen" }, say("you"));
  const said = text ? [element("p", {}, text)] : [];
  return element("article", { className: "question" }, heading, ...named(files), ...shown(pictures), ...said);
}

/** @param {Said} said @returns {HTMLElement} */
function answer({ name, text, html, reasoning, pictures, state }) {
  const parts = [element("h2", { className: "unseen" }, name || say("title"))];
  if (reasoning) {
    const thoughts = element("div", { className: "reasoning" }, reasoning);
    parts.push(element("details", {}, element("summary", {}, say("thoughts")), thoughts));
  }
  parts.push(html === null ? element("div", { className: "plain" }, text) : element("div", { className: "markup" }));
  parts.push(...shown(pictures));
  const remark = state === "running" ? "beingAnswered" : REMARKS[state];
  if (remark) parts.push(element("div", { className: "outcome" }, element("p", { className: "note" }, say(remark))));
  if (name) parts.push(element("footer", {}, element("small", {}, name)));
  return element("article", { className: "answer" }, ...parts);
}

/** @param {HTMLElement | null} place @param {Said} said the service has made its HTML, and made it safe */
async function dressed(place, { text, html }) {
  if (!place) return;
  const markup = new Markup(place, () => {}, async () => html ?? "");
  markup.text = text;
  await markup.finish();
}

/** @param {string[]} files @returns {HTMLElement[]} their names: the files are their owner's alone */
function named(files) {
  if (!files.length) return [];
  const chip = (/** @type {string} */ name) =>
    element("li", { className: "chip" }, emblem(name, ""), element("b", {}, name || say("attachedFile")));
  return [element("ul", { className: "files", "aria-label": say("attachments") }, ...files.map(chip))];
}

/** @param {string[]} pictures @returns {HTMLElement[]} */
function shown(pictures) {
  if (!pictures.length) return [];
  const images = pictures.map((src) => element("img", { src, alt: say("sharedPicture") }));
  return [element("div", { className: "pictures" }, ...images)];
}
