/** Start of the page: joins the store, the live connection and the three columns. */

import { Api, takeToken } from "./api.js";
import { displayName } from "./avatar.js";
import { ChannelView } from "./channel.js";
import { fill, h } from "./dom.js";
import { Events } from "./events.js";
import { mark } from "./icons.js";
import { isReply, threadOf } from "./model.js";
import { closePopover } from "./popover.js";
import { toTyped } from "./raw.js";
import { Sidebar } from "./sidebar.js";
import { Store } from "./store.js";
import { ThreadView } from "./thread.js";
import { carryPerson } from "./visits.js";
import { firstChannel } from "./welcome.js";

const TOAST_MS = 6000;
const RETRY_MS = 1000;
const ROOMY = "(min-width: 800px)";

export class App {
  /** @param {Api} api */
  constructor(api) {
    this.api = api;
    this.store = new Store(api);
    /** @type {string | null} `channel:ts` of the message being edited */
    this.editing = null;
    /** @type {string | null} `channel:ts` of a message just sent, whose thread opens when the bot answers */
    this.expecting = null;
    this.replying = false;
    this.drawing = false;
    this.sidebar = new Sidebar(this);
    this.channel = new ChannelView(this);
    this.thread = new ThreadView(this);
    this.live = h("div", { class: "visually-hidden", role: "status", "aria-live": "polite" });
    this.toasts = h("div", { class: "toasts", role: "alert" });
    this.events = new Events(() => api.eventsAddress(this.store.me), {
      opened: () => this.opened(),
      lost: () => this.lost(),
      received: (event) => (event.type === "resync" ? this.refresh() : this.store.take(event)),
    });
    this.store.addEventListener("change", () => this.draw());
    this.store.addEventListener("arrived", (event) =>
      this.arrived(/** @type {CustomEvent} */ (event).detail),
    );
    this.store.addEventListener("status", (event) =>
      this.expected(/** @type {CustomEvent} */ (event).detail),
    );
    this.store.addEventListener("thread-gone", () => this.go(this.store.open.channel ?? "", null));
    addEventListener("hashchange", () => this.route());
    document.addEventListener("visibilitychange", () => this.draw());
    carryPerson(this.store);
  }

  /** @param {HTMLElement} place */
  async start(place) {
    await this.store.choosePerson();
    await this.store.refresh();
    fill(place, this.sidebar.node, this.channel.node, this.thread.node, this.toasts, this.live);
    this.events.connect();
    followPermalink();
    if (!location.hash) history.replaceState(null, "", `#/${firstChannel(this.store).id}`);
    this.route();
  }

  opened() {
    this.store.online = true;
    this.refresh();
  }

  lost() {
    this.store.online = false;
    this.draw();
  }

  async refresh() {
    await this.store.refresh().catch((error) => this.toast(error.message));
  }

  /** Redraw once, soon, however often it is asked for. */
  draw() {
    if (this.drawing) return;
    this.drawing = true;
    setTimeout(() => {
      this.drawing = false;
      this.channel.show();
      this.thread.show();
      this.sidebar.show();
      this.drawFrame();
      if (this.replying && this.store.open.thread) {
        this.replying = false;
        this.thread.composer.field.focus();
      }
    });
  }

  drawFrame() {
    const { open, channels, unread } = this.store;
    const channel = channels.get(open.channel ?? "");
    document.body.dataset.view = open.thread ? "thread" : open.channel ? "channel" : "channels";
    const waiting = [...unread.marks.values()].reduce((sum, mark) => sum + mark.count, 0);
    const place = channel && !channel.is_im ? `#${channel.name} · ` : "";
    document.title = `${waiting ? `(${waiting}) ` : ""}${place}Threadsmith playground`;
  }

  /** Read the address: `#/CHANNEL` or `#/CHANNEL/THREAD`, nothing for the channel list. */
  route() {
    const [, channel = "", thread = ""] = location.hash.split("/");
    const { store } = this;
    const known = store.sees(channel);
    store.open = {
      channel: known ? channel : null,
      thread: known && /^\d+\.\d+$/.test(thread) ? thread : null,
    };
    this.editing = null;
    if (store.open.channel && store.open.thread)
      store.openThread(store.open.channel, store.open.thread).catch((error) => this.toast(error.message));
    this.draw();
  }

  /** @param {string} channel @param {string | null} thread */
  go(channel, thread) {
    location.hash = thread ? `#/${channel}/${thread}` : `#/${channel}`;
  }

  /** Go on as somebody else, in the same place where they may see it. @param {string} user */
  async become(user) {
    const { channel, thread } = this.store.open;
    this.events.drop();
    this.store.become(user);
    await this.refresh();
    this.events.connect();
    if (channel && this.store.sees(channel)) this.go(channel, thread);
    else this.go(firstChannel(this.store).id, null);
    this.say(`You are ${displayName(this.store.users.get(user))} now.`);
    this.route();
  }

  /** @param {import("./model.js").Message | null} message null ends the editing */
  edit(message) {
    const thread = this.store.open.thread;
    this.editing = message && `${message.channel}:${message.ts}`;
    this.draw();
    if (message === null) (thread ? this.thread : this.channel).composer.field.focus();
  }

  /** Open a thread by hand: where there is room, the next thing typed is a reply. @param {import("./model.js").Message} message */
  openThread(message) {
    this.go(message.channel, threadOf(message));
    this.replying = matchMedia(ROOMY).matches;
  }

  /** Put a text into a channel's composer, without sending it. @param {string} channel @param {string} text */
  compose(channel, text) {
    this.go(channel, null);
    this.route();
    this.channel.show();
    document.body.dataset.view = "channel";
    this.channel.composer.write(text);
  }

  /**
   * Act as the person looking. A refusal is shown and answered with null.
   * @param {Parameters<Api["act"]>[0]} action
   * @param {Record<string, unknown>} body
   */
  async act(action, body) {
    closePopover();
    try {
      return await this.api.act(action, { ...body, user: this.store.me });
    } catch (error) {
      this.toast(/** @type {Error} */ (error).message);
      return null;
    }
  }

  /** A message left for this channel; where there is room, the bot's answer opens its thread. @param {string} channel @param {string} ts */
  sent(channel, ts) {
    this.channel.messages.toEnd();
    this.expecting = matchMedia(ROOMY).matches ? `${channel}:${ts}` : null;
    // The bot may have been quicker than the answer to our own request.
    const begun =
      this.store.status(channel, ts)?.status === "processing" || this.store.thread(channel, ts).length > 1;
    if (begun) this.expected({ channel, thread: ts });
  }

  /** @param {{channel: string, thread: string}} place where the bot began to work */
  expected({ channel, thread }) {
    if (this.expecting !== `${channel}:${thread}`) return;
    this.expecting = null;
    const { open } = this.store;
    if (open.channel === channel && !open.thread && !this.channel.composer.field.value)
      this.go(channel, thread);
  }

  /** @param {import("./model.js").Message} message */
  arrived(message) {
    const user = this.store.users.get(message.user);
    if (user?.is_bot && isReply(message))
      this.expected({ channel: message.channel, thread: threadOf(message) });
    if (message.user === this.store.me || !this.store.isOnScreen(message)) return;
    this.say(
      `${displayName(user)}: ${toTyped(message.text, this.store.names()).slice(0, 300) || "is writing"}`,
    );
  }

  /** @param {string} text for those who listen to the page */
  say(text) {
    this.live.textContent = text;
  }

  /** @param {string} text */
  toast(text) {
    const node = h("p", { class: "toast" }, text);
    this.toasts.append(node);
    setTimeout(() => node.remove(), TOAST_MS);
  }
}

/** A message's permanent address leads here with its place in the query; turn it into this page's own form. */
function followPermalink() {
  const address = new URL(location.href);
  const { channel, thread_ts } = Object.fromEntries(address.searchParams);
  if (!channel) return;
  address.search = "";
  address.hash = thread_ts ? `#/${channel}/${thread_ts}` : `#/${channel}`;
  history.replaceState(null, "", address);
}

/** @param {HTMLElement} place @param {string} title @param {string} text */
function drawNotice(place, title, text) {
  fill(
    place,
    h(
      "div",
      { class: "notice" },
      mark(),
      h("span", { class: "patch" }, "Local playground"),
      h("h1", {}, title),
      h("p", {}, text),
    ),
  );
}

/** @param {HTMLElement} place @param {App} app */
async function begin(place, app) {
  try {
    await app.start(place);
  } catch (error) {
    const status = /** @type {import("./api.js").ApiError} */ (error).status;
    if (status === 401 || status === 403)
      return drawNotice(
        place,
        "This link is not valid",
        "Open the page with the link that the playground printed in your terminal; it carries a fresh key.",
      );
    if (status === undefined) throw error;
    drawNotice(
      place,
      "Waiting for the playground",
      `${/** @type {Error} */ (error).message} This page goes on by itself.`,
    );
    setTimeout(() => begin(place, app), RETRY_MS);
  }
}

const place = /** @type {HTMLElement} */ (document.getElementById("app"));
const token = takeToken();
if (token === null)
  drawNotice(
    place,
    "One thing is missing",
    "Open the page with the link that the playground printed in your terminal. It carries the key to this workspace.",
  );
else begin(place, new App(new Api(token)));
