/** Task cards, a plan's list of them, and what a running stream shows of both. */

import { h, outLink, reconcile } from "./dom.js";
import { icon } from "./icons.js";
import { drawPlain } from "./inline.js";
import { drawPiece, splitMarkdown } from "./markdown.js";
import { drawRichText } from "./richtext.js";

/**
 * @typedef {import("./model.js").Task} Task
 * @typedef {import("./inline.js").Names} Names
 */

/** @type {Record<string, {label: string, icon: string | null}>} */
const STATES = {
  pending: { label: "waiting", icon: null },
  in_progress: { label: "in progress", icon: null },
  stopped: { label: "stopped", icon: null },
  complete: { label: "done", icon: "check" },
  error: { label: "failed", icon: "alert" },
};

/** Cards the reader opened or closed themselves; a card drawn anew stays that way. @type {Map<string, boolean>} */
const opened = new Map();

/**
 * @param {Element | null} old
 * @param {{title: string | null, tasks: Task[], place: string, live: boolean}} plan place: tells this plan's cards from others'; live: whether it still goes on
 * @param {Names} names
 * @returns {Element}
 */
export function drawPlan(old, { title, tasks, place, live }, names) {
  const node =
    old ?? h("section", { class: "plan" }, h("div", { class: "plan-head" }), h("ol", { class: "tasks" }));
  node.setAttribute("aria-label", title || "Tasks");
  const done = tasks.filter((task) => task.status === "complete").length;
  const [head, list] = node.children;
  reconcile(head, [
    { key: "title", parts: [title], make: () => h("span", { class: "plan-title" }, title || "Steps") },
    {
      key: "count",
      parts: [done, tasks.length],
      make: () => h("span", { class: "plan-count" }, `${done} of ${tasks.length} done`),
    },
  ]);
  reconcile(
    list,
    tasks.map((task) => ({
      key: task.id,
      parts: [JSON.stringify(task), live],
      make: () => h("li", { class: "task-item" }, drawTask(task, `${place}:${task.id}`, names, live)),
    })),
  );
  return node;
}

/**
 * @param {Task} task
 * @param {string} place
 * @param {Names} names
 * @param {boolean} live
 * @returns {HTMLElement}
 */
export function drawTask(task, place, names, live) {
  const state = STATES[stateOf(task, live)];
  const sign = h(
    "span",
    { class: "task-sign", role: "img", "aria-label": state.label },
    state.icon ? icon(state.icon) : null,
  );
  const head = [sign, h("span", { class: "task-title" }, drawPlain(task.title))];
  const body = [
    field("task-details", task.details, names),
    field("task-output", task.output, names),
    drawSources(task.sources),
  ].filter(Boolean);
  const shape = `task task-${stateOf(task, live)}`;
  if (body.length === 0) return h("div", { class: shape }, h("div", { class: "task-head" }, head));
  const isOpen = opened.get(place) ?? task.status === "error";
  const details = h(
    "details",
    { class: shape, open: isOpen },
    h("summary", { class: "task-head" }, head, icon("chevron", "task-chevron")),
    h("div", { class: "task-body" }, body),
  );
  const summary = /** @type {HTMLElement} */ (details.firstElementChild);
  summary.addEventListener("click", () => opened.set(place, !details.hasAttribute("open")));
  return details;
}

/** A step that was under way when its message ended will not go on. @param {Task} task @param {boolean} live */
function stateOf(task, live) {
  if (!Object.hasOwn(STATES, task.status)) return "pending";
  return task.status === "in_progress" && !live ? "stopped" : task.status;
}

/** @param {string} shape @param {any} value Markdown, or a rich_text block @param {Names} names */
function field(shape, value, names) {
  if (!value) return null;
  if (typeof value === "object") return h("div", { class: shape }, drawRichText(value, names));
  return h(
    "div",
    { class: `${shape} prose` },
    splitMarkdown(String(value)).map((piece) => drawPiece(piece, names)),
  );
}

/** @param {any[] | null} sources */
function drawSources(sources) {
  if (!sources?.length) return null;
  return h(
    "ul",
    { class: "task-sources" },
    sources.map((source) => h("li", {}, outLink(source.url, { class: "link" }, source.text || source.url))),
  );
}

/**
 * A `task_card` block has the same fields under other names.
 * @param {any} block
 * @returns {Task}
 */
export function taskOfBlock(block) {
  return {
    id: block.task_id,
    title: block.title,
    status: block.status,
    details: block.details,
    output: block.output,
    sources: block.sources,
  };
}
