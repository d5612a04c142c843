/** The dialog of what holds for the whole page: kept on this device; and what one does with all chats at once. */
import { confirmed, openDialog, statusLine } from "./dialog.js";
import { element, icon } from "./dom.js";
import { say } from "./messages.js";
import { allAddress, importChats, removeAll } from "./service.chats.js";
import { labelled } from "./settings.chat.js";
import { openKeys } from "./shortcuts.js";
import { prefer, preferences } from "./store.js";
import { voiceSection } from "./voices.js";

/** @param {() => void} changed called when there are other chats than before @param {() => void} preferred */
export function openSettings(changed, preferred) {
  const status = statusLine();
  const dialog = openDialog(
    say("settings"),
    element("div", { className: "body" }, device(preferred), voiceSection(), chats(status, changed), status, shortcuts(() => dialog.close())),
  );
}

/** @param {() => void} preferred called when the page is liked otherwise */
function device(preferred) {
  const themes = { system: say("asSystem"), light: say("light"), dark: say("dark") };
  const languages = { "": say("asBrowser"), en: "English", ru: "Русский" };
  const sends = element("input", { type: "checkbox", checked: preferences.enterSends });
  sends.addEventListener("change", () => {
    prefer({ enterSends: sends.checked });
    preferred();
  });
  return section(
    "onThisDevice",
    labelled(say("theme"), "", choice("theme", themes, () => {
      document.documentElement.dataset.theme = preferences.theme;
    })),
    labelled(say("language"), "", choice("language", languages, () => location.reload())),
    element("label", { className: "check" }, sends, element("span", {}, say("enterSends"))),
  );
}

/** @param {"theme" | "language"} name @param {Record<string, string>} options @param {() => void} chosen */
function choice(name, options, chosen) {
  const entries = Object.entries(options).map(([value, text]) => element("option", { value }, text));
  const field = element("select", { name }, ...entries);
  field.value = preferences[name];
  field.addEventListener("change", () => {
    prefer({ [name]: field.value });
    chosen();
  });
  return field;
}

/** @param {HTMLElement} status @param {() => void} changed */
function chats(status, changed) {
  const file = element("input", { type: "file", accept: ".json,application/json", className: "unseen", tabIndex: -1 });
  file.setAttribute("aria-label", say("importFile"));
  file.addEventListener("change", async () => {
    if (file.files[0]) status.replaceChildren(...(await imported(file.files[0])));
    file.value = "";
    changed();
  });
  const end = async () => {
    if (!(await confirmed(say("deleteAll"), say("deleteAllMeans"), say("delete")))) return;
    status.textContent = await removeAll().then(() => say("allDeleted"), (error) => error.message);
    changed();
  };
  return section(
    "yourChats",
    element(
      "div",
      { className: "row" },
      element("a", { className: "plain", href: allAddress, download: "" }, icon("download"), say("exportAll")),
      act("upload", say("importFile"), () => file.click()),
      act("trash", say("deleteAll"), end, "plain danger"),
    ),
    file,
  );
}

/** @param {File} file @returns {Promise<(Node | string)[]>} what has become of it */
async function imported(file) {
  try {
    const { imported, skipped } = await importChats(JSON.parse(await file.text()));
    const left = skipped.map(({ title, reason }) => element("li", {}, `${title || say("untitled")}: ${reason}`));
    return [say("imported", { count: imported }), ...(left.length ? [element("ul", {}, ...left)] : [])];
  } catch (error) {
    return [error instanceof SyntaxError ? say("noJson") : /** @type {Error} */ (error).message];
  }
}

/** @param {() => void} close */
const shortcuts = (close) => act("keyboard", say("keys"), () => (close(), openKeys()));

/** @param {string} symbol @param {string} label @param {() => void} onclick */
const act = (symbol, label, onclick, className = "plain") =>
  element("button", { type: "button", className, onclick }, icon(symbol), label);

/** @param {string} title @param {...Node} children */
const section = (title, ...children) => element("section", {}, element("h3", {}, say(title)), ...children);
