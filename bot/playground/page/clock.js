/** Slack's `ts` (seconds with six decimals, as text) as times and days people read. */

const TIME = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const FULL = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "medium" });
const DAY = new Intl.DateTimeFormat(undefined, { weekday: "long", month: "long", day: "numeric" });

/** @param {string} ts @returns {Date} */
export function dateOf(ts) {
  return new Date(Number(ts) * 1000);
}

/** @param {string} ts */
export function timeOf(ts) {
  return TIME.format(dateOf(ts));
}

/** @param {string} ts */
export function fullTimeOf(ts) {
  return FULL.format(dateOf(ts));
}

/** @param {string} ts @returns {string} "Today", "Yesterday" or the day's name and date */
export function dayOf(ts) {
  const day = dateOf(ts);
  const today = new Date();
  const yesterday = new Date(today.getFullYear(), today.getMonth(), today.getDate() - 1);
  if (day.toDateString() === today.toDateString()) return "Today";
  if (day.toDateString() === yesterday.toDateString()) return "Yesterday";
  return DAY.format(day);
}
