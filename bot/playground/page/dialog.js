/** Questions that must be answered first, in the browser's own modal dialog. */

import { h } from "./dom.js";

/**
 * @param {{title: string, body: Node | string, yes: string, no: string, danger: boolean}} question
 * @returns {Promise<boolean>}
 */
export function ask({ title, body, yes, no, danger }) {
  const accept = h(
    "button",
    { type: "submit", class: `button ${danger ? "button-danger" : "button-primary"}`, value: "yes" },
    yes,
  );
  const form = h(
    "form",
    { method: "dialog", class: "dialog-form" },
    h("h2", { class: "dialog-title" }, title),
    h("div", { class: "dialog-body" }, body),
    h(
      "div",
      { class: "dialog-foot" },
      h("button", { type: "submit", class: "button", value: "no" }, no),
      accept,
    ),
  );
  const dialog = show(form, title);
  accept.focus();
  return new Promise((resolve) =>
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes")),
  );
}

/**
 * @param {Node} content
 * @param {string} label
 * @returns {HTMLDialogElement} open; it removes itself when closed
 */
export function show(content, label) {
  const dialog = /** @type {HTMLDialogElement} */ (
    h("dialog", { class: "dialog", "aria-label": label }, content)
  );
  document.body.append(dialog);
  dialog.addEventListener("close", () => dialog.remove());
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  dialog.showModal();
  return dialog;
}
