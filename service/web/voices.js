/** Which voice reads answers aloud, and how fast: kept on the device. */
import { element } from "./dom.js";
import { language, say } from "./messages.js";
import { voices } from "./service.js";
import { labelled } from "./settings.chat.js";
import { SpeakButton, hush, setRate } from "./speaking.js";
import { prefer, preferences } from "./store.js";

/** @typedef {import("./service.js").Voice} Voice */

const RATES = [0.75, 1, 1.25, 1.5, 1.75, 2];
const languages = new Intl.DisplayNames(language, { type: "language" });
const numbers = new Intl.NumberFormat(language);

/** @param {string} tag @returns {string} the language in words, such as "English (United Kingdom)" */
function languageName(tag) {
  try {
    return languages.of(tag.split("-").slice(0, 2).join("-")) ?? tag;
  } catch {
    return tag;
  }
}

/** The part of the settings that is about reading aloud. @returns {HTMLElement} */
export function voiceSection() {
  /** @type {Voice[]} */
  let found = [];
  const note = element("p", { className: "note", role: "status" }, say("voiceHint"));
  const voice = element("select", { name: "voice" }, element("option", { value: "" }, say("anyVoice")));
  const rate = element("select", { name: "rate" });
  rate.append(...RATES.map((value) => element("option", { value: String(value) }, `${numbers.format(value)}×`)));
  rate.value = String(preferences.rate);
  voice.addEventListener("change", () => {
    hush();
    prefer({ voice: voice.value });
  });
  rate.addEventListener("change", () => {
    prefer({ rate: Number(rate.value) });
    setRate();
  });
  const failed = (/** @type {string} */ problem) => (note.textContent = problem || say("voiceHint"));
  const attempt = new SpeakButton(() => ({ text: sample(found), turn: "" }), failed, say("tryVoice"), say("tryVoice"));
  attempt.node.className = "plain speak";
  offer(voice, (listed) => (found = listed)).catch(() => (note.textContent = say("noVoices")));
  const fields = element(
    "div",
    { className: "columns" },
    labelled(say("voice"), "", voice),
    labelled(say("rate"), "", rate),
  );
  return element("section", {}, element("h3", {}, say("readingAloud")), fields, note, attempt.node);
}

/** @param {HTMLSelectElement} field @param {(voices: Voice[]) => void} told */
async function offer(field, told) {
  const found = await voices();
  told(found);
  field.append(...groups(found));
  field.value = found.some(({ id }) => id === preferences.voice) ? preferences.voice : "";
}

/** A sentence in the voice's own language, as far as this page speaks it; else its name. @param {Voice[]} found */
function sample(found) {
  const chosen = found.find(({ id }) => id === preferences.voice);
  return !chosen || chosen.language.slice(0, 2) === language ? say("sample") : chosen.name;
}

/** @param {Voice[]} found @returns {HTMLElement[]} by language, the reader's own first */
function groups(found) {
  const own = (navigator.languages ?? []).flatMap((tag) => [tag, tag.slice(0, 2)]);
  /** @type {Map<string, Voice[]>} */
  const byLanguage = new Map();
  for (const voice of found) byLanguage.set(voice.language, [...(byLanguage.get(voice.language) ?? []), voice]);
  const place = (/** @type {string} */ tag) =>
    own.indexOf(tag) + 1 || own.indexOf(tag.slice(0, 2)) + 1 || own.length + 1;
  const order = [...byLanguage.keys()].sort(
    (one, other) => place(one) - place(other) || languageName(one).localeCompare(languageName(other), language),
  );
  return order.map((tag) => {
    const options = (byLanguage.get(tag) ?? []).map(({ id, name }) => element("option", { value: id }, name));
    return element("optgroup", { label: tag ? languageName(tag) : say("manyLanguages") }, ...options);
  });
}
