/** Changing one's own message in place. */

import { fitHeight } from "./composer.js";
import { h } from "./dom.js";
import { toRaw, toTyped } from "./raw.js";

/**
 * @param {import("./model.js").Message} message
 * @param {import("./main.js").App} app
 * @returns {HTMLElement}
 */
export function drawEditor(message, app) {
  const names = app.store.names();
  const field = /** @type {HTMLTextAreaElement} */ (
    h("textarea", { class: "editor-field", rows: 1, "aria-label": "Edit the message" })
  );
  field.value = toTyped(message.text, names);
  const save = async () => {
    const text = toRaw(field.value.trim(), names);
    if (
      text &&
      text !== message.text &&
      (await app.act("edit", { channel: message.channel, ts: message.ts, text })) === null
    )
      return;
    app.edit(null);
  };
  field.addEventListener("input", () => fitHeight(field));
  field.addEventListener("keydown", (event) => {
    if (event.isComposing) return;
    if (event.key === "Escape") app.edit(null);
    else if (event.key === "Enter" && !event.shiftKey) save();
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  requestAnimationFrame(() => {
    fitHeight(field);
    field.focus();
  });
  return h(
    "div",
    { class: "editor" },
    field,
    h(
      "div",
      { class: "editor-foot" },
      h("button", { type: "button", class: "button", onclick: () => app.edit(null) }, "Cancel"),
      h("button", { type: "button", class: "button button-primary", onclick: save }, "Save"),
    ),
  );
}
