/** Media as one sees them: in an answer, and a picture large, in a dialog. */
import { element, icon } from "./dom.js";
import { say } from "./messages.js";
import { isHere } from "./media.js";
import { titleOf } from "./parts.js";

/** @typedef {import("./media.js").Medium} Medium */

/** @type {WeakMap<Element, Medium>} what each picture's button opens */
const opened = new WeakMap();

/** Pixels of a small picture's longer side, at most: the service makes them so. */
const SMALL = 400;
/** How long that side is on the page. */
const SHOWN = 400;

/** @param {Medium} medium @returns {string} a name to save it by */
const fileName = ({ url, kind }) => (url.startsWith("data:") ? kind : titleOf({ url }));

/** @param {Medium[]} media @returns {HTMLElement[]} */
export const figures = (media) => media.map(figure);

/** @param {Medium} medium @returns {HTMLElement} */
function figure(medium) {
  if (!isHere(medium.url)) return elsewhere(medium);
  const { kind, url, alt } = medium;
  const seen =
    kind === "image"
      ? pictureButton(medium, element("p", { className: "note" }, say("pictureGone")))
      : element(kind, { src: url, controls: true, preload: "metadata", "aria-label": alt || say(kind) });
  return element("figure", { className: kind }, seen, element("figcaption", {}, saving(medium)));
}

/** @param {Medium} medium @returns {HTMLAnchorElement} */
function saving(medium) {
  const name = fileName(medium);
  const label = `${say("download")}: ${medium.alt || name}`;
  return element(
    "a",
    { className: "save", href: medium.url, download: name, "aria-label": label },
    icon("download"),
    say("download"),
  );
}

/** Another host would learn who looks, and when: it is asked when somebody wants that. @param {Medium} medium */
function elsewhere({ url, alt }) {
  const isAddress = /^https?:\/\//.test(url) && URL.canParse(url);
  const label = alt || say("picture");
  if (!isAddress) return element("p", { className: "note" }, label);
  const host = new URL(url).host;
  const link = element(
    "a",
    { href: url, target: "_blank", rel: "noopener noreferrer nofollow" },
    say("elsewhere", { host }),
  );
  return element("p", { className: "elsewhere" }, `${label} — `, link);
}

/**
 * A picture that opens when it is pressed.
 * @param {Medium} medium @param {HTMLElement} instead what stands in its place when it is gone
 * @param {number} [longest] pixels of its longer side on the page
 * @returns {HTMLButtonElement}
 */
export function pictureButton(medium, instead, longest = SHOWN) {
  const { url, small, alt, width = 0, height = 0 } = medium;
  const image = element("img", { alt, loading: "lazy", decoding: "async" });
  if (width && height) {
    const scale = Math.min(1, longest / Math.max(width, height));
    Object.assign(image, { width: Math.round(width * scale), height: Math.round(height * scale) });
    const smaller = Math.min(width, Math.round((SMALL * width) / Math.max(width, height)));
    image.srcset = `${small} ${smaller}w, ${url} ${width}w`;
    image.sizes = `${image.width}px`;
  }
  image.src = small;
  const made = element(
    "button",
    { type: "button", className: "picture", "aria-label": say("enlarge", { name: alt }) },
    image,
  );
  image.addEventListener("error", () => made.replaceWith(instead));
  opened.set(made, medium);
  return made;
}

/** Opens pictures, wherever on the page they are, and leads from one to the next. */
export class PictureDialog {
  constructor() {
    const dialog = (this.dialog = element("dialog", { id: "picture", "aria-label": say("picture") }));
    /** @type {Element[]} all pictures of the chat, and which of them is open */
    this.buttons = [];
    this.place = 0;
    this.image = element("img");
    this.caption = element("p");
    this.back = this.#step("left", say("previousPicture"), -1);
    this.next = this.#step("right", say("nextPicture"), 1);
    this.save = element("a", { className: "save" }, icon("download"), element("span", {}, say("download")));
    const close = element("button", { type: "button", onclick: () => dialog.close() }, icon("close"));
    close.setAttribute("aria-label", say("close"));
    const head = element("header", {}, this.caption, this.save, close);
    document.body.append(dialog);
    dialog.append(head, element("div", { className: "stage" }, this.image), this.back, this.next);
    dialog.addEventListener("click", (event) => this.#clicked(event));
    dialog.addEventListener("keydown", ({ key }) => this.#turn({ ArrowLeft: -1, ArrowRight: 1 }[key] ?? 0));
    dialog.addEventListener("close", () => this.image.removeAttribute("src"));
    document.addEventListener("click", ({ target }) => {
      const button = /** @type {Element} */ (target).closest("button.picture");
      if (button) this.#open(button);
    });
  }

  #step(/** @type {string} */ symbol, /** @type {string} */ label, /** @type {number} */ step) {
    const made = element(
      "button",
      { type: "button", className: symbol, onclick: () => this.#turn(step) },
      icon(symbol),
    );
    made.setAttribute("aria-label", label);
    return made;
  }

  /** @param {Element} button */
  #open(button) {
    this.buttons = [...document.querySelectorAll("button.picture")];
    this.place = this.buttons.indexOf(button);
    this.#show();
    this.dialog.showModal();
  }

  #show() {
    const { place, buttons } = this;
    const medium = /** @type {Medium} */ (opened.get(buttons[place]));
    this.image.src = medium.url;
    this.image.alt = medium.alt;
    this.caption.textContent = medium.alt;
    this.save.href = medium.url;
    this.save.download = fileName(medium);
    this.back.disabled = place === 0;
    this.next.disabled = place === buttons.length - 1;
    this.back.hidden = this.next.hidden = buttons.length === 1;
  }

  #turn(/** @type {number} */ step) {
    const { place, buttons } = this;
    if (!step || !buttons[place + step]) return;
    this.place = place + step;
    this.#show();
  }

  /** Beside the picture, a click closes. @param {MouseEvent} event */
  #clicked({ target }) {
    if (target === this.dialog || /** @type {Element} */ (target).matches(".stage")) this.dialog.close();
  }
}
