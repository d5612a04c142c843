/** How long one waits before trying again, and when one gives up. */

/** Milliseconds before the first try; each further one waits twice as long, up to the longest. */
const FIRST = 1_000;
const LONGEST = 15_000;

export class Patience {
  #tries = 0;
  #hurry = () => {};

  /** It worked. */
  restore() {
    this.#tries = 0;
  }

  /** There is reason to hope that it works now. */
  hurry() {
    this.#hurry();
  }

  /**
   * @param {number} tries after so many in vain it is enough
   * @param {AbortSignal} signal ends the wait
   * @returns {Promise<boolean>} whether to try again
   */
  async pause(tries, signal) {
    if (this.#tries >= tries || signal.aborted) return false;
    const hopeful = await this.#waited(Math.min(FIRST * 2 ** this.#tries, LONGEST), signal);
    this.#tries = hopeful ? 0 : this.#tries + 1;
    return !signal.aborted;
  }

  /** @param {number} milliseconds @param {AbortSignal} signal @returns {Promise<boolean>} something cut it short */
  async #waited(milliseconds, signal) {
    const over = new AbortController();
    const hopeful = await new Promise((resolve) => {
      const listening = { signal: over.signal };
      this.#hurry = () => resolve(true);
      setTimeout(resolve, milliseconds, false);
      signal.addEventListener("abort", this.#hurry, listening);
      addEventListener("online", this.#hurry, listening);
      document.addEventListener("visibilitychange", () => document.hidden || resolve(true), listening);
    });
    over.abort();
    return hopeful;
  }
}
