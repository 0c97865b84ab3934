/** The shapes the page API speaks, and where a message stands. */

/**
 * @typedef {{id: string, name: string, real_name: string, color: string, is_bot: boolean, is_guest: boolean, github: string | null}} User
 * @typedef {{id: string, name: string, topic: string, is_im: boolean, user: string | null, is_member: boolean, bot_is_member: boolean}} Channel
 * @typedef {{name: string, users: string[], count: number}} Reaction
 * @typedef {{id: string, title: string, status: string, details: unknown, output: unknown, sources: unknown[] | null}} Task
 * @typedef {{markdown: string, plan_title: string | null, tasks: Task[], display_mode: string | null}} Stream
 * @typedef {{id: string, name: string, title: string, mimetype: string, pretty_type: string, size: number}} File
 * @typedef {object} Message
 * @property {string} ts
 * @property {string} channel
 * @property {string | null} thread_ts
 * @property {string} user
 * @property {string} text
 * @property {any[] | null} blocks
 * @property {Reaction[]} reactions
 * @property {number} reply_count
 * @property {string[]} reply_users
 * @property {string | null} latest_reply
 * @property {boolean} edited
 * @property {boolean} ephemeral
 * @property {boolean} deleted
 * @property {boolean} streaming
 * @property {boolean} broadcast  a reply also shown in the channel
 * @property {Stream | null} stream
 * @property {File[]} files
 * @typedef {{command: string, description: string, usage_hint: string}} Command
 * @typedef {{id: string, user_id: string, name: string, connected: boolean}} Bot
 * @typedef {{status: "active" | "processing" | "suspended" | "closed" | null, title: string | null, text: string}} Status  of a thread; `text` is what the bot says it is doing
 * @typedef {object} State
 * @property {{id: string, name: string}} team
 * @property {User} me
 * @property {User[]} users
 * @property {Channel[]} channels
 * @property {Bot} bot
 * @property {Command[]} commands
 * @property {string} github_url
 * @property {string} github_token  opens the code host's pages
 * @property {string[]} repositories
 */

/** @param {Message} message @returns {string} the ts of the thread it stands in, or would open */
export function threadOf(message) {
  return message.thread_ts || message.ts;
}

/** @param {Message} message */
export function isReply(message) {
  return Boolean(message.thread_ts) && message.thread_ts !== message.ts;
}
