/** Slack's `rich_text` blocks. */

import { h } from "./dom.js";
import { drawInline } from "./inline.js";

/** @typedef {import("./inline.js").Names} Names */

/**
 * @param {any} block
 * @param {Names} names
 * @returns {HTMLElement}
 */
export function drawRichText(block, names) {
  return h(
    "div",
    { class: "prose" },
    list(block.elements).map((element) => drawSection(element, names)),
  );
}

/** @param {unknown} value @returns {any[]} */
function list(value) {
  return Array.isArray(value) ? value : [];
}

/** @param {any} section @param {Names} names @returns {HTMLElement} */
function drawSection(section, names) {
  const kids = list(section.elements);
  switch (section.type) {
    case "rich_text_preformatted":
      return h("pre", { tabindex: 0 }, h("code", {}, kids.map((kid) => kid.text ?? kid.url ?? "").join("")));
    case "rich_text_quote":
      return h("blockquote", {}, drawElements(kids, names));
    case "rich_text_list":
      return h(
        section.style === "ordered" ? "ol" : "ul",
        {
          class: `indent-${Math.min(Number(section.indent) || 0, 4)}`,
          start: section.offset ? section.offset + 1 : null,
        },
        kids.map((kid) => h("li", {}, drawElements(list(kid.elements), names))),
      );
    default:
      return h("p", {}, drawElements(kids, names));
  }
}

/** @param {any[]} elements @param {Names} names */
function drawElements(elements, names) {
  return elements.flatMap((element) => drawInline(toInline(element), names));
}

/** @param {any} element @returns {import("./inline.js").Inline[]} */
function toInline(element) {
  switch (element.type) {
    case "text":
      return styled(lines(String(element.text ?? "")), element.style);
    case "link":
      return styled(
        [{ t: "link", address: element.url, kids: [{ t: "text", text: element.text || element.url }] }],
        element.style,
      );
    case "user":
      return [{ t: "user", name: element.user_id }];
    case "channel":
      return [{ t: "channel", name: element.channel_id }];
    case "broadcast":
      return [{ t: "broadcast", name: element.range }];
    case "emoji":
      return [{ t: "emoji", name: element.name }];
    default:
      return [{ t: "text", text: element.fallback ?? element.text ?? element.value ?? "" }];
  }
}

/** @param {string} text @returns {import("./inline.js").Inline[]} */
function lines(text) {
  return text
    .split("\n")
    .flatMap((line, index) =>
      index ? [{ t: "break" }, { t: "text", text: line }] : [{ t: "text", text: line }],
    );
}

/** @param {import("./inline.js").Inline[]} kids @param {Record<string, boolean>} [style] @returns {import("./inline.js").Inline[]} */
function styled(kids, style = {}) {
  if (style.code) return kids.map((kid) => (kid.t === "text" ? { t: "code", text: kid.text } : kid));
  for (const kind of /** @type {const} */ (["strike", "italic", "bold"]))
    if (style[kind]) kids = [{ t: kind, kids }];
  return kids;
}
