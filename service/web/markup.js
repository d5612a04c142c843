/** Shows Markdown that grows: the service renders it, this file puts the result in its place. */
import { copyButton, element } from "./dom.js";
import { say } from "./messages.js";
import { boundary } from "./sections.js";
import { rendered } from "./service.js";

/** Milliseconds between two renderings of a growing text; a slow service is asked more rarely. */
const PAUSE = 300;

/** Until it is rendered, what begins another block would only show its marks. */
const NEXT_BLOCK = /\n\s*\n|\n(?=\s*(?:[-*+>#|]|\d+[.)]|```|~~~))/;
const FENCE = /\n(?=\s*(?:```|~~~))/;

/** Characters of a long text that are shown before they are rendered: as many as a screen has room for. */
const AHEAD = 6_000;

export class Markup {
  /**
   * @param {HTMLElement} place @param {() => void} changed called when the place looks different
   * @param {(text: string) => Promise<string>} [render] from who has the HTML already
   */
  constructor(place, changed, render = rendered) {
    this.place = place;
    this.changed = changed;
    this.render = render;
    this.text = "";
    this.shown = "";
    /** @type {string[]} the source of each block that stands in `place` */
    this.blocks = [];
    this.tail = element("span", { className: "tail" });
    /** How much of the text, and how many of the blocks, no later text changes any more. */
    this.settled = { text: 0, blocks: 0 };
    this.plain = true;
    this.failed = false;
    this.finished = false;
    this.timer = 0;
    /** @type {Promise<void> | null} */
    this.busy = null;
  }

  /** The text so far: what is new stands at the end as it is, until it is rendered. @param {string} text */
  show(text) {
    this.text = text;
    this.#showTail();
  }

  renderSoon() {
    if (!this.busy && !this.timer) this.#wait(PAUSE);
  }

  /** Renders the whole text, after which nothing comes. @returns {Promise<void>} */
  async finish() {
    this.finished = true;
    clearTimeout(this.timer);
    await this.busy;
    this.failed = false;
    while (this.shown !== this.text && !this.failed) await this.#render();
    if (this.shown === this.text) this.tail.remove();
    for (const scroller of this.place.querySelectorAll("pre, .table")) seen.observe(scroller);
  }

  /** @param {number} pause */
  #wait(pause) {
    this.timer = window.setTimeout(() => {
      this.timer = 0;
      if (this.text !== this.shown) this.#render();
    }, pause);
  }

  #render() {
    this.busy = this.#renderOnce().finally(() => (this.busy = null));
    return this.busy;
  }

  async #renderOnce() {
    const { text, settled } = this;
    const end = this.render === rendered ? boundary(text, settled.text) : text.length;
    const started = performance.now();
    try {
      this.#replaceFrom(await this.render(text.slice(settled.text, end)));
      this.shown = text.slice(0, end);
      if (end < text.length) this.#settle();
      this.plain = this.failed = false;
    } catch {
      // The words matter more than their looks: they stay as plain text, and the next call tries again.
      this.plain = this.failed = true;
    }
    this.#showTail();
    if (!this.finished) this.#wait(Math.max(PAUSE, 4 * (performance.now() - started)));
  }

  /** What is shown stays: what follows in a long text is rendered by itself. */
  #settle() {
    const blocks = Array.from(this.place.children).slice(this.settled.blocks);
    this.place.append(element("div", { className: "part" }, ...blocks));
    this.settled = { text: this.shown.length, blocks: this.place.children.length };
    this.blocks = [];
  }

  /** Blocks that did not change stay as they are: a selection in them, a scrolled table, a focused button. */
  #replaceFrom(/** @type {string} */ html) {
    const fresh = element("template", { innerHTML: html }).content;
    const blocks = Array.from(fresh.children, (block) => block.outerHTML);
    let same = 0;
    while (same < blocks.length && blocks[same] === this.blocks[same]) same++;
    this.tail.remove();
    while (this.place.children.length > this.settled.blocks + same) this.place.lastElementChild?.remove();
    this.place.append(...Array.from(fresh.children).slice(same).map(dressed));
    this.blocks = blocks;
  }

  #showTail() {
    const end = lastLine(this.place);
    const inCode = end.matches("code");
    const rest = this.text.slice((inCode ? this.shown : this.shown.trimEnd()).length);
    const ahead = this.failed ? rest : rest.slice(0, AHEAD);
    this.tail.textContent = this.plain ? ahead : ahead.split(inCode ? FENCE : NEXT_BLOCK)[0];
    if (this.tail.parentNode !== end) end.append(this.tail);
    this.changed();
  }
}

/** @param {Element} place @returns {Element} the innermost block at the end of it */
function lastLine(place) {
  let end = place;
  while (end.lastElementChild?.matches("p, ul, ol, li, blockquote, figure, pre, pre > code, h3, h4, h5, h6")) {
    end = end.lastElementChild;
  }
  return end;
}

/** @param {Element} block @returns {Element} the block, with what a reader needs around code and tables */
function dressed(block) {
  for (const pre of block.matches("pre") ? [block] : block.querySelectorAll("pre")) {
    const figure = codeFigure(/** @type {HTMLElement} */ (pre));
    if (pre === block) block = figure;
  }
  for (const table of block.matches("table") ? [block] : block.querySelectorAll("table")) {
    const frame = element("div", { className: "table", role: "group", "aria-label": say("table") });
    table.replaceWith(frame);
    frame.append(table);
    if (table === block) block = frame;
  }
  return block;
}

/** @param {HTMLElement} pre */
function codeFigure(pre) {
  const name = /^language-(.+)$/.exec(pre.querySelector("code")?.className ?? "")?.[1] ?? "";
  const copy = copyButton(say("copy"), say("copied"), () => pre.textContent ?? "", say("copyCode"));
  const figure = element("figure", { className: "code" });
  pre.replaceWith(figure);
  figure.append(element("figcaption", {}, element("span", {}, name), copy), pre);
  return figure;
}

/** Whoever asks how wide something is out of sight has it laid out: one waits until it is seen. */
const seen = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (!isIntersecting) continue;
    seen.unobserve(target);
    reachable(target);
    sized.observe(target);
  }
});
const sized = new ResizeObserver((entries) => entries.forEach(({ target }) => reachable(target)));

/** What is wider than the column must be reachable by keyboard, and only that. @param {Element} scroller */
function reachable(scroller) {
  const named = scroller.matches("pre") ? { role: "group", "aria-label": say("code") } : {};
  const isWider = scroller.scrollWidth > scroller.clientWidth;
  for (const [name, value] of Object.entries({ tabindex: "0", ...named })) {
    if (isWider) scroller.setAttribute(name, value);
    else scroller.removeAttribute(name);
  }
}
