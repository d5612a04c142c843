/** Puts words and icons where a page says which ones it wants. */
import { icon } from "./dom.js";
import { language, say } from "./messages.js";

export function dress() {
  document.documentElement.lang = language;
  for (const node of document.querySelectorAll("[data-say]")) {
    const [key, ...attributes] = /** @type {any} */ (node).dataset.say.split(" ");
    for (const attribute of attributes) node.setAttribute(attribute, say(key));
    if (!attributes.length) node.textContent = say(key);
  }
  for (const node of document.querySelectorAll("[data-icon]")) {
    node.prepend(icon(/** @type {any} */ (node).dataset.icon));
  }
}
