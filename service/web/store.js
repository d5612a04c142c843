/** What this device remembers: how the page is liked, and the model chosen last. Chats are the service's. */

/** @typedef {{provider: string | null, model: string | null, label: string}} Choice */
/**
 * @typedef {object} Preferences
 * @property {"system" | "light" | "dark"} theme
 * @property {"" | "en" | "ru"} language "": the browser's
 * @property {boolean} enterSends whether Enter sends, and Shift+Enter breaks the line; else Ctrl+Enter sends
 * @property {boolean} folded whether the side bar is put away
 * @property {string} voice that reads answers aloud; "": the service chooses
 * @property {number} rate how fast, 1 is the voice's own
 */
/** @typedef {{id: string, title: string, messages: any[]}} OldChat a chat from before the service kept them */

/** @type {Preferences} */
const USUAL = { theme: "system", language: "", enterSends: true, folded: false, voice: "", rate: 1 };

/** @type {Preferences} what is preferred now; other pages of this browser see a change when they are opened */
export const preferences = { ...USUAL, ...read("preferences") };

/** @param {Partial<Preferences>} changes */
export function prefer(changes) {
  Object.assign(preferences, changes);
  write("preferences", preferences);
}

/** @returns {Choice | null} */
export const choice = () => read("choice");

/** @param {Choice} value */
export const keepChoice = (value) => write("choice", value);

const OLD = ["chat", "previous"];

/** @returns {OldChat[]} */
export const oldChats = () => OLD.map(read).filter((kept) => kept?.id && kept.messages?.length);

/** @param {string} id of an old chat that the service has now */
export function forgetOld(id) {
  for (const name of OLD) if (read(name)?.id === id) write(name, null);
}

/** @returns {string} 128 random bits; `crypto.randomUUID` exists only on HTTPS and localhost */
export const unique = () =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");

/** @param {string} name @returns {any} */
function read(name) {
  try {
    return JSON.parse(localStorage.getItem(`causerie.${name}`) ?? "null");
  } catch {
    return null;
  }
}

/** @param {string} name @param {unknown} value null: forget it */
function write(name, value) {
  try {
    if (value === null) localStorage.removeItem(`causerie.${name}`);
    else localStorage.setItem(`causerie.${name}`, JSON.stringify(value));
  } catch {
    // Storage is full or closed: it holds until the page is left.
  }
}
