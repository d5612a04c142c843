/** The dialogs that make a key, and tell its text this once. */
import { openDialog, statusLine } from "./dialog.js";
import { copyButton, element } from "./dom.js";
import { say } from "./messages.js";
import { make } from "./service.keys.js";
import { labelled } from "./settings.chat.js";

/** @typedef {import("./service.keys.js").Made} Made */

const DAY = 86_400;
const LASTING = [0, 7, 30, 90, 365];
const LIMITS = ["requests_per_minute", "tokens_per_minute", "turns_at_once"];
const BUDGETS = ["day", "month"];

/** @param {boolean} isFirst the first key is an operator's, or nobody could make another @param {(made: Made) => void} done */
export function openNewKey(isFirst, done) {
  const status = statusLine();
  const role = select("role", (isFirst ? ["admin"] : ["user", "admin"]).map((name) => [name, say(`role_${name}`)]));
  const lasting = select("days", LASTING.map((days) => [String(days), days ? say("days", { count: days }) : say("forEver")]));
  const form = element(
    "form",
    { className: "body" },
    element("div", { className: "columns" },
      labelled(say("ofWhom"), say("ofWhomHint"), text({ name: "user", required: true })),
      labelled(say("nameOfKey"), say("nameOfKeyHint"), text({ name: "name" })),
      labelled(say("role"), isFirst ? say("firstIsAdmin") : "", role),
      labelled(say("lasts"), "", lasting),
    ),
    limits(),
    status,
    element("div", { className: "acts" }, element("button", { className: "primary" }, say("makeKey"))),
  );
  const dialog = openDialog(say("newKey"), form);
  form.addEventListener("submit", async (/** @type {Event} */ event) => {
    event.preventDefault();
    try {
      const made = await make(wanted(form));
      dialog.close();
      done(made);
    } catch (error) {
      status.textContent = /** @type {Error} */ (error).message;
    }
  });
}

/** @param {Made} made */
export function openSecret({ key }) {
  const copy = copyButton(say("copy"), say("copied"), () => key, say("copyKey"));
  const secret = element("div", { className: "secret" }, element("code", {}, key), copy);
  openDialog(say("keyMade"), element("p", {}, say("onlyNow")), secret);
  copy.focus();
}

function limits() {
  const rate = LIMITS.map((name) => labelled(say(name), "", number({ name, min: 1, step: 1 })));
  const money = BUDGETS.map((name) => labelled(say(`budget_${name}`), "", number({ name, min: 0, step: "any" })));
  const models = labelled(say("onlyModels"), say("onlyModelsHint"), text({ name: "models" }));
  const fields = element("div", { className: "columns" }, ...rate, ...money);
  return element("details", {}, element("summary", {}, say("limits")), element("div", { className: "body" }, fields, models));
}

/** @param {object} properties */
const text = (properties) =>
  element("input", { ...properties, type: "text", maxLength: 200, autocomplete: "off", spellcheck: false });

/** @param {object} properties */
const number = (properties) => element("input", { ...properties, type: "number", placeholder: say("noLimit") });

/** @param {string} name @param {string[][]} options */
const select = (name, options) =>
  element("select", { name }, ...options.map(([value, words]) => element("option", { value }, words)));

/** @param {HTMLFormElement} form @returns {object} as the service wants it */
function wanted(form) {
  const said = Object.fromEntries(new FormData(form));
  const days = Number(said.days);
  const models = String(said.models).split(",").map((name) => name.trim()).filter(Boolean);
  const given = (/** @type {string[]} */ names) =>
    Object.fromEntries(names.filter((name) => said[name] !== "").map((name) => [name, Number(said[name])]));
  return {
    ...{ user: String(said.user).trim(), name: String(said.name).trim(), role: said.role },
    ...{ expires_at: days ? Date.now() / 1000 + days * DAY : null, models: models.length ? models : null },
    ...{ limits: given(LIMITS), budget: given(BUDGETS) },
  };
}
