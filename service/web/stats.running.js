/** The turns that run, and a button to stop each. */
import { element } from "./dom.js";
import { say } from "./messages.js";
import * as service from "./service.js";
import { whole, time } from "./stats.numbers.js";

/** Milliseconds between two looks. */
const PAUSE = 3_000;

export class RunningTurns {
  /** @param {HTMLElement} section @param {(error: unknown) => void} failed */
  constructor(section, failed) {
    this.section = section;
    this.failed = failed;
    this.all = false;
    this.timer = 0;
    /** @type {Map<string, HTMLElement>} a row each: what has the focus keeps it */
    this.rows = new Map();
    this.body = element("tbody");
    this.nothing = element("p", {}, say("nothingRuns"));
  }

  /** @param {boolean} all everybody's */
  watch(all) {
    this.all = all;
    const names = [...(all ? ["ofUser"] : []), "byProvider", "byModel", "since", "soFar"].map((key) => say(key));
    const heads = names.map((text) => element("th", { scope: "col" }, text));
    const head = element("thead", {}, element("tr", {}, element("td"), ...heads));
    this.table = element("table", { "aria-labelledby": "running-title" }, head, this.body);
    this.section.querySelector(".scroll").replaceChildren(this.nothing, this.table);
    this.section.hidden = false;
    this.look();
  }

  leave() {
    clearTimeout(this.timer);
    this.section.hidden = true;
  }

  async look() {
    clearTimeout(this.timer);
    if (document.visibilityState === "visible") {
      try {
        this.show(await service.running(this.all));
      } catch (error) {
        this.failed(error);
        if (/** @type {any} */ (error).status) return; // it was refused: asking again changes nothing
      }
    }
    if (!this.section.hidden) this.timer = setTimeout(() => this.look(), PAUSE);
  }

  /** @param {any[]} turns */
  show(turns) {
    const there = new Set(turns.map(({ id }) => id));
    for (const [id, row] of this.rows) {
      if (there.has(id)) continue;
      row.remove();
      this.rows.delete(id);
    }
    for (const turn of turns) {
      if (!this.rows.has(turn.id)) this.rows.set(turn.id, this.body.appendChild(this.row(turn)));
      const cells = this.rows.get(turn.id).querySelectorAll("[data-cell]");
      this.cells(turn).forEach((text, index) => (cells[index].textContent = text));
    }
    this.nothing.hidden = turns.length > 0;
    this.table.hidden = turns.length === 0;
  }

  /** @param {any} turn @returns {string[]} */
  cells({ user, provider, model, since, tokens }) {
    const told = [provider ?? "–", model ?? "–", time(since), whole(tokens)];
    return this.all ? [user ?? "–", ...told] : told;
  }

  /** @param {any} turn */
  row(turn) {
    const name = say("stopTurnOf", { user: turn.user ?? "–", model: turn.model ?? "–" });
    const stop = element("button", { type: "button", "aria-label": name }, say("stopTurn"));
    stop.onclick = async () => {
      stop.disabled = true;
      try {
        await service.stop(turn.id);
      } catch (error) {
        this.failed(error);
      }
      this.look();
    };
    const cells = this.cells(turn).map(() => element("td", { "data-cell": "" }));
    return element("tr", {}, element("td", {}, stop), ...cells);
  }
}
