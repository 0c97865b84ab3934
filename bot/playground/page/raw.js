/** What people type, and the raw form Slack carries: escapes, `<@U…>` mentions, `<#C…>` channels, `<https://…>` links. */

import { unescape } from "./inline.js";

const CODE = /(```[\s\S]*?```|`[^`\n]+`)/;
const ADDRESS = /https?:\/\/[^\s<>"]*[^\s<>"'.,;:!?)\]]/g;

/** @param {string} text */
function escape(text) {
  return text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
}

/** @param {string} text */
function quotePattern(text) {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}

/**
 * A pattern for `@Some Name`, longest names first so that "Ann Lee" wins over "Ann".
 * @param {string[]} names
 * @param {string} sign
 */
function namePattern(names, sign) {
  const sorted = names.filter(Boolean).sort((a, b) => b.length - a.length);
  return new RegExp(
    `(?<![\\p{L}\\p{N}${sign}])${sign}(${sorted.map(quotePattern).join("|") || "(?!)"})(?![\\p{L}\\p{N}_-])`,
    "giu",
  );
}

/**
 * @param {string} typed
 * @param {import("./inline.js").Names} names
 * @returns {string}
 */
export function toRaw(typed, names) {
  const users = byName(
    [...names.users.values()].flatMap((user) => [
      [user.real_name, user.id],
      [user.name, user.id],
    ]),
  );
  const channels = byName(
    [...names.channels.values()].filter((one) => !one.is_im).map((one) => [one.name, one.id]),
  );
  const people = namePattern([...users.keys()], "@");
  const places = namePattern([...channels.keys()], "#");
  return typed
    .split(CODE)
    .map((part, index) => {
      if (index % 2) return escape(part);
      return escape(part)
        .replace(ADDRESS, (address) => `<${address}>`)
        .replace(people, (_, name) => `<@${users.get(name.toLowerCase())}>`)
        .replace(places, (_, name) => `<#${channels.get(name.toLowerCase())}>`);
    })
    .join("");
}

/** @param {string[][]} pairs @returns {Map<string, string>} */
function byName(pairs) {
  return new Map(pairs.filter(([name]) => name).map(([name, id]) => [name.toLowerCase(), id]));
}

/**
 * The typed form of a raw text, for editing and for reading aloud.
 * @param {string} raw
 * @param {import("./inline.js").Names} names
 * @returns {string}
 */
export function toTyped(raw, names) {
  const typed = raw
    .replace(
      /<@([A-Z0-9]+)(?:\|([^>]*))?>/g,
      (_, id, label) => `@${names.users.get(id)?.real_name || label || id}`,
    )
    .replace(
      /<#([A-Z0-9]+)(?:\|([^>]*))?>/g,
      (_, id, label) => `#${names.channels.get(id)?.name || label || id}`,
    )
    .replace(/<(https?:[^<>|]+)(?:\|[^<>]*)?>/g, "$1");
  return unescape(typed);
}
