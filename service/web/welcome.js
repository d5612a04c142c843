/** What stands on an empty page: who is ready, and a few questions to begin with. */
import { AUTO } from "./chooser.js";
import { element } from "./dom.js";
import { list, say } from "./messages.js";
import { providers } from "./service.js";

/** @typedef {import("./service.js").Provider} Provider */

const EMBEDDED = "Embedded";

/** Milliseconds until the providers are looked at again while nobody is ready, a little longer each time. */
const FIRST_PAUSE = 1_000;
const LONGEST_PAUSE = 15_000;

/** @param {Provider[]} found @returns {boolean} the embedded model is there, and not yet able to answer */
export const embeddedLoads = (found) =>
  found.some((provider) => provider.name === EMBEDDED && provider.active_by_default !== false && !provider.live);

/** @param {Provider[]} found @returns {Provider[]} who could answer now, apart from the one that chooses */
const ready = (found) =>
  found.filter((provider) => provider.name !== AUTO && provider.active_by_default !== false && provider.live);

export class Welcome {
  /** @param {HTMLElement} place @param {(prompt: string) => void} ask */
  constructor(place, ask) {
    this.place = place;
    this.ask = ask;
    this.state = /** @type {HTMLElement} */ (place.querySelector("#state"));
    this.prompts = /** @type {HTMLElement} */ (place.querySelector("#prompts"));
    /** @type {Provider[]} */
    this.providers = [];
  }

  /** @param {boolean} shown */
  show(shown) {
    this.place.hidden = !shown;
  }

  /** Looks who is ready, until somebody is and the embedded model has stopped loading. */
  async watch() {
    for (let pause = FIRST_PAUSE; ; pause = Math.min(pause * 1.3, LONGEST_PAUSE)) {
      await this.look();
      if (ready(this.providers).length && !embeddedLoads(this.providers)) return;
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
  }

  async look() {
    try {
      this.providers = await providers();
      this.#describe(described(this.providers));
    } catch {
      this.#describe(say("unreachable"));
    }
    this.#showPrompts();
  }

  /** Screen readers hear what changes, and only that. @param {string} text */
  #describe(text) {
    if (this.state.textContent !== text) this.state.textContent = text;
  }

  #showPrompts() {
    const small = ready(this.providers).every(({ name }) => name === EMBEDDED);
    const wanted = list(small ? "smallPrompts" : "prompts");
    if (this.prompts.dataset.shown === wanted.join()) return;
    this.prompts.dataset.shown = wanted.join();
    this.prompts.replaceChildren(
      ...wanted.map((prompt) =>
        element("li", {}, element("button", { type: "button", onclick: () => this.ask(prompt) }, prompt)),
      ),
    );
  }
}

/** @param {Provider[]} found @returns {string} */
function described(found) {
  const others = ready(found).filter(({ name }) => name !== EMBEDDED);
  if (others.length) return say("ready", { names: others.map(({ label }) => label).join(", ") });
  if (ready(found).length) return say("embeddedReady");
  return say(embeddedLoads(found) ? "embeddedLoading" : "nobody");
}
