/** Which chats there are: read page by page, looked at again and again, and searched. No elements here. */
import * as service from "./service.chats.js";

/** @typedef {import("./chat.js").Listed} Listed */

/** Milliseconds between two looks at the newest chats, while one is being answered, and while none is. */
const BUSY = 3_000;
const IDLE = 15_000;

const PAGE = 50;
const STARRED = 100;

export class History {
  /** @type {Listed[]} */
  starred = [];
  /** @type {Listed[]} the newest first */
  chats = [];
  /** @type {Set<string>} ids of chats that were answered while another one was read */
  unread = new Set();
  query = "";
  isArchive = false;
  isWrong = false;
  /** @type {string | null} */
  #next = null;
  /** @type {Set<string>} */
  #running = new Set();
  #timer = 0;
  #asked = new AbortController();
  /** Tells the other tabs of this browser. */
  #channel = new BroadcastChannel("causerie.chats");

  /** @param {(history: History) => void} changed @param {() => string} opened the id of the open chat */
  constructor(changed, opened) {
    this.changed = changed;
    this.opened = opened;
    this.#channel.onmessage = () => this.refresh();
    addEventListener("focus", () => this.refresh());
    document.addEventListener("visibilitychange", () => document.hidden || this.refresh());
  }

  /** @returns {boolean} there are older ones */
  get goesOn() {
    return this.#next !== null;
  }

  /** @param {string} id @returns {Listed | undefined} */
  find = (id) => [...this.starred, ...this.chats].find((chat) => chat.id === id);

  /** This chat is about to be answered: it will be seen soon. @param {string} id */
  expect(id) {
    this.#running.add(id);
  }

  /** Looks again, and tells the other tabs that there is something to see. */
  tell() {
    this.#channel.postMessage("changed");
    return this.refresh();
  }

  /** @param {{query?: string, isArchive?: boolean}} wanted */
  show({ query = "", isArchive = this.isArchive }) {
    Object.assign(this, { query, isArchive, chats: [], starred: [] });
    this.#next = null;
    return this.refresh();
  }

  async refresh() {
    clearTimeout(this.#timer);
    this.#asked.abort();
    const asked = (this.#asked = new AbortController());
    try {
      const [starred, newest] = await this.#read(asked.signal);
      this.#take(starred.chats, newest);
    } catch {
      if (asked.signal.aborted) return;
      this.isWrong = true;
    }
    this.changed(this);
    this.#lookAgain();
  }

  async more() {
    if (!this.#next) return;
    const before = this.#next;
    const { chats, next } = await service.chats({ ...this.#wanted(), before });
    if (before !== this.#next) return;
    this.#next = next;
    const known = new Set(this.chats.map(({ id }) => id));
    this.chats.push(...chats.filter(({ id, starred }) => !known.has(id) && (this.#isPlain || !starred)));
    this.changed(this);
  }

  /** What was looked for, and archived chats, are one list, without the starred ones above it. */
  get #isPlain() {
    return this.query !== "" || this.isArchive;
  }

  /** @returns {service.Wanted} */
  #wanted() {
    return this.query ? { q: this.query, limit: PAGE } : { archived: this.isArchive, limit: PAGE };
  }

  /** @param {AbortSignal} signal */
  #read(signal) {
    const starred = this.#isPlain ? { chats: [] } : service.chats({ starred: true, archived: false, limit: STARRED }, signal);
    return Promise.all([starred, service.chats(this.#wanted(), signal)]);
  }

  /** @param {Listed[]} starred @param {{chats: Listed[], next: string | null}} newest */
  #take(starred, { chats, next }) {
    const last = chats.at(-1)?.updated ?? 0;
    const fresh = new Set(chats.map(({ id }) => id));
    const older = next === null ? [] : this.chats.filter(({ id, updated }) => updated < last && !fresh.has(id));
    this.isWrong = false;
    this.starred = starred;
    this.chats = [...chats.filter((chat) => this.#isPlain || !chat.starred), ...older];
    if (!older.length) this.#next = next;
    this.#notice([...starred, ...chats]);
  }

  /** @param {Listed[]} seen */
  #notice(seen) {
    for (const { id, running } of seen) {
      if (running) this.#running.add(id);
      else if (this.#running.delete(id)) this.unread.add(id);
    }
    this.unread.delete(this.opened());
  }

  #lookAgain() {
    const look = () => (document.hidden ? this.#lookAgain() : this.refresh());
    this.#timer = window.setTimeout(look, this.#running.size ? BUSY : IDLE);
  }
}
