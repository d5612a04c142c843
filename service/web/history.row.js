/** One chat in the side bar: its title, what goes on in it, and what can be done with it. */
import { addressOf } from "./address.js";
import { element, icon } from "./dom.js";
import { openMenu } from "./menu.js";
import { say } from "./messages.js";
import { exportAddress } from "./service.chats.js";

/** @typedef {import("./chat.js").Listed} Listed */
/**
 * @typedef {object} RowActs
 * @property {(chat: Listed) => void} open
 * @property {(chat: Listed, changes: object) => void} change
 * @property {(chat: Listed) => void} share
 * @property {(chat: Listed) => void} remove
 */
/** @typedef {{isOpen: boolean, isUnread: boolean}} Looks */

export class Row {
  /** @param {Listed} chat @param {RowActs} acts */
  constructor(chat, acts) {
    this.chat = chat;
    this.acts = acts;
    this.title = element("span", { className: "title", dir: "auto" });
    this.sign = element("span", { className: "sign" });
    this.snippet = element("small");
    this.link = element("a", { href: addressOf(chat.id) }, this.title, this.sign, this.snippet);
    this.more = element("button", { type: "button", "aria-haspopup": "menu", onclick: () => this.#menu() }, icon("more"));
    this.node = element("li", {}, this.link, this.more);
    this.link.addEventListener("click", (/** @type {MouseEvent} */ event) => this.#clicked(event));
  }

  /** @param {Listed} chat @param {Looks} looks */
  update(chat, { isOpen, isUnread }) {
    this.chat = chat;
    const name = chat.title || say("untitled");
    if (this.title.textContent !== name) this.title.textContent = name;
    this.link.title = name;
    this.more.setAttribute("aria-label", say("moreAbout", { title: name }));
    if (isOpen) this.link.setAttribute("aria-current", "page");
    else this.link.removeAttribute("aria-current");
    const sign = chat.running ? say("answersNow") : isUnread ? say("newAnswer") : "";
    this.sign.className = chat.running ? "sign running" : isUnread ? "sign unread" : "sign";
    if (this.sign.textContent !== sign) this.sign.replaceChildren(element("span", { className: "unseen" }, sign));
    const pieces = chat.snippet ?? [];
    this.snippet.replaceChildren(...pieces.map(([text, isHit]) => (isHit ? element("mark", {}, text) : text)));
  }

  /** A click that wants another tab is the browser's. @param {MouseEvent} event */
  #clicked(event) {
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    this.acts.open(this.chat);
  }

  #menu() {
    const { chat, acts } = this;
    const { starred, archived, id } = chat;
    openMenu(this.more, [
      { symbol: "pencil", label: say("rename"), act: () => this.#rename() },
      { symbol: "star", label: say(starred ? "unstar" : "star"), act: () => acts.change(chat, { starred: !starred }) },
      { symbol: "share", label: say("share"), act: () => acts.share(chat) },
      { symbol: "download", label: say("exportMarkdown"), href: exportAddress(id, "markdown") },
      { symbol: "download", label: say("exportJson"), href: exportAddress(id, "json") },
      {
        symbol: "archive",
        label: say(archived ? "unarchive" : "archive"),
        act: () => acts.change(chat, { archived: !archived }),
      },
      { symbol: "trash", label: say("delete"), act: () => acts.remove(chat), isDanger: true },
    ]);
  }

  /** The title can be written where it stands: Enter keeps it, Escape does not. */
  #rename() {
    const field = element("input", { value: this.chat.title, maxLength: 200, "aria-label": say("titleOfChat") });
    let isClosed = false;
    const close = (/** @type {boolean} */ isKept) => {
      if (isClosed) return;
      isClosed = true; // taking the field away makes it lose the focus, and tells so
      const title = field.value.trim();
      field.replaceWith(this.link);
      this.link.focus();
      if (isKept && title && title !== this.chat.title) this.acts.change(this.chat, { title });
    };
    field.addEventListener("blur", () => close(true));
    field.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      if (event.isComposing || !["Enter", "Escape"].includes(event.key)) return;
      event.stopPropagation();
      close(event.key === "Enter");
    });
    this.link.replaceWith(field);
    field.select();
  }
}
