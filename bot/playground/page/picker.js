/** The searchable picker behind a `static_select`: type to filter, arrows, Enter. */

import { h } from "./dom.js";
import { icon } from "./icons.js";
import { Listbox } from "./listbox.js";
import { openPopover } from "./popover.js";

/**
 * @param {HTMLElement} anchor
 * @param {import("./listbox.js").Option[]} options
 * @param {string} label
 * @param {(option: import("./listbox.js").Option) => void} onPick
 */
export function openPicker(anchor, options, label, onPick) {
  const field = /** @type {HTMLInputElement} */ (
    h("input", {
      class: "picker-field",
      type: "text",
      placeholder: "Type to filter",
      "aria-label": label,
      autocomplete: "off",
      spellcheck: "false",
    })
  );
  /** @type {() => void} */
  let close = () => {};
  const list = new Listbox(
    field,
    (option) => {
      close();
      onPick(option);
    },
    label,
  );
  const show = () => list.show(filtered(options, field.value), "Nothing matches.");
  field.addEventListener("input", show);
  field.addEventListener("keydown", (event) => list.press(event, ["Enter", "Tab"]));
  show();
  close = openPopover(
    anchor,
    h("div", { class: "picker" }, h("div", { class: "picker-search" }, icon("search"), field), list.node),
    { label },
  );
  if (field.isConnected) field.focus();
}

/** @param {import("./listbox.js").Option[]} options @param {string} typed */
function filtered(options, typed) {
  const words = typed.toLowerCase().split(/\s+/).filter(Boolean);
  return options.filter(({ label, note }) => {
    const text = `${label} ${note ?? ""}`.toLowerCase();
    return words.every((word) => text.includes(word));
  });
}
