/** Emoji under a message, and the ways to add one. */

import { displayName } from "./avatar.js";
import { fill, h } from "./dom.js";
import { findEmoji } from "./emoji.js";
import { emojiArt, hasEmojiFont } from "./emoji_art.js";
import { icon } from "./icons.js";
import { drawEmoji } from "./inline.js";
import { openPopover } from "./popover.js";

/** @typedef {import("./model.js").Message} Message @typedef {import("./main.js").App} App */

export const QUICK = ["+1", "eyes", "tada", "x"];
const COMMON = [
  "+1",
  "-1",
  "eyes",
  "tada",
  "heart",
  "rocket",
  "white_check_mark",
  "x",
  "pray",
  "clap",
  "raised_hands",
  "wave",
  "joy",
  "thinking_face",
  "fire",
  "100",
  "bug",
  "hourglass_flowing_sand",
  "sparkles",
  "thread",
  "question",
  "warning",
  "octagonal_sign",
  "coffee",
  "smile",
  "zap",
  "memo",
  "robot_face",
];

/** @param {Message} message @param {App} app @param {string} name */
export function toggleReaction(message, app, name) {
  const mine = message.reactions.some((one) => one.name === name && one.users.includes(app.store.me));
  return app.act("react", { channel: message.channel, ts: message.ts, name, remove: mine });
}

/**
 * @param {Message} message
 * @param {App} app
 * @returns {HTMLElement | null}
 */
export function drawReactions(message, app) {
  if (message.reactions.length === 0) return null;
  const chips = message.reactions.map((reaction) => drawChip(reaction, message, app));
  return h("div", { class: "reactions" }, chips, addButton(message, app, "reaction reaction-add"));
}

/** @param {import("./model.js").Reaction} reaction @param {Message} message @param {App} app */
function drawChip(reaction, message, app) {
  const mine = reaction.users.includes(app.store.me);
  const who = reaction.users.map((id) => displayName(app.store.users.get(id))).join(", ");
  const chip = h(
    "button",
    {
      type: "button",
      class: "reaction",
      "aria-pressed": mine,
      "data-emoji": reaction.name,
      title: `${who} · :${reaction.name}:`,
    },
    drawEmoji(reaction.name),
    h("span", { class: "reaction-count" }, reaction.count),
  );
  chip.setAttribute("aria-pressed", String(mine));
  chip.addEventListener("click", () => toggleReaction(message, app, reaction.name));
  return chip;
}

/** @param {Message} message @param {App} app @param {string} shape */
export function addButton(message, app, shape) {
  const button = h(
    "button",
    {
      type: "button",
      class: shape,
      "aria-label": "Add a reaction",
      title: "Add a reaction",
      "aria-haspopup": "dialog",
      "aria-expanded": "false",
    },
    icon("smile"),
  );
  button.addEventListener("click", () => openEmoji(button, (name) => toggleReaction(message, app, name)));
  return button;
}

/** @param {HTMLElement} anchor @param {(name: string) => void} onPick */
function openEmoji(anchor, onPick) {
  const field = /** @type {HTMLInputElement} */ (
    h("input", {
      class: "picker-field",
      type: "text",
      placeholder: "Find an emoji",
      "aria-label": "Find an emoji",
      autocomplete: "off",
    })
  );
  const grid = h("div", { class: "emoji-grid" });
  const close = openPopover(
    anchor,
    h("div", { class: "picker" }, h("div", { class: "picker-search" }, icon("search"), field), grid),
    { label: "Add a reaction", align: "end" },
  );
  const show = () => {
    const names = field.value
      ? findEmoji(field.value.trim().toLowerCase(), 24).map(({ name }) => name)
      : COMMON.filter((name) => hasEmojiFont() || emojiArt(name));
    fill(
      grid,
      names.map((name) =>
        emojiButton(name, () => {
          close();
          onPick(name);
        }),
      ),
      names.length ? null : "Nothing matches.",
    );
  };
  field.addEventListener("input", show);
  field.addEventListener(
    "keydown",
    (event) =>
      event.key === "Enter" && /** @type {HTMLElement | null} */ (grid.querySelector("button"))?.click(),
  );
  show();
  if (field.isConnected) field.focus();
}

/** @param {string} name @param {() => void} onPick */
function emojiButton(name, onPick) {
  return h(
    "button",
    { type: "button", class: "emoji-button", title: `:${name}:`, "aria-label": name, onclick: onPick },
    drawEmoji(name),
  );
}
