/** The side bar: what was talked about, day by day, and a field to look for it. On a telephone it is a drawer. */
import { dayOf } from "./history.days.js";
import { Row } from "./history.row.js";
import { element } from "./dom.js";
import { say } from "./messages.js";
import { prefer, preferences } from "./store.js";

/** @typedef {import("./history.js").History} History */
/** @typedef {import("./chat.js").Listed} Listed */
/** @typedef {{label: string, chats: Listed[]}} Group */

/** Milliseconds after the last letter until it is looked for. */
const TYPING = 200;

const narrow = matchMedia("(max-width: 60rem)");
const find = (/** @type {string} */ selector) => /** @type {any} */ (document.querySelector(selector));

export class SideBar {
  /** @type {Map<string, Row>} */
  #rows = new Map();
  #order = "";
  #timer = 0;
  /** @type {History | null} */
  #history = null;

  /** @param {HTMLElement} place @param {import("./history.row.js").RowActs} acts */
  constructor(place, acts) {
    this.place = place;
    this.acts = { ...acts, open: (/** @type {Listed} */ chat) => (this.close(), acts.open(chat)) };
    this.list = /** @type {HTMLElement} */ (place.querySelector("#chats"));
    this.search = /** @type {HTMLInputElement} */ (place.querySelector("#search"));
    this.search.addEventListener("input", () => this.#look());
    this.search.addEventListener("keydown", (event) => event.key === "Escape" && this.#clear(event));
    this.list.addEventListener("keydown", (event) => this.#pressed(event));
    this.#openAndClose();
    this.end = element("p", { className: "note" });
    new IntersectionObserver(([{ isIntersecting }]) => isIntersecting && this.#history?.more().catch(() => {}), {
      root: this.list,
      rootMargin: "300px",
    }).observe(this.end);
  }

  get isOpen() {
    return narrow.matches && this.place.classList.contains("open");
  }

  toggle() {
    if (narrow.matches) return this.isOpen ? this.close() : this.#open();
    prefer({ folded: !preferences.folded });
    this.#fold();
    find(preferences.folded ? "#unfold" : "#fold").focus();
  }

  close() {
    if (!this.isOpen) return;
    this.#setOpen(false);
    find("#unfold").focus();
  }

  /** Goes to the field in which one looks for a chat. */
  seek() {
    if (narrow.matches) this.#open();
    else if (preferences.folded) this.toggle();
    this.search.select();
    this.search.focus();
  }

  /** @param {History} history */
  show(history) {
    this.#history = history;
    const groups = grouped(history);
    const order = JSON.stringify(groups.map(({ label, chats }) => [label, chats.map(({ id }) => id)]));
    if (order !== this.#order) this.#arrange(groups);
    this.#order = order;
    for (const chat of groups.flatMap(({ chats }) => chats)) {
      const looks = { isOpen: chat.id === history.opened(), isUnread: history.unread.has(chat.id) };
      this.#rows.get(chat.id)?.update(chat, looks);
    }
    this.end.textContent = said(history);
  }

  /** @param {Group[]} groups */
  #arrange(groups) {
    const before = this.#rows;
    const focused = /** @type {HTMLElement | null} */ (document.activeElement);
    const row = (/** @type {Listed} */ chat) => before.get(chat.id) ?? new Row(chat, this.acts);
    this.#rows = new Map(groups.flatMap(({ chats }) => chats.map((chat) => [chat.id, row(chat)])));
    const rows = (/** @type {Listed[]} */ chats) => chats.map(({ id }) => /** @type {Row} */ (this.#rows.get(id)).node);
    const sections = groups.map(({ label, chats }) =>
      element("section", { "aria-label": label }, element("h3", {}, label), element("ul", {}, ...rows(chats))),
    );
    this.list.replaceChildren(...sections, this.end);
    if (focused?.isConnected && focused !== document.activeElement) focused.focus({ preventScroll: true });
  }

  #look() {
    clearTimeout(this.#timer);
    this.#timer = window.setTimeout(() => this.#history?.show({ query: this.search.value.trim() }), TYPING);
  }

  /** @param {KeyboardEvent} event */
  #clear(event) {
    if (this.search.value === "") return;
    event.preventDefault();
    event.stopPropagation();
    this.search.value = "";
    this.#look();
  }

  /** The arrows lead from chat to chat. @param {KeyboardEvent} event */
  #pressed(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const links = /** @type {HTMLElement[]} */ ([...this.list.querySelectorAll("li > a")]);
    const now = links.indexOf(/** @type {HTMLElement} */ (document.activeElement));
    if (!step || now < 0) return;
    event.preventDefault();
    (links[now + step] ?? (step < 0 ? this.search : links[now])).focus();
  }

  #openAndClose() {
    for (const id of ["#fold", "#unfold"]) find(id).addEventListener("click", () => this.toggle());
    find("#curtain").addEventListener("click", () => this.close());
    this.search.addEventListener("keydown", (event) => {
      const first = /** @type {HTMLElement | null} */ (this.list.querySelector("li > a"));
      if (event.key === "ArrowDown" && first) {
        event.preventDefault();
        first.focus();
      }
    });
    narrow.addEventListener("change", () => this.#setOpen(false));
    this.#fold();
    this.#setOpen(false);
  }

  #open() {
    this.#setOpen(true);
    find("#fold").focus();
  }

  #fold() {
    document.body.classList.toggle("folded", preferences.folded);
    this.#tell();
  }

  /** @param {boolean} isOpen as a drawer: then nothing else can be reached */
  #setOpen(isOpen) {
    this.place.classList.toggle("open", isOpen);
    find("#curtain").hidden = !isOpen;
    for (const node of document.querySelectorAll("body > header, main, #bottom")) node.toggleAttribute("inert", isOpen);
    this.#tell();
  }

  #tell() {
    const isShown = narrow.matches ? this.isOpen : !preferences.folded;
    for (const id of ["#fold", "#unfold"]) find(id).setAttribute("aria-expanded", String(isShown));
  }
}

/** @param {History} history @returns {Group[]} */
function grouped({ starred, chats, query, isArchive }) {
  if (query) return chats.length ? [{ label: say("found"), chats }] : [];
  /** @type {Map<string, Listed[]>} */
  const days = new Map(starred.length && !isArchive ? [[say("starred"), starred]] : []);
  for (const chat of chats) {
    const day = dayOf(chat.updated);
    days.set(day, [...(days.get(day) ?? []), chat]);
  }
  return Array.from(days, ([label, chats]) => ({ label, chats }));
}

/** @param {History} history @returns {string} what stands below the chats */
function said({ isWrong, query, isArchive, starred, chats, goesOn }) {
  if (isWrong) return say("chatsFailed");
  if (goesOn) return say("loadingChats");
  if (starred.length + chats.length) return "";
  return say(query ? "noneFound" : isArchive ? "noneArchived" : "noChats");
}
