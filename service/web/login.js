/** The form that asks for a key, where one is needed; what the service refused waits behind it. */
import { say } from "./messages.js";
import * as service from "./service.js";
import "./stats.words.js"; // both pages ask for a key in the same words

export class Login {
  /** @type {Promise<void> | null} */
  #entering = null;
  /** @type {(() => void) | null} there while the form is */
  #admit = null;

  /**
   * @param {HTMLDialogElement} dialog @param {HTMLButtonElement} leave
   * @param {(session: service.Session) => void} told who is there
   */
  constructor(dialog, leave, told) {
    this.dialog = dialog;
    this.leave = leave;
    this.told = told;
    this.field = /** @type {HTMLInputElement} */ (dialog.querySelector("input"));
    this.problem = /** @type {HTMLElement} */ (dialog.querySelector("[role=alert]"));
    dialog.querySelector("form")?.addEventListener("submit", (event) => this.#logIn(event));
    // Escape does not lead past it: nothing behind it would work.
    dialog.addEventListener("close", () => this.#admit && dialog.showModal());
    leave.addEventListener("click", () => this.#logOut());
  }

  /** Resolves when the service knows who is there, for all who wait at once; rejects when it does not answer. */
  enter() {
    this.#entering ??= this.#enter().finally(() => (this.#entering = null));
    return this.#entering;
  }

  /** Asks the service first: the answer that was refused may be older than the session. */
  async #enter() {
    const session = await service.session();
    this.#show(session);
    if (session.user !== null) return;
    this.dialog.showModal();
    await new Promise((resolve) => (this.#admit = () => resolve(null)));
  }

  /** @param {Event} event */
  async #logIn(event) {
    event.preventDefault();
    try {
      this.#show(await service.logIn(this.field.value));
      this.field.value = "";
      this.#tell("");
      this.#admit?.();
      this.#admit = null;
      this.dialog.close();
    } catch (error) {
      this.#tell(reason(error));
      this.field.select();
    }
  }

  /** The page begins anew, so that nothing of whoever left goes on; without an answer he is still there. */
  async #logOut() {
    await service.logOut().catch(() => {});
    location.reload();
  }

  /** @param {service.Session} session */
  #show(session) {
    const { user, needs_key } = session;
    this.leave.hidden = user === null || !needs_key;
    this.told(session);
  }

  /** @param {string} text */
  #tell(text) {
    this.problem.textContent = text;
    this.problem.hidden = text === "";
  }
}

/** @param {unknown} error @returns {string} why nobody was let in */
function reason(error) {
  if (!(error instanceof service.Refused)) return say("unreachable");
  return error.status === 401 ? say("wrongKey") : error.message;
}
