/** The small tree that both kinds of formatting are parsed into, and how it becomes nodes. */

import { h, outLink } from "./dom.js";
import { emojiCharacter, splitAtEmoji } from "./emoji.js";
import { emojiArt, hasEmojiFont } from "./emoji_art.js";

/**
 * @typedef {{t: "text", text: string} | {t: "bold" | "italic" | "strike", kids: Inline[]} | {t: "code", text: string}
 *   | {t: "link", address: string, kids: Inline[]} | {t: "user" | "channel" | "broadcast" | "emoji", name: string, label?: string}
 *   | {t: "break"}} Inline
 */

/**
 * @typedef {object} Names what a text needs to know to show people and channels
 * @property {Map<string, import("./model.js").User>} users
 * @property {Map<string, import("./model.js").Channel>} channels
 * @property {string} me  the id of the person looking
 */

/** @type {Names} */
const NOBODY = { users: new Map(), channels: new Map(), me: "" };
const TAGS = { bold: "strong", italic: "em", strike: "s" };

/**
 * @param {Inline[]} kids
 * @param {Names} names
 * @returns {Node[]}
 */
export function drawInline(kids, names) {
  return kids.flatMap((kid) => (kid.t === "text" ? drawWords(kid.text) : [drawOne(kid, names)]));
}

/** Emoji written as characters become drawings where no font has them. @param {string} text @returns {Node[]} */
function drawWords(text) {
  if (hasEmojiFont()) return [document.createTextNode(text)];
  const parts = splitAtEmoji(text).map((part, index) =>
    index % 2 ? drawEmoji(part) : document.createTextNode(part),
  );
  return parts.filter((part) => part.textContent !== "" || part.nodeType !== Node.TEXT_NODE);
}

/**
 * A text without formatting, in which short names still become emoji.
 * @param {string} text
 * @returns {Node[]}
 */
export function drawPlain(text) {
  return drawInline(scan(text, [EMOJI_RULE]), NOBODY);
}

/** @param {Exclude<Inline, {t: "text"}>} kid @param {Names} names @returns {Node} */
function drawOne(kid, names) {
  switch (kid.t) {
    case "break":
      return h("br");
    case "code":
      return h("code", {}, kid.text);
    case "link":
      return outLink(kid.address, { class: "link" }, drawInline(kid.kids, names));
    case "user":
      return drawUser(kid.name, kid.label, names);
    case "channel":
      return drawChannel(kid.name, kid.label, names);
    case "broadcast":
      return h("span", { class: "mention mention-me" }, `@${kid.name}`);
    case "emoji":
      return drawEmoji(kid.name);
    default:
      return h(TAGS[kid.t], {}, drawInline(kid.kids, names));
  }
}

/** @param {string} id @param {string | undefined} label @param {Names} names */
function drawUser(id, label, names) {
  const user = names.users.get(id);
  const shown = user ? user.real_name || user.name : label || id;
  return h("span", { class: id === names.me ? "mention mention-me" : "mention", title: id }, `@${shown}`);
}

/** @param {string} id @param {string | undefined} label @param {Names} names */
function drawChannel(id, label, names) {
  const channel = names.channels.get(id);
  if (!channel) return h("span", { class: "mention" }, `#${label || id}`);
  return h("a", { class: "mention", href: `#/${channel.id}` }, `#${channel.name}`);
}

/**
 * @param {string} name
 * @returns {Node}
 */
export function drawEmoji(name) {
  const character = emojiCharacter(name);
  const picture = hasEmojiFont() ? character : emojiArt(name);
  if (character === null || picture === null) return document.createTextNode(`:${name}:`);
  return h("span", { class: "emoji", role: "img", "aria-label": name, title: `:${name}:` }, picture);
}

/**
 * @typedef {object} Rule
 * @property {RegExp} pattern  sticky
 * @property {boolean} [apart] only where no letter or digit stands directly before it
 * @property {(match: RegExpExecArray, depth: number) => Inline[]} make  an empty list declines the match
 */

const DEEPEST = 8;

/**
 * Cut a text by the first rule that matches at each place; what no rule wants stays text.
 * @param {string} text
 * @param {Rule[]} rules
 * @param {number} depth how many emphases are already open; beyond DEEPEST nothing more is parsed
 * @returns {Inline[]}
 */
export function scan(text, rules, depth = 0) {
  if (depth > DEEPEST) return [{ t: "text", text }];
  /** @type {Inline[]} */
  const found = [];
  let plainFrom = 0;
  let at = 0;
  while (at < text.length) {
    const hit = firstMatch(text, at, rules, depth);
    if (hit === null) {
      at += 1;
      continue;
    }
    if (plainFrom < at) found.push({ t: "text", text: text.slice(plainFrom, at) });
    found.push(...hit.kids);
    at = plainFrom = hit.end;
  }
  if (plainFrom < text.length) found.push({ t: "text", text: text.slice(plainFrom) });
  return found;
}

/** @param {string} text @param {number} at @param {Rule[]} rules @param {number} depth */
function firstMatch(text, at, rules, depth) {
  const joined = at > 0 && /[\p{L}\p{N}]/u.test(text[at - 1]);
  for (const rule of rules) {
    if (rule.apart && joined) continue;
    rule.pattern.lastIndex = at;
    const match = rule.pattern.exec(text);
    const kids = match ? rule.make(match, depth) : [];
    if (match && kids.length > 0) return { kids, end: at + match[0].length };
  }
  return null;
}

/**
 * What stands between Slack's angle brackets: people, channels, broadcasts and links.
 * @param {string} inside
 * @returns {Inline[]} empty where it is none of these
 */
export function angle(inside) {
  const [target, label] = splitOnce(inside, "|");
  if (/^@[UWB]/.test(target)) return [{ t: "user", name: target.slice(1), label }];
  if (target.startsWith("#")) return [{ t: "channel", name: target.slice(1), label }];
  if (/^!(here|channel|everyone)$/.test(target)) return [{ t: "broadcast", name: target.slice(1) }];
  if (target.startsWith("!date^")) return label ? [{ t: "text", text: label }] : [];
  if (!/^https?:\/\//i.test(target)) return [];
  return [{ t: "link", address: unescape(target), kids: [{ t: "text", text: unescape(label || target) }] }];
}

/** @param {string} text @param {string} mark @returns {[string, string | undefined]} */
function splitOnce(text, mark) {
  const at = text.indexOf(mark);
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)];
}

/**
 * Undo the three escapes that Slack puts into texts.
 * @param {string} text
 * @returns {string}
 */
export function unescape(text) {
  return text.replace(/&lt;/g, "<").replace(/&gt;/g, ">").replace(/&amp;/g, "&");
}

/** @type {Rule} */
export const EMOJI_RULE = {
  pattern: /:([a-z0-9_+'-]+(?:::skin-tone-\d)?):/y,
  make: (match) => (emojiCharacter(match[1]) === null ? [] : [{ t: "emoji", name: match[1] }]),
};
