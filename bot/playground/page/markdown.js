/** Standard Markdown, for `markdown` blocks and streams: cut into pieces, each drawn on its own. */

import { h } from "./dom.js";
import { EMOJI_RULE, angle, drawInline, scan } from "./inline.js";

/**
 * @typedef {import("./inline.js").Inline} Inline
 * @typedef {import("./inline.js").Names} Names
 */

/** @param {string} sign @param {"bold" | "italic" | "strike"} kind @param {boolean} apart @returns {import("./inline.js").Rule} */
function emphasis(sign, kind, apart) {
  const after = apart ? "(?![\\p{L}\\p{N}])" : "";
  return {
    pattern: new RegExp(`${sign}(?!\\s)([^\\n]*?[^\\s\\\\])${sign}${after}`, "uy"),
    apart,
    make: (match, depth) => [{ t: kind, kids: scan(match[1], RULES, depth + 1) }],
  };
}

/** @type {import("./inline.js").Rule[]} */
const RULES = [
  { pattern: /\\([\\`*_{}[\]()#+\-.!~|<>])/y, make: (match) => [{ t: "text", text: match[1] }] },
  { pattern: /``[ ]?([^\n]+?)[ ]?``/y, make: (match) => [{ t: "code", text: match[1] }] },
  { pattern: /`([^`\n]+)`/y, make: (match) => [{ t: "code", text: match[1] }] },
  { pattern: /!\[([^\]\n]*)\]\(([^()\s]+)\)/y, make: (match) => [{ t: "text", text: match[1] || "image" }] },
  {
    pattern: /\[([^\]\n]+)\]\(([^()\s]+(?:\([^()\s]*\))?)(?: "[^"\n]*")?\)/y,
    make: (match, depth) => [{ t: "link", address: match[2], kids: scan(match[1], RULES, depth + 1) }],
  },
  { pattern: /<([^<>\n]+)>/y, make: (match) => angle(match[1]) },
  emphasis("\\*\\*", "bold", false),
  emphasis("__", "bold", true),
  emphasis("~~", "strike", false),
  emphasis("\\*", "italic", false),
  emphasis("_", "italic", true),
  {
    pattern: /https?:\/\/[^\s<>"]*[^\s<>"'.,;:!?)\]*_]/y,
    apart: true,
    make: (match) => [{ t: "link", address: match[0], kids: [{ t: "text", text: match[0] }] }],
  },
  EMOJI_RULE,
];

/** @param {string} text @returns {Inline[]} */
function inline(text) {
  return scan(text.replace(/ {2,}\n/g, "\n"), RULES).flatMap((kid) =>
    kid.t === "text" ? withBreaks(kid.text) : [kid],
  );
}

/** @param {string} text @returns {Inline[]} */
function withBreaks(text) {
  return text.split("\n").flatMap((line, index) => {
    const kids = line ? [{ t: /** @type {"text"} */ ("text"), text: line }] : [];
    return index ? [{ t: /** @type {"break"} */ ("break") }, ...kids] : kids;
  });
}

const FENCE = /^ {0,3}(`{3,}|~{3,})/;
const ITEM = /^(\s*)([-*+]|\d{1,9}[.)])\s+(.*)$/;
const RULE = /^ {0,3}([-*_])(?:\s*\1){2,}\s*$/;
const HEADING = /^(#{1,6})\s+(.*?)\s*#*$/;
const TABLE_RULE = /^\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$/;

/**
 * Cut Markdown into top-level pieces whose sources, joined, are the whole text. An unfinished
 * fence runs to the end, so a text may be drawn while it is still being written.
 * @param {string} text
 * @returns {string[]}
 */
export function splitMarkdown(text) {
  const lines = text.replace(/\r\n?/g, "\n").split("\n");
  /** @type {string[]} */
  const pieces = [];
  for (let at = 0; at < lines.length;) {
    const end = pieceEnd(lines, at);
    if (lines[at].trim()) pieces.push(lines.slice(at, end).join("\n"));
    at = end;
  }
  return pieces;
}

/** @param {string[]} lines @param {number} at @returns {number} the line after the piece that begins at `at` */
function pieceEnd(lines, at) {
  const line = lines[at];
  const fence = FENCE.exec(line);
  if (fence) return fenceEnd(lines, at, fence[1]);
  if (!line.trim() || HEADING.test(line) || RULE.test(line)) return at + 1;
  if (ITEM.test(line)) return runEnd(lines, at, (next) => ITEM.test(next) || /^\s{2,}\S/.test(next));
  if (line.startsWith(">")) return runEnd(lines, at, (next) => next.startsWith(">"));
  if (line.includes("|") && TABLE_RULE.test(lines[at + 1] ?? ""))
    return runEnd(lines, at, (next) => next.includes("|"));
  return runEnd(lines, at, (next) => Boolean(next.trim()) && !startsPiece(next));
}

/** @param {string[]} lines @param {number} at @param {string} mark */
function fenceEnd(lines, at, mark) {
  const close = lines.findIndex((line, index) => index > at && line.trim().startsWith(mark));
  return close < 0 ? lines.length : close + 1;
}

/** @param {string[]} lines @param {number} at @param {(line: string) => boolean} goesOn */
function runEnd(lines, at, goesOn) {
  let end = at + 1;
  while (end < lines.length && goesOn(lines[end])) end += 1;
  return end;
}

/** @param {string} line */
function startsPiece(line) {
  return FENCE.test(line) || HEADING.test(line) || RULE.test(line) || ITEM.test(line) || line.startsWith(">");
}

/**
 * @param {string} source one piece from splitMarkdown
 * @param {Names} names
 * @param {number} [depth] quotes already open around it
 * @returns {HTMLElement}
 */
export function drawPiece(source, names, depth = 0) {
  const first = source.split("\n", 1)[0];
  const fence = FENCE.exec(first);
  if (fence) return drawFence(source, fence[1]);
  const heading = HEADING.exec(first);
  if (heading)
    return h(
      "p",
      { class: "md-heading", role: "heading", "aria-level": heading[1].length },
      drawInline(inline(heading[2]), names),
    );
  if (RULE.test(first)) return h("hr");
  if (ITEM.test(first)) return drawList(source.split("\n"), names);
  if (first.startsWith(">")) return drawQuote(source, names, depth);
  const lines = source.split("\n");
  if (TABLE_RULE.test(lines[1] ?? "") && first.includes("|")) return drawTable(lines, names);
  return h("p", {}, drawInline(inline(source), names));
}

/** @param {string} source @param {string} mark */
function drawFence(source, mark) {
  const lines = source.split("\n").slice(1);
  if (lines.at(-1)?.trim().startsWith(mark)) lines.pop();
  return h("pre", { tabindex: 0 }, h("code", {}, lines.join("\n")));
}

/** @param {string} source @param {Names} names @param {number} depth */
function drawQuote(source, names, depth) {
  const inner = source.replace(/^> ?/gm, "");
  if (depth > 4) return h("blockquote", {}, inner);
  return h(
    "blockquote",
    {},
    splitMarkdown(inner).map((piece) => drawPiece(piece, names, depth + 1)),
  );
}

/** @param {string[]} lines @param {Names} names @returns {HTMLElement} */
function drawList(lines, names) {
  const first = /** @type {RegExpExecArray} */ (ITEM.exec(lines[0]));
  const ordered = /\d/.test(first[2]);
  const list = h(ordered ? "ol" : "ul", { start: ordered ? Number.parseInt(first[2], 10) : null });
  for (let at = 0; at < lines.length;) {
    const own = ITEM.exec(lines[at]);
    const end = runEnd(lines, at, (line) => (ITEM.exec(line)?.[1].length ?? 99) > first[1].length);
    list.append(drawListItem(own ? own[3] : lines[at].trim(), lines.slice(at + 1, end), names));
    at = end;
  }
  return list;
}

/** @param {string} text @param {string[]} below @param {Names} names */
function drawListItem(text, below, names) {
  const firstNested = below.findIndex((line) => ITEM.test(line));
  const more = firstNested < 0 ? below : below.slice(0, firstNested);
  const nested = firstNested < 0 ? [] : below.slice(firstNested);
  const task = /^\[([ xX])\]\s+/.exec(text);
  const body = [text.slice(task ? task[0].length : 0), ...more.map((line) => line.trim())].join("\n");
  const box =
    task &&
    h("input", {
      type: "checkbox",
      disabled: true,
      checked: task[1] !== " ",
      "aria-label": task[1] === " " ? "open" : "done",
    });
  return h(
    "li",
    { class: task ? "md-task" : null },
    box,
    drawInline(inline(body), names),
    nested.length ? drawList(nested, names) : null,
  );
}

/** @param {string[]} lines @param {Names} names */
function drawTable(lines, names) {
  const [head, , ...rows] = lines.map((line) =>
    line
      .trim()
      .replace(/^\||\|$/g, "")
      .split(/(?<!\\)\|/),
  );
  const row = (/** @type {string[]} */ cells, /** @type {string} */ tag) =>
    h(
      "tr",
      {},
      cells.map((cell) => h(tag, {}, drawInline(inline(cell.trim()), names))),
    );
  return h(
    "div",
    { class: "table-frame", tabindex: 0 },
    h(
      "table",
      {},
      h("thead", {}, row(head, "th")),
      h(
        "tbody",
        {},
        rows.map((cells) => row(cells, "td")),
      ),
    ),
  );
}
