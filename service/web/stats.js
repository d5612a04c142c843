/** The page of statistics: who is there, what he wants to see, and what comes of it. */
import { element } from "./dom.js";
import { language, say } from "./messages.js";
import * as service from "./service.js";
import "./stats.words.js";
import { RunningTurns } from "./stats.running.js";
import { dimensions, measures, splits, sums } from "./stats.sums.js";
import { everyDay, whole } from "./stats.numbers.js";

const RANGES = [7, 30, 90, 365];

const find = (/** @type {string} */ selector) => /** @type {any} */ (document.querySelector(selector));

/** @type {service.Session} */
let who = { user: null, admin: false, needs_key: false };
/** @type {any} what was loaded last: the sums, and the parts of the days */
let loaded = null;
/** @type {string[]} everybody who has used something */
let users = [];
let loads = 0;
const view = wanted();
const turns = new RunningTurns(find("#running"), fail);

document.documentElement.lang = language;
for (const node of document.querySelectorAll("[data-say]")) {
  const [key, ...attributes] = /** @type {any} */ (node).dataset.say.split(" ");
  for (const attribute of attributes) node.setAttribute(attribute, say(key));
  if (!attributes.length) node.textContent = say(key);
}
document.title = `${say("statistics")} · ${say("title")}`;
find("#login").addEventListener("submit", logIn);
find("#leave").addEventListener("click", logOut);
find("#view").addEventListener("submit", (/** @type {Event} */ event) => event.preventDefault());
find("#view").addEventListener("change", choose);
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "visible" && !find("#books").hidden) load();
});
new ResizeObserver(draw).observe(find("#sums"));
begin();

/** What the address asks for. @returns {import("./stats.sums.js").View} */
function wanted() {
  const query = new URLSearchParams(location.search);
  const days = Number(query.get("days"));
  const by = /** @type {any} */ (query.get("by"));
  return {
    days: RANGES.includes(days) ? days : 30,
    by: ["model", "provider", "user"].includes(by) ? by : "model",
    measure: query.get("measure") ?? "requests",
    user: query.get("user") ?? "",
  };
}

async function begin() {
  try {
    enter(await service.session());
  } catch (error) {
    fail(error);
  }
}

/** @param {service.Session} session */
function enter(session) {
  who = session;
  find("#problem").hidden = true;
  find("#login").hidden = who.user !== null;
  find("#books").hidden = who.user === null;
  find("#leave").hidden = who.user === null || !who.needs_key;
  if (who.user === null) {
    turns.leave();
    loaded = null;
    users = [];
    find("#sums").replaceChildren();
    find("#key").focus();
    return;
  }
  if (!who.admin && view.by === "user") view.by = "model";
  turns.watch(who.admin);
  load();
}

async function logIn(/** @type {Event} */ event) {
  event.preventDefault();
  try {
    const session = await service.logIn(find("#key").value);
    find("#key").value = "";
    enter(session);
  } catch (error) {
    tell(/** @type {any} */ (error).status === 401 ? say("wrongKey") : say("unreadable", { reason: String(error) }));
  }
}

async function logOut() {
  await service.logOut().catch(fail);
  begin();
}

/** Asks for what is to be seen; of two answers the one that was asked for last is shown. */
async function load() {
  const load = ++loads;
  const query = { days: String(view.days), ...(view.user && { user: view.user }) };
  find("#sums").setAttribute("aria-busy", "true");
  try {
    const [stats, pieces] = await Promise.all([service.stats(query), service.series({ ...query, by: view.by })]);
    if (load !== loads) return;
    if (!view.user) users = Object.keys(stats.users);
    loaded = { stats, pieces };
    if (!measures(stats.totals).some(([key]) => key === view.measure)) view.measure = "requests";
    find("#problem").hidden = true;
    show();
  } catch (error) {
    if (load === loads) fail(error);
  } finally {
    if (load === loads) find("#sums").setAttribute("aria-busy", "false");
  }
}

function show() {
  const { totals } = loaded.stats;
  const count = totals.requests;
  showChoices();
  showExports();
  find("#empty").hidden = count > 0;
  draw();
  const told = say("loaded", { count, days: view.days }).replace(String(count), whole(count));
  if (find("#announcement").textContent !== told) find("#announcement").textContent = told;
}

/** Again when the width changes: the letters of a chart do not grow with it. */
function draw() {
  if (!loaded) return;
  const width = Math.max(find("#sums").clientWidth, 280);
  const empty = loaded.stats.totals.requests === 0;
  const open = find("#sums details")?.open ?? false;
  find("#sums").replaceChildren(
    ...(empty ? [] : sums(loaded.stats, loaded.pieces, view, who.admin, width)),
  );
  if (find("#sums details")) find("#sums details").open = open;
}

/** The form, made anew only when its choices are others: whoever moves through it stays where he is. */
function showChoices() {
  const form = find("#view");
  const names = [...new Set([...users, view.user])].filter(Boolean);
  const offered = JSON.stringify([measures(loaded.stats.totals), who.admin && names]);
  if (form.dataset.offered !== offered) {
    form.dataset.offered = offered;
    form.replaceChildren(
      choice("days", say("range"), RANGES.map((days) => [String(days), say("days", { count: days })])),
      choice("measure", say("shown"), measures(loaded.stats.totals)),
      choice("by", say("split"), dimensions(who.admin)),
      ...(who.admin ? [userChoice(names)] : []),
    );
  }
  for (const input of form.querySelectorAll("input")) input.checked = String(view[input.name]) === input.value;
  form.querySelector("[data-name=by]").disabled = !splits(view.measure);
}

/** @param {string} name @param {string} title @param {[string, string][]} options */
function choice(name, title, options) {
  const made = options.map(([value, text]) =>
    element("label", {}, element("input", { type: "radio", name, value }), element("span", {}, text)),
  );
  return element("fieldset", { "data-name": name }, element("legend", {}, title), ...made);
}

/** @param {string[]} names */
function userChoice(names) {
  const options = names.map((name) => element("option", { value: name, selected: name === view.user }, name));
  const select = element("select", { name: "user" }, element("option", { value: "" }, say("everybody")), ...options);
  return element("label", { className: "of-user" }, element("span", {}, say("ofUser")), select);
}

function choose() {
  const chosen = new FormData(find("#view"));
  view.days = Number(chosen.get("days"));
  view.measure = String(chosen.get("measure"));
  view.by = /** @type {any} */ (chosen.get("by") ?? view.by); // none where it cannot be split
  view.user = String(chosen.get("user") ?? "");
  const { user, ...others } = view;
  const query = new URLSearchParams({ ...others, days: String(view.days), ...(user && { user }) });
  history.replaceState(null, "", `?${query}`);
  load();
}

function showExports() {
  const first = everyDay(loaded.stats.days.map(({ date }) => date), view.days)[0];
  const query = { since: first, ...(view.user && { user: view.user }) };
  const files = who.admin
    ? [
        [say("exportCsv"), service.ledgerAddress({ ...query, format: "csv" })],
        [say("exportJsonl"), service.ledgerAddress({ ...query, format: "jsonl" })],
      ]
    : [[say("exportMine"), service.personAddress(who.user ?? "")]];
  const links = files.map(([name, href]) => element("a", { href, download: "" }, name));
  find("#exports").replaceChildren(...links.flatMap((link) => [link, " "]));
}

/** Who is not known any more logs in again; everything else is told. @param {unknown} error */
function fail(error) {
  const { status, message } = /** @type {any} */ (error);
  if (status === 401) enter({ ...who, user: null, needs_key: true });
  else tell(say("unreadable", { reason: status ? message : say("unreachable") }));
}

/** @param {string} text */
function tell(text) {
  find("#problem").textContent = text;
  find("#problem").hidden = false;
}
