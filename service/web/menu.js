/** A menu that opens at a button: https://www.w3.org/WAI/ARIA/apg/patterns/menu-button/ */
import { element, icon } from "./dom.js";

/** @typedef {{symbol: string, label: string, act?: () => void, href?: string, isDanger?: boolean}} Item */

const GAP = 4;

/** @param {HTMLElement} opener @param {Item[]} items */
export function openMenu(opener, items) {
  const menu = element("div", { className: "menu", role: "menu", popover: "auto" }, ...items.map(entry));
  menu.addEventListener("click", () => menu.hidePopover());
  menu.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => pressed(event, menu));
  menu.addEventListener("toggle", (/** @type {any} */ { newState }) => newState === "closed" && close(menu, opener));
  opener.after(menu);
  menu.showPopover();
  opener.setAttribute("aria-expanded", "true");
  place(menu, opener.getBoundingClientRect());
  menu.firstElementChild.focus();
}

/** @param {Item} item */
function entry({ symbol, label, act, href, isDanger }) {
  const children = [icon(symbol), element("span", {}, label)];
  const properties = { role: "menuitem", tabIndex: -1, className: isDanger ? "danger" : "" };
  if (href) return element("a", { ...properties, href, download: "" }, ...children);
  return element("button", { ...properties, type: "button", onclick: act }, ...children);
}

/** @param {HTMLElement} menu @param {HTMLElement} opener */
function close(menu, opener) {
  opener.setAttribute("aria-expanded", "false");
  if (menu.contains(document.activeElement) || document.activeElement === document.body) opener.focus();
  menu.remove();
}

/** Below its button, or above it where there is no room. @param {HTMLElement} menu @param {DOMRect} at */
function place(menu, at) {
  const { offsetWidth, offsetHeight, style } = menu;
  const below = at.bottom + GAP;
  const fits = below + offsetHeight < innerHeight;
  style.left = `${Math.max(GAP, Math.min(at.left, innerWidth - offsetWidth - GAP))}px`;
  style.top = `${fits ? below : Math.max(GAP, at.top - offsetHeight - GAP)}px`;
}

/** @param {KeyboardEvent} event @param {HTMLElement} menu */
function pressed(event, menu) {
  const items = /** @type {HTMLElement[]} */ (Array.from(menu.children));
  const now = items.indexOf(/** @type {HTMLElement} */ (document.activeElement));
  const to = { ArrowDown: now + 1, ArrowUp: now - 1, Home: 0, End: -1 }[event.key];
  if (event.key === "Tab") menu.hidePopover();
  if (to === undefined) return;
  event.preventDefault();
  items.at(to % items.length)?.focus();
}
