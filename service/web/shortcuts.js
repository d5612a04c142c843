/** What keys do on the page, and the list that says so. */
import { openDialog } from "./dialog.js";
import { element } from "./dom.js";
import { say } from "./messages.js";
import { preferences } from "./store.js";

const mac = /Mac|iPhone|iPad/.test(navigator.platform);
const CONTROL = mac ? "⌘" : "Ctrl";

/** @typedef {Record<"newChat" | "seek" | "toggleSide" | "editLast" | "stop", () => void>} Acts */

/** @type {[string, string[][]][]} what a key does, and how it is pressed */
const keys = [
  ["keyNewChat", [[CONTROL, "Shift", "O"]]],
  ["keySearch", [[CONTROL, "K"]]],
  ["keySide", [[CONTROL, "B"]]],
  ["keyEdit", [["↑"]]],
  ["keyStop", [["Esc"]]],
  ["keyList", [[CONTROL, "/"]]],
];

/** @param {Acts} acts */
export function listen(acts) {
  addEventListener("keydown", (event) => {
    if (event.isComposing || event.defaultPrevented || document.querySelector("dialog[open], :popover-open")) return;
    const act = event.ctrlKey || event.metaKey ? withControl(event, acts) : alone(event, acts);
    if (!act) return;
    event.preventDefault();
    act();
  });
}

/** @param {KeyboardEvent} event @param {Acts} acts @returns {(() => void) | undefined} */
function withControl({ key, shiftKey, altKey }, acts) {
  if (altKey) return undefined;
  const letter = key.toLowerCase();
  if (shiftKey) return letter === "o" ? acts.newChat : undefined;
  return { k: acts.seek, b: acts.toggleSide, "/": openKeys }[letter];
}

/** @param {KeyboardEvent} event @param {Acts} acts @returns {(() => void) | undefined} */
function alone({ key, target }, acts) {
  if (key === "Escape") return acts.stop;
  const field = /** @type {HTMLTextAreaElement} */ (target);
  return key === "ArrowUp" && field.matches("#composer textarea") && field.value === "" ? acts.editLast : undefined;
}

export function openKeys() {
  const sends = preferences.enterSends ? [["Enter"]] : [[CONTROL, "Enter"]];
  const breaks = preferences.enterSends ? [["Shift", "Enter"]] : [["Enter"]];
  const all = /** @type {typeof keys} */ ([["keySend", sends], ["keyBreak", breaks], ...keys]);
  const rows = all.flatMap(([word, ways]) => [
    element("dt", {}, say(word)),
    element("dd", {}, ...ways.flatMap((way) => way.map((key) => element("kbd", {}, key)))),
  ]);
  openDialog(say("keys"), element("dl", { className: "keys" }, ...rows));
}
