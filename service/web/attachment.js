/** One file that goes with a question: sent, read, and then a part of a message. No elements here. */
import { discard, read, upload } from "./files.js";
import { say } from "./messages.js";
import { Refused } from "./service.js";
import { unique } from "./store.js";

/** @typedef {import("./parts.js").Part} Part */
/** @typedef {"waiting" | "sending" | "reading" | "ready" | "failed"} State */

const TOO_LARGE = 413;

export class Attachment {
  /** @type {State} */
  state = "waiting";
  /** How much of it has been sent, from 0 to 1. */
  share = 0;
  pages = 0;
  /** Why it failed, in words. */
  problem = "";
  /** Whether it failed for a reason that may be gone at the next try. */
  mayWork = false;
  /** @type {Part | null} */
  part = null;
  #bucket = unique();
  #leave = new AbortController();

  /** @param {File} file @param {(attachment: Attachment) => void} changed */
  constructor(file, changed) {
    this.file = file;
    this.changed = changed;
  }

  get pending() {
    return this.state === "waiting" || this.state === "sending" || this.state === "reading";
  }

  /** Sends it, and waits until it has been read; always leaves it `ready` or `failed`. */
  async run() {
    try {
      await this.#send();
    } catch (error) {
      if (this.#leave.signal.aborted) return;
      this.problem = inWords(error);
      this.mayWork = !(error instanceof Refused);
      this.#become("failed");
    }
  }

  /** It is not wanted any more: what runs ends, and the service forgets it. */
  drop() {
    const begun = this.state !== "waiting";
    this.#leave.abort();
    if (begun) discard(this.#bucket).catch(() => {}); // where nothing has arrived, there is nothing to forget
  }

  async #send() {
    this.#become("sending");
    const sent = (/** @type {number} */ share) => {
      this.share = share;
      this.changed(this);
    };
    const { files, media } = await upload(this.#bucket, this.file, sent, this.#leave.signal);
    if (files.length) await this.#read(files[0]);
    else if (!media.length) throw new Refused(say("unknownKind"), 0);
    else this.#become("ready", this.#part(media[0].name, media[0]));
  }

  /** @param {string} name */
  async #read(name) {
    this.#become("reading");
    const { size, pages } = await read(this.#bucket, this.#leave.signal);
    if (!size) throw new Refused(say("noText"), 0);
    this.pages = pages;
    this.#become("ready", this.#part(name));
  }

  /** A document goes by its bucket alone, which stands for its text. @returns {Part} */
  #part(/** @type {string} */ name, /** @type {Partial<Part> | null} */ medium = null) {
    const url = `/files/${this.#bucket}/media/${encodeURIComponent(name)}`;
    return { bucket_id: this.#bucket, ...medium, title: this.file.name, url };
  }

  /** @param {State} state @param {Part | null} [part] */
  #become(state, part = null) {
    this.state = state;
    this.part = part;
    this.changed(this);
  }
}

/** @param {unknown} error @returns {string} */
function inWords(error) {
  if (!(error instanceof Refused)) return say("uploadBroke");
  const isProxy = error.status === TOO_LARGE && error.message.startsWith(String(TOO_LARGE));
  return isProxy ? say("tooLarge") : error.message;
}
