/** Numbers and days as the reader's language writes them. */
import { language } from "./messages.js";

/** The reader's own way of writing, where his language is the page's. */
const locale = navigator.languages.find((tag) => tag.toLowerCase().startsWith(language)) ?? language;

const plain = new Intl.NumberFormat(locale, { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat(locale, { notation: "compact", maximumFractionDigits: 1 });
const fine = new Intl.NumberFormat(locale, { maximumFractionDigits: 1 });
const unit = new Intl.NumberFormat(locale, { style: "unit", unit: "second", unitDisplay: "narrow", maximumFractionDigits: 2 });
const day = new Intl.DateTimeFormat(locale, { day: "numeric", month: "short", timeZone: "UTC" });
const clock = new Intl.DateTimeFormat(locale, { timeStyle: "medium" });

/** @param {number} value */
export const whole = (value) => plain.format(value);
/** @param {number} value */
export const compact = (value) => short.format(value);
/** @param {number | null | undefined} value */
export const rate = (value) => (value == null ? "–" : fine.format(value));
/** @param {number | null | undefined} value */
export const seconds = (value) => (value == null ? "–" : unit.format(value));

/** @param {number} digits */
const money = (digits) =>
  new Intl.NumberFormat(locale, {
    style: "currency",
    currency: "USD",
    currencyDisplay: "narrowSymbol",
    maximumFractionDigits: digits,
  });
const [coarse, exact] = [money(2), money(6)];

/** Small sums are told to a millionth: a request may cost less than a cent. @param {number} value */
export const dollars = (value) => (Math.abs(value) < 0.1 && value !== 0 ? exact : coarse).format(value);

/** @param {string} date as in 2026-01-31 */
export const dayName = (date) => day.format(new Date(`${date}T00:00:00Z`));
/** @param {number} since in seconds */
export const time = (since) => clock.format(new Date(since * 1000));

/**
 * Every day of a range, today its last: the service leaves out those without a request.
 * @param {string[]} known days that have something @param {number} count @returns {string[]}
 */
export function everyDay(known, count) {
  const here = new Date();
  const today = iso(Date.UTC(here.getFullYear(), here.getMonth(), here.getDate()));
  const end = [today, ...known].sort().at(-1); // the service's clock may be ahead of this one
  const last = Date.parse(`${end}T00:00:00Z`);
  return Array.from({ length: count }, (_, index) => iso(last - (count - 1 - index) * 86_400_000));
}

/** @param {number} moment */
const iso = (moment) => new Date(moment).toISOString().slice(0, 10);
