/** The middle column: one channel or direct message. */

import { displayName } from "./avatar.js";
import { Composer } from "./composer.js";
import { show as showDialog } from "./dialog.js";
import { fill, h, outLink, reconcile } from "./dom.js";
import { icon } from "./icons.js";
import { Messages } from "./messages.js";
import { drawIntro, drawWelcome } from "./welcome.js";

/** A topic in which repositories lead to the GitHub side. @param {string} topic @param {import("./model.js").State | null} state */
function drawTopic(topic, state) {
  const name = state?.repositories.find((one) => topic.includes(one));
  if (!state || !name) return [topic];
  const [before, after] = topic.split(name, 2);
  return [before, outLink(`${state.github_url}/${name}`, { class: "link" }, name), after];
}

export class ChannelView {
  /** @param {import("./main.js").App} app */
  constructor(app) {
    this.app = app;
    this.head = h("div", { class: "column-title" });
    this.messages = new Messages(app, false);
    this.composer = new Composer(app, false);
    this.banner = h("div", { class: "banner-place", role: "status" });
    const back = h(
      "a",
      { class: "tool back", href: "#/", "aria-label": "Back to the channels" },
      icon("back"),
    );
    const help = h(
      "button",
      {
        type: "button",
        class: "tool",
        "aria-label": "How this works",
        title: "How this works",
        onclick: () => this.help(),
      },
      icon("help"),
    );
    this.node = h(
      "main",
      { class: "channel", "aria-label": "Channel" },
      h(
        "header",
        { class: "column-head" },
        back,
        this.head,
        h("span", { class: "patch head-patch" }, "Local playground"),
        help,
      ),
      this.banner,
      this.messages.node,
      this.composer.node,
    );
  }

  help() {
    const content = h(
      "div",
      { class: "help" },
      drawWelcome(this.app, () => dialog.close()),
      h(
        "button",
        { type: "button", class: "tool help-close", "aria-label": "Close", onclick: () => dialog.close() },
        icon("close"),
      ),
    );
    const dialog = showDialog(content, "How this works");
  }

  show() {
    const { store } = this.app;
    const channel = store.channels.get(store.open.channel ?? "");
    this.drawBanner();
    if (!channel || !store.state) return;
    const roots = store.roots(channel.id);
    const bot = displayName(store.users.get(store.state.bot.user_id));
    const title = channel.is_im ? bot : channel.name;
    reconcile(this.head, [
      {
        key: "name",
        parts: [channel.id, title],
        make: () => h("h1", { class: "column-name" }, channel.is_im ? null : icon("hash"), title),
      },
      {
        key: "topic",
        parts: [channel.topic, store.state.github_url],
        make: () =>
          h(
            "p",
            { class: "column-topic" },
            channel.is_im ? "Direct message" : drawTopic(channel.topic, store.state),
          ),
      },
    ]);
    reconcile(this.messages.intro, [
      {
        key: "intro",
        parts: [channel.id, roots.length === 0, store.users, store.me],
        make: () => drawIntro(this.app, channel, roots.length === 0),
      },
    ]);
    this.messages.show(`${store.me}:${channel.id}`, roots);
    this.composer.show(
      channel.id,
      null,
      `Message ${channel.is_im ? bot : `#${channel.name}`} as ${this.composer.me()}`,
    );
    if (!document.hidden) store.unread.see(channel.id, roots.at(-1)?.ts);
  }

  drawBanner() {
    const { store } = this.app;
    const bot = displayName(store.users.get(store.state?.bot.user_id ?? ""));
    if (!store.online && store.state)
      fill(
        this.banner,
        h(
          "p",
          { class: "banner banner-lost" },
          icon("plug"),
          h("span", {}, h("strong", {}, "Lost the playground."), " Trying again…"),
        ),
      );
    else if (store.state && !store.state.bot.connected)
      fill(
        this.banner,
        h(
          "p",
          { class: "banner" },
          h("span", { class: "pulse" }),
          h(
            "span",
            {},
            h("strong", {}, `${bot} is not connected yet.`),
            " It may still be starting. What you write now is kept and delivered when it arrives.",
          ),
        ),
      );
    else if (this.banner.hasChildNodes()) fill(this.banner);
  }
}
