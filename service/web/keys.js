/** The page of keys: who may use the service, for whoever runs it. */
import { confirmed } from "./dialog.js";
import { button, element } from "./dom.js";
import { dress } from "./dress.js";
import "./keys.words.js";
import { openNewKey, openSecret } from "./keys.form.js";
import { Login } from "./login.js";
import { language, say } from "./messages.js";
import * as session from "./service.js";
import { keys, revoke, rotate } from "./service.keys.js";

/** @typedef {import("./service.keys.js").Key} Key */

const find = (/** @type {string} */ selector) => /** @type {any} */ (document.querySelector(selector));
const day = new Intl.DateTimeFormat(language, { dateStyle: "medium" });

dress();
document.title = `${say("accessKeys")} · ${say("title")}`;
const login = new Login(find("#login"), find("#leave"), () => {});
/** @type {Key[]} */
let known = [];

find("#make").addEventListener("click", () => openNewKey(!known.length, made));
session.whenNobody(() => login.enter());
login.enter().then(load, tell);

/** The first key closes the service: whoever made it logs in by it, so as not to stand outside. */
async function made(/** @type {import("./service.keys.js").Made} */ key) {
  if (!known.length) await session.logIn(key.key).then(() => login.enter(), tell);
  await load();
  openSecret(key);
}

async function load() {
  try {
    show(await keys());
  } catch (error) {
    tell(error);
  }
}

/** @param {Key[]} all */
function show(all) {
  known = all;
  find("#problem").hidden = true;
  find("#make").hidden = false;
  find("#open-house").hidden = all.length > 0;
  const inOrder = [...all].reverse().sort((one, other) => Number(one.over !== null) - Number(other.over !== null));
  find("#keys").replaceChildren(...inOrder.map(line));
}

/** @param {Key} key */
function line(key) {
  const tag = element("span", { className: `tag ${key.role}` }, say(`role_${key.role}`));
  const facts = [key.name, `ck-${key.id}-…`].filter(Boolean).join(" · ");
  const what = element(
    "div",
    { className: "what" },
    ...[element("strong", {}, key.user), tag, element("small", {}, facts), element("small", {}, lasting(key))],
  );
  const acts = element("div", { className: "acts" }, ...(key.over ? [] : acting(key)));
  return element("li", { className: key.over ? "over" : "" }, what, acts);
}

/** @param {Key} key @returns {string} since when, until when, and for how much */
function lasting({ created_at, expires_at, over, limits, budget, models }) {
  const on = (/** @type {number} */ seconds) => day.format(seconds * 1000);
  const numbers = Object.entries(limits).map(([name, value]) => `${say(name)}: ${value}`);
  const money = Object.entries(budget).map(([name, value]) => `${say(`budget_${name}`)}: ${value}`);
  const until = expires_at && !over ? say("until", { day: on(expires_at) }) : "";
  const all = [say("madeOn", { day: on(created_at) }), until, over && say(`over_${over}`), ...numbers, ...money];
  return [...all, models?.join(", ")].filter(Boolean).join(" · ");
}

/** @param {Key} key */
function acting(key) {
  const again = button("again", say("rotate"), () => attempt(key, "rotate", async () => openSecret(await rotate(key.id))));
  const end = button("trash", say("revoke"), () => attempt(key, "revoke", () => revoke(key.id)));
  again.setAttribute("aria-label", say("rotateKey", { user: key.user, id: key.id }));
  end.setAttribute("aria-label", say("revokeKey", { user: key.user, id: key.id }));
  return [again, end];
}

/** @param {Key} key @param {"rotate" | "revoke"} act @param {() => Promise<unknown>} done */
async function attempt({ user, id }, act, done) {
  const means = say(`${act}Means`, { user, id });
  if (!(await confirmed(say(`${act}Key`, { user, id }), means, say(act)))) return;
  try {
    await done();
    await load();
  } catch (error) {
    tell(error);
  }
}

/** @param {unknown} error */
function tell(error) {
  const { status, message } = /** @type {any} */ (error);
  find("#problem").textContent = status === 403 ? say("onlyAdmins") : status ? message : say("unreachable");
  find("#problem").hidden = false;
}
