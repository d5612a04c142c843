/** The files that go with the next question: chosen, dropped or pasted, and shown above where one writes. */
import { Attachment } from "./attachment.js";
import { AttachmentView } from "./attachment.view.js";
import { Drops, pasted } from "./drops.js";
import { say } from "./messages.js";

/** A browser has six connections to a host for everything: chats need some of them while files are sent. */
const AT_ONCE = 2;
/** The service takes no more of them with one question. */
const MOST = 32;

export class Attachments {
  /** @type {Attachment[]} */
  #all = [];
  /** @type {Map<Attachment, AttachmentView>} */
  #views = new Map();

  /**
   * @param {HTMLFormElement} form with a list, a button and a field for files
   * @param {{changed: () => void, announce: (text: string) => void}} told
   */
  constructor(form, told) {
    this.told = told;
    this.list = /** @type {HTMLElement} */ (form.querySelector("#attachments"));
    this.button = /** @type {HTMLButtonElement} */ (form.querySelector("#attach"));
    const field = /** @type {HTMLInputElement} */ (form.querySelector("[type=file]"));
    this.button.addEventListener("click", () => field.click());
    field.addEventListener("change", () => {
      this.add(field.files ?? []);
      field.value = "";
    });
    form.addEventListener("paste", (event) => this.#paste(event));
    new Drops((files, folders) => this.#dropped(files, folders));
  }

  /** Whether there is something to send, and nothing that has yet to arrive. */
  get ready() {
    return this.#all.some(({ part }) => part) && !this.pending;
  }

  get pending() {
    return this.#all.some(({ pending }) => pending);
  }

  /** @returns {import("./parts.js").Part[]} what goes with the question that is being sent; then nothing is left */
  take() {
    const parts = this.#all.flatMap(({ part }) => part ?? []);
    for (const attachment of [...this.#all]) this.#forget(attachment);
    return parts;
  }

  /** @param {Iterable<File>} files */
  add(files) {
    for (const file of files) {
      if (this.#all.length === MOST) return this.told.announce(say("tooMany", { count: MOST }));
      this.#add(file);
    }
    this.#goOn();
  }

  /** @param {File} file */
  #add(file) {
    const attachment = new Attachment(file, () => this.#changed(attachment));
    const view = new AttachmentView(attachment, {
      remove: () => this.#remove(attachment),
      again: () => this.#again(attachment),
    });
    this.#all.push(attachment);
    this.#views.set(attachment, view);
    this.list.append(view.node);
    this.#changed(attachment);
    view.node.scrollIntoView({ block: "nearest", inline: "end" });
  }

  /** Sends those that wait, a few at a time. */
  #goOn() {
    const running = this.#all.filter(({ state, pending }) => pending && state !== "waiting").length;
    const next = this.#all.filter(({ state }) => state === "waiting").slice(0, Math.max(0, AT_ONCE - running));
    for (const attachment of next) attachment.run().finally(() => this.#goOn());
  }

  /** @param {Attachment} attachment */
  #changed(attachment) {
    const view = this.#views.get(attachment);
    if (!view) return;
    const before = view.state;
    view.update();
    this.list.hidden = this.#all.length === 0;
    this.told.changed();
    const { state, problem, file } = attachment;
    if (state === before) return;
    if (state === "ready") this.told.announce(say("attached", { name: file.name }));
    if (state === "failed") this.told.announce(say("notAttached", { name: file.name, reason: problem }));
  }

  /** @param {Attachment} attachment by hand: the one that follows is next under the hand */
  #remove(attachment) {
    const place = this.#all.indexOf(attachment);
    attachment.drop();
    this.#forget(attachment);
    this.told.announce(say("removed", { name: attachment.file.name }));
    const next = this.#all[Math.min(place, this.#all.length - 1)];
    (next ? this.#views.get(next)?.remove : this.button)?.focus();
    this.#goOn();
  }

  /** @param {Attachment} attachment that failed */
  #again({ file }) {
    const failed = this.#all.find((other) => other.file === file && other.state === "failed");
    if (failed) this.#remove(failed);
    this.add([file]);
  }

  /** @param {Attachment} attachment */
  #forget(attachment) {
    this.#views.get(attachment)?.close();
    this.#views.delete(attachment);
    this.#all = this.#all.filter((other) => other !== attachment);
    this.list.hidden = this.#all.length === 0;
    this.told.changed();
  }

  /** @param {ClipboardEvent} event */
  #paste(event) {
    const files = pasted(event.clipboardData);
    if (!files.length) return;
    event.preventDefault();
    this.add(files);
  }

  /** @param {File[]} files @param {string[]} folders */
  #dropped(files, folders) {
    this.add(files);
    if (folders.length) this.told.announce(say("noFolders", { name: folders[0] }));
    this.button.focus({ preventScroll: true });
  }
}
