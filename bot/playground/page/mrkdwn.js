/** Slack's own formatting ("mrkdwn"): parsed to a tree, then drawn. */

import { h } from "./dom.js";
import { EMOJI_RULE, angle, drawInline, scan, unescape } from "./inline.js";

/**
 * @typedef {import("./inline.js").Inline} Inline
 * @typedef {{t: "lines", kids: Inline[]} | {t: "quote", kids: Inline[]} | {t: "pre", text: string}
 *   | {t: "list", ordered: boolean, start: number, items: Inline[][]}} Piece
 */

/** @param {string} sign @param {"bold" | "italic" | "strike"} kind @returns {import("./inline.js").Rule} */
function emphasis(sign, kind) {
  return {
    pattern: new RegExp(`${sign}(?!\\s)([^${sign}\\n]*[^${sign}\\s])${sign}(?![\\p{L}\\p{N}])`, "uy"),
    apart: true,
    make: (match, depth) => [{ t: kind, kids: scan(match[1], RULES, depth + 1).map(decode) }],
  };
}

/** @type {import("./inline.js").Rule[]} */
const RULES = [
  { pattern: /<([^<>\n]+)>/y, make: (match) => angle(match[1]) },
  {
    pattern: /`([^`\n]+)`/y,
    make: (match) => [
      { t: "code", text: unescape(match[1].replace(/<(https?:[^<>|]+)(?:\|[^<>]*)?>/g, "$1")) },
    ],
  },
  emphasis("\\*", "bold"),
  emphasis("_", "italic"),
  emphasis("~", "strike"),
  {
    pattern: /https?:\/\/[^\s<>"]*[^\s<>"'.,;:!?)\]]/y,
    apart: true,
    make: (match) => [
      { t: "link", address: unescape(match[0]), kids: [{ t: "text", text: unescape(match[0]) }] },
    ],
  },
  EMOJI_RULE,
];

/** @param {Inline} kid @returns {Inline} */
function decode(kid) {
  return kid.t === "text" ? { t: "text", text: unescape(kid.text) } : kid;
}

/** @param {string} text @returns {Inline[]} */
function inline(text) {
  return scan(text, RULES).map(decode);
}

/** @param {string[]} lines @returns {Inline[]} */
function joined(lines) {
  return lines.flatMap((line, index) =>
    index ? [{ t: /** @type {"break"} */ ("break") }, ...inline(line)] : inline(line),
  );
}

/**
 * @param {string} text as the Slack API carries it, with `&amp; &lt; &gt;` escaped
 * @returns {Piece[]}
 */
export function parseMrkdwn(text) {
  return text.split(/(```[\s\S]+?```)/).flatMap((part) => {
    if (part.startsWith("```") && part.endsWith("```") && part.length > 6) return [fenced(part)];
    return part.trim() ? parseLines(part.replace(/^\n|\n$/g, "").split("\n")) : [];
  });
}

/** @param {string} part @returns {Piece} */
function fenced(part) {
  return { t: "pre", text: unescape(part.slice(3, -3).replace(/^\n|\n$/g, "")) };
}

const KINDS = [
  { kind: "quote", pattern: /^(?:&gt;|>) ?/ },
  { kind: "bullets", pattern: /^\s*[•◦-] +/ },
  { kind: "numbers", pattern: /^\s*(\d{1,4})[.)] +/ },
];

/** @param {string} line */
function kindOf(line) {
  return KINDS.find(({ pattern }) => pattern.test(line)) ?? { kind: "lines", pattern: /^/ };
}

/** @param {string[]} lines @returns {Piece[]} */
function parseLines(lines) {
  /** @type {{kind: string, lines: string[], first: string}[]} */
  const groups = [];
  for (const line of lines) {
    const { kind, pattern } = kindOf(line);
    const last = groups.at(-1);
    if (last?.kind === kind) last.lines.push(line.replace(pattern, ""));
    else groups.push({ kind, lines: [line.replace(pattern, "")], first: line });
  }
  return groups
    .map(toPiece)
    .filter((piece) => piece.t !== "lines" || piece.kids.some((kid) => kid.t !== "break"));
}

/** @param {{kind: string, lines: string[], first: string}} group @returns {Piece} */
function toPiece({ kind, lines, first }) {
  if (kind === "quote") return { t: "quote", kids: joined(lines) };
  if (kind === "lines") return { t: "lines", kids: joined(lines) };
  const start = Number.parseInt(first.trim(), 10) || 1;
  return { t: "list", ordered: kind === "numbers", start, items: lines.map(inline) };
}

/**
 * @param {string} text
 * @param {import("./inline.js").Names} names
 * @returns {HTMLElement}
 */
export function drawMrkdwn(text, names) {
  return h(
    "div",
    { class: "prose" },
    parseMrkdwn(text).map((piece) => drawPiece(piece, names)),
  );
}

/** @param {Piece} piece @param {import("./inline.js").Names} names @returns {Node} */
function drawPiece(piece, names) {
  switch (piece.t) {
    case "pre":
      return h("pre", { tabindex: 0 }, h("code", {}, piece.text));
    case "quote":
      return h("blockquote", {}, drawInline(piece.kids, names));
    case "list":
      return h(
        piece.ordered ? "ol" : "ul",
        { start: piece.ordered ? piece.start : null },
        piece.items.map((item) => h("li", {}, drawInline(item, names))),
      );
    default:
      return h("p", {}, drawInline(piece.kids, names));
  }
}
