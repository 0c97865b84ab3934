/** Block Kit: how each block looks. What can be clicked is in elements.js. */

import { h, outLink } from "./dom.js";
import { drawElement } from "./elements.js";
import { drawPlain } from "./inline.js";
import { drawPiece, splitMarkdown } from "./markdown.js";
import { drawMrkdwn } from "./mrkdwn.js";
import { drawRichText } from "./richtext.js";
import { drawPlan, drawTask, taskOfBlock } from "./tasks.js";

/**
 * @typedef {object} Setting what stands around a block
 * @property {import("./inline.js").Names} names
 * @property {string} place  tells this message's parts from others'
 * @property {import("./model.js").Message} message
 * @property {import("./main.js").App} app
 */

/** @type {Record<string, (block: any, setting: Setting) => Element>} */
const DRAW = {
  section: drawSection,
  header: (block) =>
    h(
      "p",
      { class: "block-header", role: "heading", "aria-level": 3 },
      drawPlain(String(block.text?.text ?? "")),
    ),
  context: (block, setting) =>
    h(
      "div",
      { class: "block-context" },
      list(block.elements).map((element) => drawContext(element, setting)),
    ),
  divider: () => h("hr", { class: "block-divider" }),
  actions: drawActions,
  context_actions: drawActions,
  input: drawInput,
  rich_text: (block, { names }) => drawRichText(block, names),
  markdown: (block, { names }) =>
    h(
      "div",
      { class: "prose" },
      splitMarkdown(String(block.text ?? "")).map((piece) => drawPiece(piece, names)),
    ),
  image: (block) => drawImage(block),
  table: drawTable,
  task_card: (block, { names, place }) =>
    drawTask(taskOfBlock(block), `${place}:${block.task_id}`, names, true),
  plan: (block, { names, place }) =>
    drawPlan(
      null,
      { title: block.title, tasks: list(block.tasks).map(taskOfBlock), place, live: true },
      names,
    ),
  alert: (block, { names }) =>
    h(
      "div",
      { class: `block-alert block-alert-${block.level ?? "default"}`, role: "note" },
      drawText(block.text, names),
    ),
};

/**
 * @param {any} block
 * @param {Setting} setting
 * @returns {Element}
 */
export function drawBlock(block, setting) {
  const draw = Object.hasOwn(DRAW, block?.type) ? DRAW[block.type] : null;
  if (draw) return draw(block, setting);
  return h("p", { class: "block-unknown" }, `A “${block?.type}” block, which this playground does not draw.`);
}

/** @param {unknown} value @returns {any[]} */
function list(value) {
  return Array.isArray(value) ? value : [];
}

/**
 * A text object: `mrkdwn` is formatted, `plain_text` is not.
 * @param {any} text
 * @param {import("./inline.js").Names} names
 * @returns {HTMLElement}
 */
export function drawText(text, names) {
  if (text?.type === "mrkdwn") return drawMrkdwn(String(text.text ?? ""), names);
  return h("div", { class: "prose plain" }, drawPlain(String(text?.text ?? text ?? "")));
}

/** @param {any} block @param {Setting} setting */
function drawSection(block, setting) {
  const fields = list(block.fields);
  return h(
    "div",
    { class: "block-section" },
    h(
      "div",
      { class: "block-section-text" },
      block.text ? drawText(block.text, setting.names) : null,
      fields.length
        ? h(
            "div",
            { class: "block-fields" },
            fields.map((field) => drawText(field, setting.names)),
          )
        : null,
    ),
    block.accessory
      ? h("div", { class: "block-accessory" }, drawElement(block.accessory, setting, label(block)))
      : null,
  );
}

/** What a select in a section is about, for those who do not see them side by side. @param {any} block */
function label(block) {
  return String(block.text?.text ?? "").slice(0, 150);
}

/** @param {any} block @param {Setting} setting */
function drawActions(block, setting) {
  return h(
    "div",
    { class: "block-actions" },
    list(block.elements).map((element) => drawElement(element, setting, "")),
  );
}

/** @param {any} block @param {Setting} setting */
function drawInput(block, setting) {
  const words = String(block.label?.text ?? "");
  return h(
    "div",
    { class: "block-input" },
    h("p", { class: "block-input-label" }, drawPlain(words)),
    drawElement(block.element ?? {}, setting, words),
  );
}

/** @param {any} element @param {Setting} setting */
function drawContext(element, { names }) {
  return element.type === "image" ? drawImage(element) : drawText(element, names);
}

/** Pictures are named, not fetched: the page loads nothing from outside. @param {any} block */
function drawImage(block) {
  const title = block.title?.text || block.alt_text || "image";
  return outLink(block.image_url, { class: "block-image" }, `Image: ${title}`);
}

/** @param {any} block @param {Setting} setting */
function drawTable(block, setting) {
  const [head, ...rows] = list(block.rows);
  const settings = list(block.column_settings);
  const row = (/** @type {any[]} */ cells, /** @type {string} */ tag) =>
    h(
      "tr",
      {},
      list(cells).map((cell, column) =>
        h(tag, { class: alignment(settings[column]) }, drawCell(cell, setting)),
      ),
    );
  return h(
    "div",
    { class: "table-frame", tabindex: 0, role: "region", "aria-label": "Table" },
    h(
      "table",
      {},
      head ? h("thead", {}, row(head, "th")) : null,
      h(
        "tbody",
        {},
        rows.map((cells) => row(cells, "td")),
      ),
    ),
  );
}

/** @param {any} column */
function alignment(column) {
  return ["center", "right"].includes(column?.align) ? `align-${column.align}` : null;
}

/** @param {any} cell @param {Setting} setting */
function drawCell(cell, { names }) {
  return cell?.type === "rich_text" ? drawRichText(cell, names) : String(cell?.text ?? cell?.value ?? "");
}
