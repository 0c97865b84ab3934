/** The small square that stands for a person or the bot. */

import { h } from "./dom.js";
import { mark } from "./icons.js";

/**
 * @param {import("./model.js").User | undefined} user
 * @param {string} [extra] further class names
 * @returns {HTMLElement}
 */
export function avatar(user, extra = "") {
  if (user?.is_bot) return h("span", { class: `avatar avatar-bot ${extra}`, "aria-hidden": "true" }, mark());
  const node = h("span", { class: `avatar ${extra}`, "aria-hidden": "true" }, initials(user));
  const color = /^#?[0-9a-f]{6}$/i.test(user?.color ?? "") ? `#${user?.color.replace("#", "")}` : null;
  if (color) {
    node.style.setProperty("background", color);
    node.style.setProperty("color", luminance(color) > 0.3 ? "#16181b" : "#ffffff");
  }
  return node;
}

/** @param {import("./model.js").User | undefined} user */
export function displayName(user) {
  return user ? user.real_name || user.name : "Someone";
}

/** @param {import("./model.js").User | undefined} user */
function initials(user) {
  const words = displayName(user).split(/\s+/).filter(Boolean);
  return words
    .slice(0, 2)
    .map((word) => [...word][0].toUpperCase())
    .join("");
}

/** Relative luminance as WCAG defines it. @param {string} color #rrggbb */
function luminance(color) {
  const [red, green, blue] = [1, 3, 5].map((at) => {
    const part = Number.parseInt(color.slice(at, at + 2), 16) / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}
