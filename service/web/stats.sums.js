/** What was used, drawn: the sums at a glance, the days as bars, how answers ended, and a table by each name. */
import { element } from "./dom.js";
import { say } from "./messages.js";
import { COLOURS, barChart, legend, shareChart, table } from "./stats.chart.js";
import { compact, dayName, dollars, everyDay, rate, seconds, whole } from "./stats.numbers.js";

/** @typedef {{days: number, by: "model" | "provider" | "user", measure: string, user: string}} View */
/**
 * @typedef {object} Measure
 * @property {string} field
 * @property {string} name
 * @property {(value: number) => string} written
 * @property {boolean} [mean] it has no parts
 * @property {number} [least] what two lines of the chart are apart at least
 */

/** @type {Record<string, Measure>} what bars can show */
const MEASURES = {
  requests: { field: "requests", name: "requests", written: whole, least: 1 },
  tokens: { field: "total_tokens", name: "tokensUsed", written: whole, least: 1 },
  cost: { field: "cost_usd", name: "cost", written: dollars },
  wait: { field: "first_token_seconds", name: "firstToken", written: seconds, mean: true },
  speed: { field: "tokens_per_second", name: "speed", written: rate, mean: true },
};
/** Their names and colours. @type {Record<string, [string, number]>} */
const ENDINGS = {
  done: ["done", 3],
  stopped: ["stoppedByUser", 1],
  abandoned: ["abandonedByReader", 7],
  failed: ["failedUpstream", 0],
  timeout: ["timeout", 2],
  interrupted: ["interruptedByUs", 4],
};
const NAMES = { model: "byModel", provider: "byProvider", user: "byUser" };

/** @param {any} totals @returns {[string, string][]} the measures that the service has, and their names */
export const measures = (totals) =>
  Object.entries(MEASURES).flatMap(([key, { field, name }]) => (field in totals ? [[key, say(name)]] : []));

/** @param {boolean} admin @returns {[string, string][]} */
export const dimensions = (admin) =>
  Object.entries(NAMES).flatMap(([key, name]) => (key === "user" && !admin ? [] : [[key, say(name)]]));

/** @param {string} measure whether it can be split */
export const splits = (measure) => !MEASURES[measure]?.mean;

/**
 * @param {any} stats @param {any[]} pieces @param {View} view @param {boolean} admin @param {number} width
 * @returns {Node[]}
 */
export function sums(stats, pieces, view, admin, width) {
  const parts = [tiles(stats.totals), days(stats, pieces, view, width)];
  if (stats.totals.endings) parts.push(endings(stats.totals.endings, width));
  parts.push(names("models", "byModel", stats.models), names("providers", "byProvider", stats.providers));
  if (admin) parts.push(names("users", "byUser", stats.users));
  return parts;
}

/** @param {any} totals */
function tiles(totals) {
  const { prompt_tokens: prompt, completion_tokens: completion, unpriced } = totals;
  const shown = [
    [say("requests"), whole(totals.requests), ""],
    [
      say("tokensUsed"),
      whole(totals.total_tokens),
      say("tokensParts", { prompt: whole(prompt), completion: whole(completion) }),
    ],
  ];
  if ("cost_usd" in totals) {
    const priced = unpriced ? say("unpriced", { count: unpriced }) : say("allPriced");
    shown.push([say("cost"), cost(totals), priced]);
  }
  if (totals.first_token_seconds != null) {
    shown.push([say("firstToken"), seconds(totals.first_token_seconds), say("mean")]);
  }
  if (totals.tokens_per_second != null) {
    shown.push([say("speed"), rate(totals.tokens_per_second), say("mean")]);
  }
  const made = shown.map(([name, value, note]) => {
    const told = element("dd", {}, element("strong", {}, value));
    if (note) told.append(element("small", {}, note));
    return element("div", {}, element("dt", {}, name), told);
  });
  return element("dl", { className: "tiles" }, ...made);
}

/** @param {any} stats @param {any[]} pieces @param {View} view @param {number} width */
function days(stats, pieces, view, width) {
  const { field, name, written, mean, least } = MEASURES[view.measure];
  const dates = everyDay(stats.days.map(({ date }) => date), view.days);
  const { heads, values } = mean ? one(stats.days, field, say(name)) : split(pieces, field);
  const bars = dates.map((date) => {
    const parts = heads.map((_, index) => values.get(`${date} ${index}`) ?? 0);
    const told = heads.map((head, index) => [head, parts[index]]).filter(([, part]) => part > 0);
    const title = [dayName(date), ...told.map(([head, part]) => `${head}: ${written(part)}`)].join("\n");
    return { date, label: dayName(date), title, parts, sum: parts.reduce((sum, part) => sum + part, 0) };
  });
  const top = bars.reduce((best, bar) => (bar.sum > best.sum ? bar : best));
  const total = written(bars.reduce((sum, bar) => sum + bar.sum, 0));
  const said = { what: say(name), days: view.days, by: say(NAMES[view.by]), day: top.label };
  const label = say(mean ? "chartLabelMean" : "chartLabel", { ...said, total, most: written(top.sum) });
  const axis = least ? compact : written;
  const rows = bars.filter(({ sum }) => sum > 0).map((bar) => [bar.date, ...cells(bar, heads, written)]);
  const caption = say(mean ? "dayByDay" : "perDay", { what: say(name) });
  const columns = heads.length > 1 ? [...heads, say("total")] : heads;
  return element(
    "section",
    {},
    element("h2", {}, caption),
    barChart(label, bars, width, axis, least),
    ...(mean ? [] : [legend(heads)]),
    asTable(table(caption, [say("day"), ...columns], rows)),
  );
}

/** @param {{parts: number[], sum: number}} bar @param {string[]} heads @param {(value: number) => string} written */
const cells = (bar, heads, written) =>
  [...bar.parts, ...(heads.length > 1 ? [bar.sum] : [])].map((value) => written(value));

/** @param {any[]} days @param {string} field @param {string} name */
const one = (days, field, name) => ({
  heads: [name],
  values: new Map(days.map((day) => [`${day.date} 0`, day[field] ?? 0])),
});

/** The largest names, each a colour, and all others together. @param {any[]} pieces @param {string} field */
function split(pieces, field) {
  /** @type {Map<string | null, number>} */
  const sums = new Map();
  for (const piece of pieces) sums.set(piece.name, (sums.get(piece.name) ?? 0) + piece[field]);
  const ranked = [...sums.keys()].filter((name) => name !== null).sort((a, b) => sums.get(b) - sums.get(a));
  const own = ranked.length + Number(sums.has(null)) <= COLOURS ? ranked : ranked.slice(0, COLOURS - 1);
  const heads = own.length < sums.size ? [...own, say("others")] : own;
  const values = new Map();
  for (const piece of pieces) {
    const index = own.indexOf(piece.name);
    const place = `${piece.date} ${index < 0 ? heads.length - 1 : index}`;
    values.set(place, (values.get(place) ?? 0) + piece[field]);
  }
  return { heads, values };
}

/** @param {Record<string, number>} counts @param {number} width */
function endings(counts, width) {
  const shares = Object.entries(ENDINGS)
    .filter(([key]) => counts[key])
    .map(([key, [name, colour]]) => ({ name: `${say(name)}: ${whole(counts[key])}`, value: counts[key], colour }));
  const label = say("sharesLabel", { shares: shares.map(({ name }) => name).join(", ") });
  return element(
    "section",
    { className: "endings" },
    element("h2", {}, say("endings")),
    shareChart(label, shares, width),
    legend(
      shares.map(({ name }) => name),
      shares.map(({ colour }) => colour),
    ),
  );
}

/** @param {string} title @param {string} name @param {Record<string, any>} all */
function names(title, name, all) {
  const rows = Object.entries(all);
  const columns = [
    ["requests", whole, "requests"],
    ["total_tokens", whole, "tokensUsed"],
    ["cost_usd", dollars, "cost"],
    ["unpriced", whole, "unpricedShort"],
    ["first_token_seconds", seconds, "firstToken"],
    ["tokens_per_second", rate, "speed"],
  ].filter(([field]) => rows.every(([, counters]) => field in counters));
  const heads = [say(name), ...columns.map(([, , key]) => say(key))];
  const cell = (/** @type {any} */ counters) => ([field, write]) =>
    field === "cost_usd" ? cost(counters) : write(counters[field]);
  const lines = rows.map(([row, counters]) => [row, ...columns.map(cell(counters))]);
  return element("section", {}, element("h2", {}, say(title)), table(say(title), heads, lines));
}

/** What nobody has a price for is not for free. @param {any} counters */
const cost = ({ cost_usd: sum, unpriced, requests }) => (unpriced && unpriced >= requests ? "–" : dollars(sum));

/** @param {Node} content */
const asTable = (content) => element("details", {}, element("summary", {}, say("asTable")), content);
