/** What may stand at the caret: people after @, channels after #, commands after /, emoji after a colon. */

import { avatar, displayName } from "./avatar.js";
import { h } from "./dom.js";
import { findEmoji } from "./emoji.js";
import { icon } from "./icons.js";
import { drawEmoji } from "./inline.js";

/**
 * @typedef {import("./listbox.js").Option} Option
 * @typedef {{from: number, options: Option[], label: string}} Completion options' values replace the text from `from` to the caret
 */

const MOST = 8;

/**
 * @param {string} before the text up to the caret
 * @param {import("./store.js").Store} store
 * @param {boolean} inThread
 * @returns {Completion | null}
 */
export function complete(before, store, inThread) {
  const command = inThread ? null : /^\/(\S*)$/.exec(before);
  if (command) return offer(0, commands(command[1], store), "Commands");
  const person = /(?:^|[\s(])@([^\s@]*(?: [^\s@]*)?)$/.exec(before);
  if (person)
    return offer(before.length - person[1].length - 1, people(person[1].toLowerCase(), store), "People");
  const place = /(?:^|[\s(])#([\w-]*)$/.exec(before);
  if (place)
    return offer(before.length - place[1].length - 1, channels(place[1].toLowerCase(), store), "Channels");
  const emoji = /(?:^|\s):([a-z0-9_+-]{2,})$/.exec(before);
  if (emoji) return offer(before.length - emoji[1].length - 1, emojis(emoji[1]), "Emoji");
  return null;
}

/** @param {number} from @param {Option[]} options @param {string} label @returns {Completion | null} */
function offer(from, options, label) {
  return options.length ? { from, options: options.slice(0, MOST), label } : null;
}

/** @param {string} typed @param {import("./store.js").Store} store @returns {Option[]} */
function commands(typed, store) {
  const all = store.state?.commands ?? [];
  return all
    .filter(({ command }) => command.slice(1).startsWith(typed.toLowerCase()))
    .map(({ command, description, usage_hint }) => ({
      value: `${command} `,
      label: `${command} ${usage_hint ?? ""}`.trim(),
      note: description,
      picture: symbol("slash"),
    }));
}

/** @param {string} typed @param {import("./store.js").Store} store @returns {Option[]} */
function people(typed, store) {
  const users = [...store.users.values()].filter((user) => user.id !== store.me);
  const found = users.filter((user) =>
    [displayName(user), user.name, ...displayName(user).split(" ")].some((name) =>
      name?.toLowerCase().startsWith(typed),
    ),
  );
  found.sort((a, b) => Number(b.is_bot) - Number(a.is_bot));
  return found.map((user) => ({
    value: `@${displayName(user)} `,
    label: displayName(user),
    note: user.is_bot ? "the bot" : user.is_guest ? "guest" : (user.github ?? ""),
    picture: avatar(user, "avatar-small"),
  }));
}

/** @param {string} typed @param {import("./store.js").Store} store @returns {Option[]} */
function channels(typed, store) {
  const found = [...store.channels.values()].filter(
    (channel) => !channel.is_im && channel.name.startsWith(typed),
  );
  return found.map((channel) => ({
    value: `#${channel.name} `,
    label: channel.name,
    note: channel.topic,
    picture: symbol("hash"),
  }));
}

/** @param {string} typed @returns {Option[]} */
function emojis(typed) {
  return findEmoji(typed, MOST).map(({ name }) => ({
    value: `:${name}: `,
    label: `:${name}:`,
    picture: h("span", { class: "option-emoji" }, drawEmoji(name)),
  }));
}

/** @param {string} name */
function symbol(name) {
  return h("span", { class: "option-symbol" }, icon(name));
}
