/** Where a message or a slash command is written and sent. */

import { displayName } from "./avatar.js";
import { complete } from "./completion.js";
import { fill, h } from "./dom.js";
import { Attached } from "./files.js";
import { icon } from "./icons.js";
import { Listbox } from "./listbox.js";
import { toRaw } from "./raw.js";

const TALLEST_PX = 220;

/**
 * Let a text field be as tall as its text.
 * @param {HTMLTextAreaElement} field
 */
export function fitHeight(field) {
  field.style.setProperty("height", "auto");
  field.style.setProperty("height", `${Math.min(field.scrollHeight, TALLEST_PX)}px`);
}

export class Composer {
  /** @param {import("./main.js").App} app @param {boolean} inThread */
  constructor(app, inThread) {
    this.app = app;
    this.inThread = inThread;
    /** @type {Map<string, string>} unsent texts by place */
    this.drafts = new Map();
    /** @type {{channel: string, thread: string | null} | null} */
    this.place = null;
    /** @type {import("./completion.js").Completion | null} */
    this.completion = null;
    this.field = /** @type {HTMLTextAreaElement} */ (
      h("textarea", { class: "composer-field", rows: 1, autocomplete: "off", spellcheck: "true" })
    );
    this.list = new Listbox(this.field, (option) => this.insert(option.value), "Suggestions");
    this.sendButton = h(
      "button",
      { type: "submit", class: "send", "aria-label": "Send", title: "Send (Enter)" },
      icon("send"),
    );
    this.note = h("p", { class: "composer-note", role: "status" });
    this.attached = new Attached(
      () => this.refit(),
      (text) => fill(this.note, text),
    );
    this.suggestions = h("div", { class: "suggestions", hidden: true }, this.list.node);
    this.node = h(
      "form",
      { class: "composer" },
      this.suggestions,
      h("div", { class: "composer-box" }, this.attached.node, this.field, this.foot()),
      this.note,
    );
    this.listen();
  }

  foot() {
    const mention = h(
      "button",
      {
        type: "button",
        class: "tool",
        "aria-label": "Mention someone",
        title: "Mention someone (@)",
        onclick: () => this.type("@"),
      },
      icon("at"),
    );
    const command = h(
      "button",
      {
        type: "button",
        class: "tool",
        "aria-label": "Use a command",
        title: "Use a command (/)",
        onclick: () => this.type("/"),
      },
      icon("slash"),
    );
    const hint = h(
      "span",
      { class: "composer-hint" },
      h("kbd", {}, "Enter"),
      " sends · ",
      h("kbd", {}, "Shift Enter"),
      " new line",
    );
    return h(
      "div",
      { class: "composer-foot" },
      this.attached.button(),
      mention,
      this.inThread ? null : command,
      hint,
      this.sendButton,
    );
  }

  listen() {
    this.field.addEventListener("input", () => this.changed());
    this.field.addEventListener("click", () => this.suggest());
    this.field.addEventListener("blur", () => this.hide());
    this.field.addEventListener("keydown", (event) => this.pressed(event));
    this.field.addEventListener("paste", (event) => this.attached.paste(event));
    this.node.addEventListener("submit", (event) => {
      event.preventDefault();
      this.send();
    });
  }

  /** @param {string} channel @param {string | null} thread @param {string} where shown while the field is empty */
  show(channel, thread, where) {
    this.field.placeholder = where;
    this.field.setAttribute("aria-label", where);
    if (this.place?.channel === channel && this.place.thread === thread) return;
    this.keepDraft();
    this.place = { channel, thread };
    this.field.value = this.drafts.get(this.key()) ?? "";
    this.attached.show(this.key());
    fill(this.note);
    this.hide();
    this.refit();
  }

  key() {
    return this.place ? `${this.app.store.me}:${this.place.channel}:${this.place.thread ?? ""}` : "";
  }

  keepDraft() {
    if (this.place) this.drafts.set(this.key(), this.field.value);
  }

  refit() {
    fitHeight(this.field);
    this.sendButton.toggleAttribute("disabled", !this.field.value.trim() && this.attached.empty);
  }

  /** @param {string} text put it in place of what was typed, the caret at its end */
  write(text) {
    this.field.value = text;
    this.field.focus();
    this.field.setSelectionRange(text.length, text.length);
    this.refit();
  }

  /** @param {string} sign as if the person had typed it at the caret */
  type(sign) {
    this.field.focus();
    const { selectionStart: at, value } = this.field;
    const gap = sign !== "/" && at > 0 && !/\s/.test(value[at - 1]) ? " " : "";
    if (sign === "/") this.field.setSelectionRange(0, value.length);
    this.field.setRangeText(gap + sign, this.field.selectionStart, this.field.selectionEnd, "end");
    this.changed();
  }

  changed() {
    fill(this.note);
    this.refit();
    this.suggest();
  }

  suggest() {
    const { selectionStart: start, selectionEnd: end, value } = this.field;
    this.completion = start === end ? complete(value.slice(0, start), this.app.store, this.inThread) : null;
    this.suggestions.hidden = this.completion === null;
    this.list.node.setAttribute("aria-label", this.completion?.label ?? "Suggestions");
    this.list.show(this.completion?.options ?? []);
  }

  hide() {
    this.completion = null;
    this.suggestions.hidden = true;
    this.list.show([]);
  }

  /** @param {string} text in place of what led to the completion */
  insert(text) {
    if (!this.completion) return;
    this.field.setRangeText(text, this.completion.from, this.field.selectionStart, "end");
    this.hide();
    this.refit();
  }

  /** @param {KeyboardEvent} event */
  pressed(event) {
    if (event.isComposing) return;
    if (this.completion && event.key === "Escape") {
      event.preventDefault();
      event.stopPropagation();
      this.hide();
    } else if (this.completion && this.list.press(event, ["Enter", "Tab"])) return;
    else if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      this.send();
    } else if (event.key === "ArrowUp" && !this.field.value) this.editLast(event);
  }

  /** @param {KeyboardEvent} event */
  editLast(event) {
    const { store } = this.app;
    if (!this.place) return;
    const { channel, thread } = this.place;
    const last = (thread ? store.thread(channel, thread) : store.roots(channel)).findLast(
      (message) => message.user === store.me && !message.deleted && !message.ephemeral,
    );
    if (!last) return;
    event.preventDefault();
    this.app.edit(last);
  }

  async send() {
    const typed = this.field.value.trim();
    if ((!typed && this.attached.empty) || !this.place) return;
    const place = this.place;
    const command = /^(\/\S+)\s*([\s\S]*)$/.exec(typed);
    const refusal = command && this.refuse(command[1]);
    if (refusal) {
      fill(this.note, refusal);
      return;
    }
    const files = command ? [] : this.attached.take();
    this.write("");
    this.drafts.delete(this.key());
    const answer = await (command ? this.run(command[1], command[2], place) : this.say(typed, place, files));
    if (answer !== null || this.place !== place || this.field.value) return;
    this.attached.putBack(files);
    this.write(typed);
  }

  /** @param {string} name @returns {string | null} why this command cannot be sent */
  refuse(name) {
    if (this.inThread) return "Slash commands work in the channel, not inside a thread.";
    const known = this.app.store.state?.commands.map(({ command }) => command) ?? [];
    if (known.includes(name)) return null;
    return known.length
      ? `${name} is not a command here. Try ${known.join(", ")}.`
      : `${name} is not a command here.`;
  }

  /** @param {string} name @param {string} text @param {{channel: string}} place */
  run(name, text, place) {
    return this.app.act("command", {
      channel: place.channel,
      command: name,
      text: toRaw(text, this.app.store.names()),
    });
  }

  /** @param {string} typed @param {{channel: string, thread: string | null}} place @param {import("./files.js").Given[]} files */
  async say(typed, { channel, thread }, files) {
    const text = toRaw(typed, this.app.store.names());
    const answer = await this.app.act("message", {
      channel,
      text,
      ...(thread && { thread_ts: thread }),
      ...(files.length > 0 && { files }),
    });
    if (answer && !thread) this.app.sent(channel, answer.ts);
    return answer;
  }

  /** @returns {string} */
  me() {
    return displayName(this.app.store.users.get(this.app.store.me));
  }
}
