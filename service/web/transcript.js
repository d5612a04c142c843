/** The chat as it stands on the page: the questions and answers of one path through its tree. */
import { AnswerView } from "./answer.js";
import { QuestionView } from "./question.js";

/** @typedef {import("./tree.js").Node} Node */
/** @typedef {import("./turn.js").Message} Message */
/**
 * @typedef {object} Acts what a reader can do from here
 * @property {() => void} again asks for another answer
 * @property {() => void} choose looks for another model
 * @property {() => void} changed something looks different
 * @property {(place: Node, content: import("./turn.js").Question["content"]) => void} edit asks something else there
 * @property {(variant: Node) => void} go shows another variant
 */

export class Transcript {
  /** @param {HTMLElement} place @param {Acts} acts */
  constructor(place, acts) {
    this.place = place;
    this.acts = acts;
    /** @type {(QuestionView | AnswerView)[]} */
    this.views = [];
  }

  /** @returns {AnswerView | null} the answer that stands at the end */
  get last() {
    const last = this.views.at(-1);
    return last instanceof AnswerView ? last : null;
  }

  /** @param {Message} message @returns {AnswerView | null} where an answer is shown, if it is */
  viewOf(message) {
    const found = this.views.findLast((view) => view.place.message === message);
    return found instanceof AnswerView ? found : null;
  }

  /** Shows this path; what stands there already is left as it is. @param {Node[]} path */
  show(path) {
    const same = path.findIndex((place, index) => !this.views[index]?.shows(place));
    const kept = same < 0 ? path.length : same;
    for (const view of this.views.splice(kept)) view.node.remove();
    const fresh = path.slice(kept).map((place) => this.#view(place));
    this.views.push(...fresh);
    this.place.append(...fresh.map(({ node }) => node));
    for (const view of this.views) view.setLast(view === this.views.at(-1));
    this.#render(fresh);
  }

  /** @param {Node} place of a message that is to be seen */
  reveal(place) {
    const node = this.#at(place)?.node;
    node?.scrollIntoView({ block: "center" });
    const ring = { outlineStyle: "solid", outlineOffset: "8px", borderRadius: "1rem" };
    node?.animate([{ ...ring, outlineColor: "var(--accent)" }, { ...ring, outlineColor: "transparent" }], 2_500);
  }

  /** Lets the reader change what he asked last. */
  editLast() {
    const last = this.views.findLast((view) => view instanceof QuestionView);
    if (last instanceof QuestionView) last.edit();
  }

  /** The keyboard stays with the arrows. @param {Node} place */
  focusArrow(place) {
    const arrows = this.#at(place)?.foot.querySelectorAll(".variants button:enabled");
    /** @type {HTMLElement | undefined} */ (arrows?.[arrows.length - 1])?.focus();
  }

  /** @param {Node} place */
  #at = (place) => this.views.find((view) => view.place === place);

  /** @param {Node} place */
  #view(place) {
    if (place.message.role === "user") return new QuestionView(place, this.acts);
    const view = new AnswerView(place, this.acts);
    view.update();
    return view;
  }

  /** The latest answers, which are in sight, are rendered first. @param {(QuestionView | AnswerView)[]} fresh */
  async #render(fresh) {
    const answers = fresh.filter((view) => view instanceof AnswerView && !view.running);
    const settled = /** @type {AnswerView[]} */ (answers.reverse());
    for (const view of settled) view.settle(view === this.last);
    for (const view of settled) {
      if (view.node.isConnected) await view.markup.finish();
    }
  }
}
