/** One floating panel at a time, beside what opened it; on a narrow page it rises from the bottom edge. */

import { h } from "./dom.js";

const GAP_PX = 6;
const EDGE_PX = 8;

/** @type {(() => void) | null} */
let closeOpen = null;

/** Close the open panel, if there is one. */
export function closePopover() {
  closeOpen?.();
}

/**
 * @param {HTMLElement} anchor gets `aria-expanded` and, at the end, the focus back
 * @param {HTMLElement} content
 * @param {{label: string, role?: string, align?: "start" | "end"}} options
 * @returns {() => void} closes it
 */
export function openPopover(anchor, content, { label, role = "dialog", align = "start" }) {
  const wasOpen = anchor.getAttribute("aria-expanded") === "true";
  closePopover();
  if (wasOpen) return () => {};
  const panel = h("div", { class: "popover", role, "aria-label": label }, content);
  const away = new AbortController();
  const close = () => {
    if (closeOpen !== close) return;
    closeOpen = null;
    away.abort();
    const hadFocus = panel.contains(document.activeElement);
    panel.remove();
    anchor.setAttribute("aria-expanded", "false");
    if (hadFocus && anchor.isConnected) anchor.focus();
  };
  closeOpen = close;
  anchor.setAttribute("aria-expanded", "true");
  document.body.append(panel);
  place(panel, anchor, align);
  listen(panel, anchor, close, away.signal);
  return close;
}

/** @param {HTMLElement} panel @param {HTMLElement} anchor @param {() => void} close @param {AbortSignal} signal */
function listen(panel, anchor, close, signal) {
  const outside = (/** @type {Event} */ event) => {
    const target = /** @type {Node} */ (event.target);
    if (!panel.contains(target) && !anchor.contains(target)) close();
  };
  document.addEventListener("pointerdown", outside, { signal });
  document.addEventListener("focusin", outside, { signal });
  addEventListener("resize", close, { signal });
  addEventListener("hashchange", close, { signal });
  panel.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    event.stopPropagation();
    close();
  });
}

/** @param {HTMLElement} panel @param {HTMLElement} anchor @param {"start" | "end"} align */
function place(panel, anchor, align) {
  const at = anchor.getBoundingClientRect();
  const { offsetWidth: width, offsetHeight: height } = panel;
  const wanted = align === "end" ? at.right - width : at.left;
  const left = Math.max(EDGE_PX, Math.min(wanted, innerWidth - width - EDGE_PX));
  const below = at.bottom + GAP_PX;
  const fits = below + height + EDGE_PX <= innerHeight;
  const top = fits ? below : Math.max(EDGE_PX, at.top - GAP_PX - height);
  panel.style.setProperty("--left", `${left}px`);
  panel.style.setProperty("--top", `${top}px`);
}
