/** The arrows that lead from one variant of a message to the others. */
import { element, icon } from "./dom.js";
import { say } from "./messages.js";

/** @typedef {import("./tree.js").Node} Node */

/** @param {Node} node @param {(variant: Node) => void} go @returns {Element[]} nothing, where there is but one */
export function arrows(node, go) {
  const { variants } = node;
  if (variants.length < 2) return [];
  const place = variants.indexOf(node);
  const arrow = (/** @type {string} */ symbol, /** @type {string} */ word, /** @type {number} */ to) => {
    const properties = { type: "button", className: "quiet", "aria-label": say(word), disabled: !variants[to] };
    return element("button", { ...properties, onclick: () => go(variants[to]) }, icon(symbol));
  };
  const count = element("span", {}, `${place + 1} / ${variants.length}`);
  const label = say("variant", { place: place + 1, count: variants.length });
  const group = { className: "variants", role: "group", "aria-label": label };
  return [
    element("div", group, arrow("left", "previousVariant", place - 1), count, arrow("right", "nextVariant", place + 1)),
  ];
}
