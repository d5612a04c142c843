/** Dialogs that are made when they are needed, and gone when they are closed. */
import { element, icon } from "./dom.js";
import { say } from "./messages.js";

let made = 0;

/** @param {string} title @param {...(Node | string)} children @returns {HTMLDialogElement} open, and closed by Escape */
export function openDialog(title, ...children) {
  const id = `dialog-${++made}`;
  const close = element("button", { type: "button", "aria-label": say("close") }, icon("close"));
  const head = element("header", {}, element("h2", { id }, title), close);
  const dialog = element("dialog", { className: "sheet", "aria-labelledby": id }, head, ...children);
  close.addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (/** @type {Event} */ event) => event.target === dialog && dialog.close());
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/**
 * Asks before something is done that cannot be undone.
 * @param {string} title @param {string} text @param {string} act what the button that does it says
 * @returns {Promise<boolean>}
 */
export function confirmed(title, text, act) {
  const no = element("button", { type: "button", className: "plain", autofocus: true }, say("cancel"));
  const yes = element("button", { type: "button", className: "primary danger" }, act);
  const dialog = openDialog(title, element("p", {}, text), element("div", { className: "acts" }, no, yes));
  return new Promise((resolve) => {
    no.addEventListener("click", () => dialog.close());
    yes.addEventListener("click", () => dialog.close("yes"));
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"));
  });
}

/** A dialog's line that says what went wrong, or well. @returns {HTMLElement} */
export const statusLine = () => element("p", { className: "status", role: "status" });
