/** What the person looking has not seen yet; where they stopped reading is kept in this browser. */

import { isReply } from "./model.js";

/**
 * @typedef {import("./model.js").Message} Message
 * @typedef {{count: number, mentioned: boolean}} Mark
 */

export class Unread {
  constructor() {
    /** @type {Map<string, Mark>} by channel */
    this.marks = new Map();
    /** @type {Set<string>} `channel:root` of threads with replies not seen */
    this.threads = new Set();
    /** @type {Record<string, string>} the ts read up to, by channel */
    this.readTo = {};
    this.me = "";
  }

  /**
   * Count anew from what was fetched. A channel never seen before counts as read.
   * @param {string} me
   * @param {string[]} channels
   * @param {(channel: string) => Message[]} roots
   */
  begin(me, channels, roots) {
    this.me = me;
    this.readTo = JSON.parse(localStorage.getItem(this.place()) ?? "{}");
    this.marks.clear();
    for (const channel of channels) {
      const since = (this.readTo[channel] ??= roots(channel).at(-1)?.ts ?? "0");
      const missed = roots(channel).filter(
        (message) => Number(message.ts) > Number(since) && message.user !== me,
      );
      if (missed.length === 0) continue;
      this.marks.set(channel, {
        count: missed.length,
        mentioned: missed.some(({ text }) => text.includes(`<@${me}>`)),
      });
    }
    this.keep();
  }

  /** @param {Message} message @param {boolean} onScreen @param {boolean} mentioned */
  arrived(message, onScreen, mentioned) {
    if (onScreen) return;
    if (isReply(message)) this.threads.add(`${message.channel}:${message.thread_ts}`);
    const mark = this.marks.get(message.channel) ?? { count: 0, mentioned: false };
    if (isReply(message) && !mentioned) return;
    this.marks.set(message.channel, { count: mark.count + 1, mentioned: mark.mentioned || mentioned });
  }

  /** @param {string} channel @param {string | undefined} latest the newest ts on show */
  see(channel, latest) {
    this.marks.delete(channel);
    if (latest === undefined || Number(latest) <= Number(this.readTo[channel] ?? 0)) return;
    this.readTo[channel] = latest;
    this.keep();
  }

  /** @param {string} channel @param {string} thread */
  seeThread(channel, thread) {
    this.threads.delete(`${channel}:${thread}`);
  }

  place() {
    return `playground.read.${this.me}`;
  }

  keep() {
    localStorage.setItem(this.place(), JSON.stringify(this.readTo));
  }
}
