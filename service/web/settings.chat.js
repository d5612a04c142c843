/** The dialog that says how one chat is to be answered. */
import { openDialog } from "./dialog.js";
import { element } from "./dom.js";
import { say } from "./messages.js";

/** @typedef {import("./chat.js").Settings} Settings */
/** @typedef {{name: string, min: number, max: number, step: number}} Numeric */

/** @type {Numeric[]} as OpenAI has them; what is left empty is the provider's to choose */
const NUMBERS = [
  { name: "temperature", min: 0, max: 2, step: 0.05 },
  { name: "top_p", min: 0, max: 1, step: 0.05 },
  { name: "max_tokens", min: 1, max: 1_000_000, step: 1 },
];

const EFFORTS = ["", "minimal", "low", "medium", "high"];

/** @param {Settings} settings @param {(settings: Settings) => void} changed called with all of them at each change */
export function openChatSettings(settings, changed) {
  const { system = "", parameters = {} } = settings;
  const written = element("textarea", { name: "system", value: system, rows: 5, maxLength: 100_000 });
  const form = element(
    "form",
    { className: "body", method: "dialog" },
    labelled(say("system"), say("systemHint"), written),
    element("div", { className: "columns" }, ...NUMBERS.map((about) => numeric(about, parameters)), efforts(parameters)),
    element("button", { type: "reset", className: "plain" }, say("usualSettings")),
  );
  form.addEventListener("change", () => form.reportValidity() && changed({ ...settings, ...read(form) }));
  form.addEventListener("reset", () => setTimeout(() => changed({ ...settings, ...read(form) })));
  for (const field of form.querySelectorAll("input, textarea")) field.defaultValue = "";
  openDialog(say("chatSettings"), form);
}

/** @param {Numeric} about @param {Record<string, any>} parameters */
function numeric({ name, ...bounds }, parameters) {
  const properties = { type: "number", name, ...bounds, placeholder: say("usual"), value: parameters[name] ?? "" };
  const field = element("input", { ...properties, inputMode: "decimal" });
  return labelled(say(name), say(`${name}Hint`), field);
}

/** @param {Record<string, any>} parameters */
function efforts({ reasoning_effort = "" }) {
  const options = EFFORTS.map((effort) => element("option", { value: effort }, say(effort ? `effort_${effort}` : "usual")));
  const field = element("select", { name: "reasoning_effort" }, ...options);
  field.value = reasoning_effort;
  return labelled(say("reasoning_effort"), say("reasoning_effortHint"), field);
}

/** @param {string} label @param {string} hint @param {HTMLElement} field @returns {HTMLElement} */
export function labelled(label, hint, field) {
  const name = field.getAttribute("name");
  const [id, about] = [`field-${name}`, `about-${name}`];
  field.id = id;
  if (hint) field.setAttribute("aria-describedby", about);
  const hints = hint ? [element("small", { id: about }, hint)] : [];
  return element("div", { className: "field" }, element("label", { htmlFor: id }, label), field, ...hints);
}

/** @param {HTMLFormElement} form @returns {Pick<Settings, "system" | "parameters">} */
function read(form) {
  const said = Object.fromEntries(new FormData(form));
  const numbers = NUMBERS.filter(({ name }) => said[name]).map(({ name }) => [name, Number(said[name])]);
  const effort = said.reasoning_effort ? [["reasoning_effort", said.reasoning_effort]] : [];
  return { system: String(said.system).trim(), parameters: Object.fromEntries([...numbers, ...effort]) };
}
