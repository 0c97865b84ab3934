/** What this page knows of the workspace, and how events and answers change it. Draws nothing. */

import { isReply, threadOf } from "./model.js";
import { Unread } from "./unread.js";

/**
 * @typedef {import("./model.js").Message} Message
 * @typedef {import("./model.js").Channel} Channel
 * @typedef {import("./model.js").User} User
 * @typedef {import("./model.js").Status} Status
 */

const LOOKED_AS = "playground.person";

/** @param {string} channel @param {string} ts */
const keyOf = (channel, ts) => `${channel}:${ts}`;

/** Events: `change` (draw again), `arrived` (detail: a message not seen before), `status` (detail: {channel, thread}). */
export class Store extends EventTarget {
  /** @param {import("./api.js").Api} api */
  constructor(api) {
    super();
    this.api = api;
    this.me = localStorage.getItem(LOOKED_AS) ?? "";
    /** @type {import("./model.js").State | null} */
    this.state = null;
    /** @type {Map<string, User>} */
    this.users = new Map();
    /** @type {Map<string, Channel>} */
    this.channels = new Map();
    /** @type {Map<string, Map<string, Message>>} by channel, then ts; replies among them */
    this.messages = new Map();
    /** @type {Map<string, Status>} */
    this.statuses = new Map();
    /** @type {{channel: string | null, thread: string | null}} */
    this.open = { channel: null, thread: null };
    this.online = true;
    /** @type {Map<string, number>} when an event last touched a message, so that no older answer undoes it */
    this.touched = new Map();
    /** @type {Map<string, number>} the same for the statuses of threads */
    this.statusTouched = new Map();
    this.clock = 0;
    /** @type {Set<string>} threads whose replies were fetched */
    this.loadedThreads = new Set();
    this.unread = new Unread();
  }

  changed() {
    this.dispatchEvent(new Event("change"));
  }

  /** Decide who is looking: the person of last time if still there, otherwise the first full member. */
  async choosePerson() {
    const { users, bot } = await this.api.people();
    const people = users.filter((user) => user.id !== bot.id);
    if (!people.some((user) => user.id === this.me))
      this.me = (people.find((user) => user.github) ?? people[0]).id;
  }

  /** @param {string} user become this person; the caller reconnects and refreshes */
  become(user) {
    localStorage.setItem(LOOKED_AS, user);
    this.me = user;
    this.messages.clear();
    this.touched.clear();
    this.statusTouched.clear();
    this.statuses.clear();
    this.loadedThreads.clear();
  }

  /** Fetch everything on show anew; what events change meanwhile is kept. */
  async refresh() {
    const me = this.me;
    const state = await this.api.state(me);
    this.takeState(state);
    const channels = this.joined().map((channel) => this.fetch(me, channel.id));
    const { channel, thread } = this.open;
    this.loadedThreads.clear();
    const replies = channel && thread && this.sees(channel) ? this.fetch(me, channel, thread) : null;
    await Promise.all([...channels, replies]);
    this.unread.begin(
      me,
      this.joined().map(({ id }) => id),
      (id) => this.roots(id),
    );
    this.changed();
  }

  /** @param {import("./model.js").State} state */
  takeState(state) {
    this.state = state;
    this.users = new Map(state.users.map((user) => [user.id, user]));
    this.channels = new Map(state.channels.map((channel) => [channel.id, channel]));
  }

  /** @param {string} me @param {string} channel @param {string} [thread] */
  async fetch(me, channel, thread) {
    const asked = this.clock;
    const answer = await this.api.messages(me, channel, thread);
    if (me !== this.me) return;
    const held = this.inChannel(channel);
    const isNewer = (/** @type {string} */ ts) => (this.touched.get(keyOf(channel, ts)) ?? 0) > asked;
    const given = new Set(answer.messages.map((message) => message.ts));
    for (const message of held.values()) {
      const covered = thread ? message.thread_ts === thread : !isReply(message);
      if (covered && !given.has(message.ts) && !isNewer(message.ts)) held.delete(message.ts);
    }
    for (const message of answer.messages) {
      if (!isNewer(message.ts)) held.set(message.ts, message);
    }
    for (const [ts, status] of Object.entries(answer.statuses)) {
      const key = keyOf(channel, ts);
      if ((this.statusTouched.get(key) ?? 0) <= asked) this.statuses.set(key, status);
    }
    if (thread) this.loadedThreads.add(keyOf(channel, thread));
  }

  /** @param {string} channel @param {string} thread */
  async openThread(channel, thread) {
    this.unread.seeThread(channel, thread);
    if (this.loadedThreads.has(keyOf(channel, thread))) return;
    await this.fetch(this.me, channel, thread);
    this.changed();
  }

  /** @param {any} event one from the WebSocket */
  take(event) {
    if (event.type === "message") this.takeMessage(event.message);
    else if (event.type === "removed") this.takeRemoved(event.channel, event.ts);
    else if (event.type === "status") this.takeStatus(event);
    else if (event.type === "bot" && this.state)
      this.state.bot = { ...this.state.bot, connected: event.connected };
    this.changed();
  }

  /** @param {Message} message */
  takeMessage(message) {
    const held = this.inChannel(message.channel);
    const known = held.has(message.ts);
    this.touch(message.channel, message.ts);
    held.set(message.ts, message);
    if (known || message.deleted) return;
    if (message.user !== this.me)
      this.unread.arrived(message, this.isOnScreen(message), message.text.includes(`<@${this.me}>`));
    this.dispatchEvent(new CustomEvent("arrived", { detail: message }));
  }

  /** @param {string} channel @param {string} ts */
  touch(channel, ts) {
    this.touched.set(keyOf(channel, ts), ++this.clock);
  }

  /** @param {string} channel @param {string} ts */
  takeRemoved(channel, ts) {
    this.touch(channel, ts);
    this.inChannel(channel).delete(ts);
    if (this.open.channel === channel && this.open.thread === ts)
      this.dispatchEvent(new Event("thread-gone"));
  }

  /** @param {Status & {channel: string, thread_ts: string}} event */
  takeStatus(event) {
    this.statusTouched.set(keyOf(event.channel, event.thread_ts), ++this.clock);
    this.statuses.set(keyOf(event.channel, event.thread_ts), event);
    this.dispatchEvent(
      new CustomEvent("status", { detail: { channel: event.channel, thread: event.thread_ts } }),
    );
  }

  /** @param {string} channel @param {string} thread @returns {Status | null} */
  status(channel, thread) {
    return this.statuses.get(keyOf(channel, thread)) ?? null;
  }

  /** @param {Message} message */
  isOnScreen(message) {
    if (document.hidden || this.open.channel !== message.channel) return false;
    return !isReply(message) || this.open.thread === message.thread_ts;
  }

  /** @param {string} channel @returns {Map<string, Message>} */
  inChannel(channel) {
    const held = this.messages.get(channel) ?? new Map();
    this.messages.set(channel, held);
    return held;
  }

  /** @param {string} channel @returns {Message[]} those outside threads, oldest first */
  roots(channel) {
    return inOrder(
      [...this.inChannel(channel).values()].filter((message) => !isReply(message) || message.broadcast),
    );
  }

  /** @param {string} channel @param {string} thread @returns {Message[]} the root and its replies, oldest first */
  thread(channel, thread) {
    return inOrder([...this.inChannel(channel).values()].filter((message) => threadOf(message) === thread));
  }

  /** The channels this person is in, then their direct message with the bot. @returns {Channel[]} */
  joined() {
    return [...this.channels.values()].filter((channel) => channel.is_im || channel.is_member);
  }

  /** @param {string} channel */
  sees(channel) {
    return this.joined().some(({ id }) => id === channel);
  }

  /** Does the message call the bot where the bot is not? @param {Message} message */
  isUnheard(message) {
    const channel = this.channels.get(message.channel);
    if (channel?.bot_is_member !== false || channel.is_im || message.deleted) return false;
    return message.text.includes(`<@${this.state?.bot.user_id}>`);
  }

  /** @returns {Channel | undefined} */
  direct() {
    return this.joined().find((channel) => channel.is_im);
  }

  /** @returns {import("./inline.js").Names} */
  names() {
    return { users: this.users, channels: this.channels, me: this.me };
  }
}

/** @param {Message[]} messages */
function inOrder(messages) {
  return messages.sort((a, b) => Number(a.ts) - Number(b.ts));
}
