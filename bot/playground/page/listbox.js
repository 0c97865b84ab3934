/** A list of options steered from a text field: arrows move, Enter picks, the field keeps the focus. */

import { fill, h } from "./dom.js";

/**
 * @typedef {object} Option
 * @property {string} value
 * @property {string} label
 * @property {string} [note]    a second, quieter text
 * @property {Node} [picture]
 * @property {string} [group]   the heading it stands under
 */

let made = 0;

export class Listbox {
  /**
   * @param {HTMLElement} field steers it and names the active option to assistive technology
   * @param {(option: Option) => void} onPick
   * @param {string} label
   */
  constructor(field, onPick, label) {
    made += 1;
    this.field = field;
    this.onPick = onPick;
    this.node = h("ul", { class: "listbox", role: "listbox", id: `listbox-${made}`, "aria-label": label });
    /** @type {Option[]} */
    this.options = [];
    this.active = 0;
    field.setAttribute("role", "combobox");
    field.setAttribute("aria-autocomplete", "list");
    field.setAttribute("aria-controls", this.node.id);
    field.setAttribute("aria-expanded", "false");
  }

  /** @param {Option[]} options @param {string} [empty] what to say where there are none */
  show(options, empty = "") {
    this.options = options;
    this.active = 0;
    const rows = options.map((option, index) => this.row(option, index));
    fill(
      this.node,
      rows.flat(),
      options.length === 0 && empty ? h("li", { class: "listbox-empty", role: "presentation" }, empty) : null,
    );
    this.field.setAttribute("aria-expanded", String(options.length > 0));
    this.mark();
  }

  /** @param {Option} option @param {number} index */
  row(option, index) {
    const isFirst = option.group && this.options[index - 1]?.group !== option.group;
    const row = h(
      "li",
      { class: "option", role: "option", id: `${this.node.id}-${index}`, "data-value": option.value },
      option.picture ?? null,
      h(
        "span",
        { class: "option-text" },
        h("span", { class: "option-label" }, option.label),
        option.note ? h("span", { class: "option-note" }, option.note) : null,
      ),
    );
    row.addEventListener("pointermove", () => this.move(index - this.active, false));
    row.addEventListener("pointerdown", (event) => event.preventDefault());
    row.addEventListener("click", () => this.onPick(option));
    return isFirst ? [h("li", { class: "listbox-group", role: "presentation" }, option.group), row] : [row];
  }

  /** @param {number} by @param {boolean} [scroll] */
  move(by, scroll = true) {
    const count = this.options.length;
    if (by === 0 || count === 0) return;
    this.active = (this.active + by + count) % count;
    this.mark(scroll);
  }

  mark(scroll = false) {
    for (const row of this.node.querySelectorAll("[role=option]")) {
      const isActive = row.id === `${this.node.id}-${this.active}`;
      row.setAttribute("aria-selected", String(isActive));
      if (isActive && scroll) row.scrollIntoView({ block: "nearest" });
    }
    if (this.options.length)
      this.field.setAttribute("aria-activedescendant", `${this.node.id}-${this.active}`);
    else this.field.removeAttribute("aria-activedescendant");
  }

  /**
   * @param {KeyboardEvent} event
   * @param {string[]} pickKeys the keys that pick the active option
   * @returns {boolean} whether the key was meant for the list
   */
  press(event, pickKeys) {
    if (this.options.length === 0 || event.isComposing) return false;
    if (event.key === "ArrowDown") this.move(1);
    else if (event.key === "ArrowUp") this.move(-1);
    else if (pickKeys.includes(event.key)) this.onPick(this.options[this.active]);
    else return false;
    event.preventDefault();
    return true;
  }
}
