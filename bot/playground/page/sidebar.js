/** The left column: brand, who you are, channels, direct messages, the GitHub side. */

import { avatar, displayName } from "./avatar.js";
import { h, outLink, reconcile } from "./dom.js";
import { icon, mark } from "./icons.js";
import { openPopover } from "./popover.js";
import { nextTheme, themeLabel } from "./theme.js";

/** @typedef {import("./main.js").App} App @typedef {import("./model.js").Channel} Channel */

export class Sidebar {
  /** @param {App} app */
  constructor(app) {
    this.app = app;
    this.person = h("div", { class: "person-place" });
    this.channels = h("ul", { class: "nav-list" });
    this.direct = h("ul", { class: "nav-list" });
    this.repositories = h("ul", { class: "nav-list" });
    this.node = h(
      "nav",
      { class: "sidebar", "aria-label": "Workspace" },
      h(
        "div",
        { class: "brand" },
        mark(),
        h(
          "div",
          { class: "brand-words" },
          h("span", { class: "brand-name" }, "Threadsmith"),
          h("span", { class: "patch" }, "Local playground"),
        ),
        this.themeButton(),
      ),
      this.person,
      h(
        "div",
        { class: "nav" },
        group("Channels", this.channels),
        group("Direct messages", this.direct),
        group("GitHub side", this.repositories),
      ),
      h(
        "p",
        { class: "sidebar-foot" },
        "Everything here runs on this machine. Nothing reaches the real Slack or GitHub.",
      ),
    );
  }

  themeButton() {
    const button = h("button", { type: "button", class: "tool theme-button" });
    const draw = () => {
      const { label, picture } = themeLabel();
      button.setAttribute("aria-label", label);
      button.setAttribute("title", label);
      button.replaceChildren(icon(picture));
    };
    button.addEventListener("click", () => {
      nextTheme();
      draw();
    });
    draw();
    return button;
  }

  show() {
    const { store } = this.app;
    if (!store.state) return;
    const all = store.joined();
    const { bot, github_url, repositories } = store.state;
    reconcile(this.person, [
      { key: "person", parts: [store.users.get(store.me)], make: () => this.drawPerson() },
    ]);
    reconcile(
      this.channels,
      all.filter((one) => !one.is_im).map((one) => this.channelItem(one)),
    );
    reconcile(
      this.direct,
      all.filter((one) => one.is_im).map((one) => this.channelItem(one, bot.connected)),
    );
    reconcile(
      this.repositories,
      ["", ...repositories].map((name) => ({
        key: name,
        parts: [github_url],
        make: () => drawRepository(name, github_url),
      })),
    );
  }

  /** @param {Channel} channel @param {boolean} [connected] */
  channelItem(channel, connected) {
    const { store } = this.app;
    const mark = store.unread.marks.get(channel.id);
    const current = store.open.channel === channel.id;
    const threads = [...store.unread.threads].some((key) => key.startsWith(`${channel.id}:`));
    return {
      key: channel.id,
      parts: [channel.name, current, mark?.count, mark?.mentioned, threads, connected],
      make: () => h("li", {}, this.drawChannel(channel, { current, mark, threads, connected })),
    };
  }

  /** @param {Channel} channel @param {{current: boolean, mark?: import("./unread.js").Mark, threads: boolean, connected?: boolean}} look */
  drawChannel(channel, { current, mark, threads, connected }) {
    const user = this.app.store.users.get(this.app.store.state?.bot.user_id ?? "");
    const picture = channel.is_im
      ? h(
          "span",
          { class: "nav-face" },
          avatar(user, "avatar-small"),
          h("span", { class: `presence ${connected ? "presence-on" : ""}` }),
        )
      : icon("hash");
    const name = channel.is_im ? displayName(user) : channel.name;
    const count = mark
      ? h(
          "span",
          { class: `badge ${mark.mentioned ? "badge-mention" : ""}` },
          mark.count,
          h("span", { class: "visually-hidden" }, " unread"),
        )
      : threads
        ? h("span", { class: "dot" }, h("span", { class: "visually-hidden" }, "unread replies"))
        : null;
    return h(
      "a",
      {
        class: `nav-link ${mark || threads ? "nav-unread" : ""}`,
        href: `#/${channel.id}`,
        "aria-current": current ? "page" : null,
        "data-channel": channel.id,
      },
      picture,
      h("span", { class: "nav-name" }, name),
      connected === false ? h("span", { class: "nav-note" }, "offline") : null,
      count,
    );
  }

  drawPerson() {
    const { store } = this.app;
    const me = store.users.get(store.me);
    const button = h(
      "button",
      { type: "button", class: "person", "aria-haspopup": "menu", "aria-expanded": "false" },
      avatar(me),
      h(
        "span",
        { class: "person-words" },
        h("span", { class: "person-you" }, "You are"),
        h("span", { class: "person-name" }, displayName(me)),
      ),
      icon("chevron"),
    );
    button.addEventListener("click", () => this.openPeople(button));
    return button;
  }

  /** @param {HTMLElement} anchor */
  openPeople(anchor) {
    const { store } = this.app;
    const people = [...store.users.values()].filter((user) => !user.is_bot);
    const rows = people.map((user) =>
      h(
        "button",
        {
          type: "button",
          class: "menu-row",
          role: "menuitemradio",
          "aria-checked": String(user.id === store.me),
          "data-user": user.id,
        },
        avatar(user),
        h(
          "span",
          { class: "option-text" },
          h("span", { class: "option-label" }, displayName(user)),
          h(
            "span",
            { class: "option-note" },
            user.github
              ? `GitHub: ${user.github}`
              : user.is_guest
                ? "guest, no GitHub account"
                : "no GitHub account",
          ),
        ),
        user.id === store.me ? icon("check") : null,
      ),
    );
    const menu = h(
      "div",
      { class: "menu" },
      h("p", { class: "menu-note", role: "presentation" }, "Speak as one of these sample people"),
      rows,
    );
    const close = openPopover(anchor, menu, { label: "Who are you?", role: "menu" });
    rows.forEach((row, index) =>
      row.addEventListener("click", () => {
        close();
        this.app.become(people[index].id);
      }),
    );
    menu.addEventListener("keydown", (event) => walk(event, rows));
    rows.find((row) => row.getAttribute("aria-checked") === "true")?.focus();
  }
}

/** @param {KeyboardEvent} event @param {HTMLElement[]} rows */
function walk(event, rows) {
  const at = rows.indexOf(/** @type {HTMLElement} */ (document.activeElement));
  const next = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: rows.length - 1 }[event.key];
  if (next === undefined) return;
  event.preventDefault();
  rows.at(next % rows.length)?.focus();
}

/** @param {string} title @param {HTMLElement} list */
function group(title, list) {
  list.setAttribute("aria-label", title);
  return h("section", { class: "nav-group" }, h("h2", { class: "nav-title" }, title), list);
}

/** @param {string} name empty for the front page @param {string} address */
function drawRepository(name, address) {
  const link = outLink(
    name ? `${address}/${name}` : address,
    { class: "nav-link" },
    icon(name ? "branch" : "external"),
    h("span", { class: "nav-name" }, name || "All repositories"),
  );
  return h("li", {}, link);
}
