/** A column of messages: days, runs of one author, staying at the end while it grows. */

import { dayOf } from "./clock.js";
import { h, reconcile } from "./dom.js";
import { threadOf } from "./model.js";
import { drawRow } from "./rows.js";

/** @typedef {import("./model.js").Message} Message @typedef {import("./main.js").App} App */

const RUN_SECONDS = 300;
const NEAR_END_PX = 60;

export class Messages {
  /** @param {App} app @param {boolean} inThread */
  constructor(app, inThread) {
    this.app = app;
    this.inThread = inThread;
    this.list = h("ol", { class: "rows", "aria-label": inThread ? "Thread" : "Messages" });
    this.intro = h("div", { class: "intro" });
    this.scroller = h("div", { class: "scroller", tabindex: -1 }, this.intro, this.list);
    this.jump = h("button", { type: "button", class: "jump", hidden: true }, "Newer messages");
    this.node = h("div", { class: "messages" }, this.scroller, this.jump);
    this.shown = "";
    /** @type {string | undefined} the newest ts on show */
    this.latest = undefined;
    this.atEnd = true;
    this.jump.addEventListener("click", () => this.toEnd());
    this.scroller.addEventListener("scroll", () => this.scrolled(), { passive: true });
    this.list.addEventListener("keydown", (event) => this.pressed(event));
    this.list.addEventListener("click", (event) => this.touched(event));
    new ResizeObserver(() => this.atEnd && this.list.hasChildNodes() && this.toEnd()).observe(this.scroller);
    // An image takes its place only once it is there; of a load only those above are told, not those around.
    this.list.addEventListener("load", () => this.atEnd && this.toEnd(), { capture: true });
  }

  /** @param {string} place which channel or thread this is; another one starts at its end @param {Message[]} messages */
  show(place, messages) {
    const isNew = place !== this.shown;
    if (isNew) this.list.replaceChildren();
    else this.scrolled();
    const latest = messages.at(-1)?.ts;
    const hasMore = !isNew && latest !== this.latest;
    this.shown = place;
    this.latest = latest;
    reconcile(this.list, this.items(messages));
    const last = /** @type {HTMLElement | null} */ (this.list.lastElementChild);
    if (last && !this.list.querySelector(".row[tabindex='0']")) last.tabIndex = 0;
    if (messages.length === 0) this.scroller.scrollTop = 0;
    else if (isNew || this.atEnd) this.toEnd();
    else if (hasMore) this.jump.hidden = false;
  }

  /** @param {Message[]} messages @returns {import("./dom.js").Item[]} */
  items(messages) {
    const { store } = this.app;
    /** @type {import("./dom.js").Item[]} */
    const items = [];
    messages.forEach((message, index) => {
      const before = messages[index - 1];
      const day = dayOf(message.ts);
      const isNewDay = !before || dayOf(before.ts) !== day;
      if (isNewDay) items.push({ key: `day-${day}`, parts: [], make: () => drawDay(day) });
      const look = this.look(message, isNewDay ? undefined : before);
      items.push({
        key: message.ts,
        parts: [message, store.users, store.me, ...Object.values(look)],
        make: (old) => drawRow(old, message, look, this.app),
      });
      if (this.inThread && index === 0) items.push(this.replyLine(messages.length - 1));
    });
    return items;
  }

  /** @param {Message} message @param {Message | undefined} before @returns {import("./rows.js").Look} */
  look(message, before) {
    const { store } = this.app;
    const isRoot = this.inThread && message.ts === threadOf(message);
    const goesOn =
      before &&
      before.user === message.user &&
      !before.ephemeral &&
      !message.ephemeral &&
      !before.deleted &&
      !message.blocks &&
      !message.stream &&
      !before.blocks &&
      !before.stream &&
      Number(message.ts) - Number(before.ts) < RUN_SECONDS;
    return {
      compact:
        Boolean(goesOn) &&
        !isRoot &&
        !(this.inThread && before?.ts === threadOf(message)) &&
        !before?.reply_count,
      inThread: this.inThread,
      editing: this.app.editing === `${message.channel}:${message.ts}`,
      unread: store.unread.threads.has(`${message.channel}:${message.ts}`),
      working: store.status(message.channel, message.ts)?.status === "processing",
    };
  }

  /** @param {number} count @returns {import("./dom.js").Item} */
  replyLine(count) {
    const text = count === 0 ? "No replies yet" : count === 1 ? "1 reply" : `${count} replies`;
    return {
      key: "reply-line",
      parts: [count],
      make: () => h("li", { class: "reply-line" }, h("span", {}, text)),
    };
  }

  scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.scroller;
    this.atEnd = scrollHeight - scrollTop - clientHeight < NEAR_END_PX;
    if (this.atEnd) this.jump.hidden = true;
  }

  toEnd() {
    this.scroller.scrollTop = this.scroller.scrollHeight;
    this.jump.hidden = true;
    this.atEnd = true;
  }

  /** @param {string} ts */
  focusOn(ts) {
    const row = this.list.querySelector(`[data-ts="${CSS.escape(ts)}"]`);
    /** @type {HTMLElement | null | undefined} */ (row?.querySelector(".thread-link") ?? row)?.focus({
      preventScroll: true,
    });
  }

  /** Arrows walk from message to message; Tab then reaches the tools of the one in focus. @param {KeyboardEvent} event */
  pressed(event) {
    const row = /** @type {HTMLElement} */ (event.target);
    if (!row.classList.contains("row") || !["ArrowUp", "ArrowDown"].includes(event.key)) return;
    const rows = /** @type {HTMLElement[]} */ ([...this.list.querySelectorAll(".row")]);
    const next = rows[rows.indexOf(row) + (event.key === "ArrowUp" ? -1 : 1)];
    if (!next) return;
    event.preventDefault();
    row.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  }

  /** Without a pointer that hovers, a tap on a message shows its tools. @param {Event} event */
  touched(event) {
    const target = /** @type {HTMLElement} */ (event.target);
    if (target.closest("a, button, summary, textarea, input")) return;
    for (const row of this.list.querySelectorAll(".row-chosen")) row.classList.remove("row-chosen");
    const row = target.closest(".row");
    row?.classList.add("row-chosen");
    row?.querySelector(".row-tools")?.scrollIntoView({ block: "nearest" });
  }
}

/** @param {string} day */
function drawDay(day) {
  return h("li", { class: "day", role: "separator" }, h("span", {}, day));
}
