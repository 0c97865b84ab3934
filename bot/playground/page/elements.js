/** Block elements that can be clicked: buttons, selects, feedback. Each click goes to the bot through the control API. */

import { h, safeAddress } from "./dom.js";
import { ask } from "./dialog.js";
import { icon } from "./icons.js";
import { drawEmoji, drawPlain } from "./inline.js";
import { drawMrkdwn } from "./mrkdwn.js";
import { openPicker } from "./picker.js";

/** @typedef {import("./blocks.js").Setting} Setting */

/** What this person picked in a select, which Slack shows until the message changes. @type {Map<string, string>} */
const picked = new Map();

/** What this person is about to write into a field, which outlives a redrawing. @type {Map<string, string>} */
const written = new Map();

/**
 * @param {any} element
 * @param {Setting} setting
 * @param {string} label what it belongs to, for a select without words of its own
 * @returns {HTMLElement}
 */
export function drawElement(element, setting, label) {
  if (element.type === "button" || element.type === "icon_button") return drawButton(element, setting);
  if (element.type === "static_select") return drawSelect(element, setting, label);
  if (element.type === "feedback_buttons") return drawFeedback(element, setting);
  if (element.type === "plain_text_input") return drawField(element, setting, label);
  if (element.type === "image")
    return h("span", { class: "block-image" }, `Image: ${element.alt_text ?? ""}`);
  return h("span", { class: "block-unknown" }, `A “${element.type}”, which this playground does not draw.`);
}

/** @param {any} element @param {Setting} setting @returns {HTMLElement} */
function drawButton(element, setting) {
  const style = ["primary", "danger"].includes(element.style) ? `button-${element.style}` : "";
  const props = {
    class: `button ${style}`,
    "data-action": element.action_id,
    "aria-label": element.accessibility_label,
  };
  const address = element.url ? safeAddress(element.url) : null;
  const text = String(element.text?.text ?? "Button");
  if (address === null) {
    const button = h("button", { ...props, type: "button" }, drawLabel(text));
    button.addEventListener("click", () => press(button, element, setting, element.value));
    return button;
  }
  const link = h(
    "a",
    { ...props, href: address, target: "_blank", rel: "noopener noreferrer" },
    drawLabel(text),
    icon("external"),
  );
  link.addEventListener("click", () => click(element, setting, element.value));
  return link;
}

/** @param {string} text on one line, cut where there is no room */
function drawLabel(text) {
  return h("span", { class: "button-label" }, drawPlain(text));
}

/** @param {HTMLElement} control @param {any} element @param {Setting} setting @param {string | undefined} value */
async function press(control, element, setting, value) {
  // Not `disabled`, which would take the focus away from who pressed it by keyboard.
  if (control.ariaDisabled === "true") return false;
  if (element.confirm && !(await confirmed(element.confirm, setting))) return false;
  control.ariaDisabled = "true";
  const answer = await click(element, setting, value);
  control.ariaDisabled = null;
  return answer !== null;
}

/** @param {any} element @param {Setting} setting @param {string | undefined} value @returns {Promise<any>} */
function click(element, { app, message }, value) {
  return app.act("click", { channel: message.channel, ts: message.ts, action_id: element.action_id, value });
}

/** @param {any} confirm @param {Setting} setting */
function confirmed(confirm, { names }) {
  const text = confirm.text ?? {};
  return ask({
    title: confirm.title?.text ?? "Are you sure?",
    body: text.type === "mrkdwn" ? drawMrkdwn(text.text, names) : String(text.text ?? ""),
    yes: confirm.confirm?.text ?? "Yes",
    no: confirm.deny?.text ?? "Cancel",
    danger: confirm.style === "danger",
  });
}

/** @param {any} element @param {Setting} setting @param {string} label */
function drawSelect(element, setting, label) {
  const options = optionsOf(element);
  const place = `${setting.place}:${element.action_id}`;
  const name = element.placeholder?.text || label || "Choose";
  const value = picked.get(place) ?? element.initial_option?.value;
  const chosen = options.find((option) => option.value === value);
  const text = h("span", { class: "select-text" }, chosen?.label ?? name);
  const button = h(
    "button",
    {
      type: "button",
      class: `select ${chosen ? "select-chosen" : ""}`,
      "data-action": element.action_id,
      "aria-haspopup": "dialog",
      "aria-expanded": "false",
    },
    text,
    icon("chevron"),
  );
  button.addEventListener("click", () =>
    openPicker(button, options, name, async (option) => {
      text.textContent = option.label;
      button.classList.add("select-chosen");
      picked.set(place, option.value);
      if (await press(button, element, setting, option.value)) return;
      picked.delete(place);
      text.textContent = chosen?.label ?? name;
    }),
  );
  return button;
}

/** A field of one line, sent with Enter as Slack sends it. @param {any} element @param {Setting} setting @param {string} label */
function drawField(element, setting, label) {
  const place = `${setting.place}:${element.action_id}`;
  const sends = (element.dispatch_action_config?.trigger_actions_on ?? []).includes("on_enter_pressed");
  const field = h("input", {
    type: "text",
    class: "field",
    "aria-label": label || "Your answer",
    "data-action": element.action_id,
    placeholder: element.placeholder?.text,
    maxlength: element.max_length,
  });
  field.value = written.get(place) ?? String(element.initial_value ?? "");
  field.addEventListener("input", () => written.set(place, field.value));
  field.addEventListener("keydown", async (event) => {
    if (event.key !== "Enter" || event.isComposing || !sends) return;
    event.preventDefault();
    if (field.value.trim() && (await press(field, element, setting, field.value))) written.delete(place);
  });
  const hint = sends ? h("span", { class: "field-hint", "aria-hidden": "true" }, "Enter sends it") : null;
  return h("span", { class: "field-line" }, field, hint);
}

/** @param {any} element @returns {import("./listbox.js").Option[]} */
function optionsOf(element) {
  const groups = element.option_groups ?? [{ options: element.options ?? [] }];
  return groups.flatMap((/** @type {any} */ group) =>
    group.options.map((/** @type {any} */ option) => ({
      value: option.value,
      label: String(option.text?.text ?? option.value),
      note: option.description?.text,
      group: group.label?.text,
    })),
  );
}

/** @param {any} element @param {Setting} setting */
function drawFeedback(element, setting) {
  const sides = [
    ["+1", element.positive_button],
    ["-1", element.negative_button],
  ];
  return h(
    "span",
    { class: "feedback" },
    sides
      .filter(([, side]) => side)
      .map(([sign, side]) => {
        const button = h(
          "button",
          { type: "button", class: "button", "data-action": element.action_id },
          drawEmoji(sign),
          drawLabel(side.text?.text ?? ""),
        );
        button.addEventListener("click", () => press(button, element, setting, side.value));
        return button;
      }),
  );
}
