/** The right column: one thread, and whether the bot is at work in it. */

import { displayName } from "./avatar.js";
import { Composer } from "./composer.js";
import { fill, h, reconcile } from "./dom.js";
import { icon } from "./icons.js";
import { Messages } from "./messages.js";

export class ThreadView {
  /** @param {import("./main.js").App} app */
  constructor(app) {
    this.app = app;
    this.title = h("div", { class: "column-title" });
    this.messages = new Messages(app, true);
    this.composer = new Composer(app, true);
    this.status = h("div", { class: "session-place", role: "status" });
    const back = h(
      "button",
      {
        type: "button",
        class: "tool back",
        "aria-label": "Back to the channel",
        onclick: () => this.close(),
      },
      icon("back"),
    );
    const close = h(
      "button",
      {
        type: "button",
        class: "tool close",
        "aria-label": "Close the thread",
        title: "Close (Esc)",
        onclick: () => this.close(),
      },
      icon("close"),
    );
    this.node = h(
      "aside",
      { class: "thread", "aria-label": "Thread", hidden: true },
      h("header", { class: "column-head" }, back, this.title, close),
      this.messages.node,
      this.status,
      this.composer.node,
    );
    this.node.addEventListener("keydown", (event) => event.key === "Escape" && this.close());
  }

  close() {
    const { channel, thread } = this.app.store.open;
    if (!channel || !thread) return;
    this.app.go(channel, null);
    this.app.channel.messages.focusOn(thread);
  }

  show() {
    const { store } = this.app;
    const { channel, thread } = store.open;
    this.node.hidden = !channel || !thread;
    if (!channel || !thread) return;
    const status = store.status(channel, thread);
    const place = store.channels.get(channel);
    reconcile(this.title, [
      {
        key: "name",
        parts: [status?.title],
        make: () => h("h2", { class: "column-name" }, status?.title || "Thread"),
      },
      {
        key: "topic",
        parts: [place],
        make: () =>
          h("p", { class: "column-topic" }, place?.is_im ? "Direct message" : `#${place?.name ?? ""}`),
      },
    ]);
    this.messages.show(`${store.me}:${channel}:${thread}`, store.thread(channel, thread));
    const working = {
      key: "working",
      parts: [channel, thread],
      make: () => this.drawWorking(channel, thread),
    };
    const saying = { key: "saying", parts: [status?.text], make: () => this.drawSaying(status?.text ?? "") };
    reconcile(this.status, status?.status === "processing" ? [working] : status?.text ? [saying] : []);
    this.composer.show(channel, thread, `Reply as ${this.composer.me()}`);
  }

  bot() {
    return displayName(this.app.store.users.get(this.app.store.state?.bot.user_id ?? ""));
  }

  /** @param {string} text what the bot says of itself, such as "is thinking…" */
  drawSaying(text) {
    return h(
      "div",
      { class: "session" },
      h("span", { class: "seam", "aria-hidden": "true" }),
      h("span", { class: "session-label" }, `${this.bot()} ${text}`),
    );
  }

  /** @param {string} channel @param {string} thread */
  drawWorking(channel, thread) {
    const bot = this.bot();
    const label = h("span", { class: "session-label" }, `${bot} is working…`);
    const stop = h("button", { type: "button", class: "button stop" }, icon("stop"), "Stop");
    stop.addEventListener("click", async () => {
      stop.setAttribute("disabled", "");
      fill(label, "Asked it to stop…");
      if ((await this.app.act("stop", { channel, thread_ts: thread })) !== null) return;
      stop.removeAttribute("disabled");
      fill(label, `${bot} is working…`);
    });
    return h("div", { class: "session" }, h("span", { class: "seam", "aria-hidden": "true" }), label, stop);
  }
}
