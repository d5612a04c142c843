/** On which day a chat was last written in, as one says it. */
import { language, say } from "./messages.js";

const DAY = 86_400_000;
const MONTH = new Intl.DateTimeFormat(language, { month: "long", year: "numeric" });

/** @param {number} time in milliseconds since 1970 @param {Date} now @returns {string} */
export function dayOf(time, now = new Date()) {
  const midnight = new Date(now.getFullYear(), now.getMonth(), now.getDate()).getTime();
  if (time >= midnight) return say("today");
  if (time >= midnight - DAY) return say("yesterday");
  if (time >= midnight - 7 * DAY) return say("lastWeek");
  if (time >= midnight - 30 * DAY) return say("lastMonth");
  const month = MONTH.format(time);
  return month[0].toUpperCase() + month.slice(1);
}
