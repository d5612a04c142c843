/** Who answers: a dialog with every model that is ready, found by a few letters of its name. */
import { element } from "./dom.js";
import { say } from "./messages.js";
import { models } from "./service.js";

/** @typedef {import("./service.js").Provider} Provider */
/** @typedef {import("./store.js").Choice} Choice */
/** @typedef {{label: string, hint: string, note: string, choices: Choice[]}} Group */

/** A provider may offer hundreds of models; one reads a few of them, and then narrows the filter. */
const SHOWN = 40;

/** The provider that chooses by itself. */
export const AUTO = "AnyProvider";

/** @param {Provider[]} providers @returns {Node[]} their names, and what each of them wants */
function notReady(providers) {
  if (!providers.length) return [];
  const reasons = providers.map(({ label, reason }) => element("li", {}, reason || label));
  const summary = element("summary", {}, say("notReady", { count: providers.length }));
  return [element("details", {}, summary, element("ul", {}, ...reasons))];
}

export class Chooser {
  /** @param {HTMLDialogElement} dialog @param {(choice: Choice) => void} chose */
  constructor(dialog, chose) {
    this.dialog = dialog;
    this.chose = chose;
    this.filter = /** @type {HTMLInputElement} */ (dialog.querySelector("input"));
    this.list = /** @type {HTMLElement} */ (dialog.querySelector("[role=listbox]"));
    this.foot = /** @type {HTMLElement} */ (dialog.querySelector("footer"));
    /** @type {Group[]} */
    this.groups = [];
    /** @type {Choice | null} */
    this.current = null;
    /** @type {Choice[]} what stands in the list, in its order */
    this.choices = [];
    this.active = 0;
    this.filter.addEventListener("input", () => this.#show());
    this.filter.addEventListener("keydown", (event) => this.#pressed(event));
    this.list.addEventListener("click", (event) => this.#clicked(event));
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  }

  /** @param {Provider[]} providers @param {Choice | null} current */
  async open(providers, current) {
    const named = providers.filter(({ name }) => name !== AUTO);
    const ready = named.filter((provider) => provider.active_by_default !== false);
    this.current = current;
    this.foot.replaceChildren(...notReady(named.filter((provider) => !ready.includes(provider))));
    this.filter.value = "";
    const auto = { provider: null, model: null, label: say("auto") };
    this.groups = [{ label: "", hint: say("autoHint"), note: "", choices: [auto] }];
    this.groups.push(...ready.map(({ label }) => ({ label, hint: "", note: say("loadingModels"), choices: [] })));
    this.#show();
    this.dialog.showModal();
    this.filter.focus();
    await Promise.all(ready.map((provider, index) => this.#load(provider, this.groups[index + 1])));
  }

  /** @param {Provider} provider @param {Group} group */
  async #load({ name }, group) {
    try {
      group.choices = (await models(name)).map(({ id, label }) => ({
        provider: name,
        model: id,
        label: label || id,
      }));
      group.note = "";
    } catch {
      group.note = say("modelsFailed");
    }
    if (this.groups.includes(group)) this.#show();
  }

  #show() {
    const words = this.filter.value.toLowerCase().split(/\s+/);
    const fits = (/** @type {Group} */ group, /** @type {Choice} */ { label, model }) => {
      const name = `${group.label} ${label} ${model ?? ""}`.toLowerCase();
      return words.every((word) => name.includes(word));
    };
    const found = this.groups.map((group) => ({ ...group, choices: group.choices.filter((c) => fits(group, c)) }));
    this.choices = found.flatMap(({ choices }) => choices.slice(0, SHOWN));
    const shown = found.filter(({ choices, note }) => choices.length || (note && !this.filter.value));
    this.list.replaceChildren(...shown.map((group) => this.#group(group)));
    if (!shown.length) this.list.append(element("p", { className: "note" }, say("noModels")));
    const current = this.choices.findIndex((choice) => this.#isCurrent(choice));
    this.#activate(this.filter.value ? 0 : Math.max(0, current));
  }

  /** @param {Group} group */
  #group({ label, hint, note, choices }) {
    const options = choices.slice(0, SHOWN).map((choice) => this.#option(choice, hint));
    const more = choices.length > SHOWN ? say("moreModels", { count: choices.length - SHOWN }) : note;
    const made = element("div", { role: "group", "aria-label": label || say("auto") });
    if (label) made.append(element("h3", { "aria-hidden": "true" }, label));
    made.append(...options, ...(more ? [element("p", { className: "note" }, more)] : []));
    return made;
  }

  /** @param {Choice} choice @param {string} hint */
  #option(choice, hint) {
    const index = this.choices.indexOf(choice);
    const properties = { role: "option", id: `option-${index}`, "aria-selected": this.#isCurrent(choice) };
    return element("div", properties, element("span", {}, choice.label), element("small", {}, hint));
  }

  /** @param {Choice} choice */
  #isCurrent({ provider, model }) {
    return provider === (this.current?.provider ?? null) && model === (this.current?.model ?? null);
  }

  /** @param {number} index */
  #activate(index) {
    this.list.querySelector(".active")?.classList.remove("active");
    const option = this.list.querySelector(`#option-${index}`);
    this.active = index;
    option?.classList.add("active");
    option?.scrollIntoView({ block: "nearest" });
    if (option) this.filter.setAttribute("aria-activedescendant", option.id);
    else this.filter.removeAttribute("aria-activedescendant");
  }

  /** @param {KeyboardEvent} event */
  #pressed(event) {
    const count = this.choices.length;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const leap = { PageDown: 8, PageUp: -8 }[event.key];
    if (step && count) this.#activate((this.active + step + count) % count);
    else if (leap && count) this.#activate(Math.min(Math.max(this.active + leap, 0), count - 1));
    else if (event.key === "Enter" && !event.isComposing) this.#choose(this.active);
    else return;
    event.preventDefault();
  }

  /** @param {MouseEvent} event */
  #clicked(event) {
    const option = /** @type {Element} */ (event.target).closest("[role=option]");
    if (option) this.#choose(Number(option.id.replace("option-", "")));
  }

  /** @param {number} index */
  #choose(index) {
    const choice = this.choices[index];
    if (!choice) return;
    this.dialog.close();
    this.chose(choice);
  }
}
