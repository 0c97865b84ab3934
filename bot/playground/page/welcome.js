/** What a newcomer is told, with prompts that fill the composer when clicked. */

import { h, outLink } from "./dom.js";
import { icon } from "./icons.js";

/**
 * @typedef {import("./main.js").App} App
 * @typedef {import("./model.js").Channel} Channel
 * @typedef {{channel: Channel, text: string, why: string}} Example
 */

/**
 * Prompts that work in this workspace: they name only what its state gives.
 * @param {import("./store.js").Store} store
 * @returns {Example[]}
 */
export function examples(store) {
  const { state } = store;
  if (!state) return [];
  const bot = `@${store.users.get(state.bot.user_id)?.real_name || state.bot.name}`;
  const open = store.joined().filter((channel) => !channel.is_im);
  const named = open.filter((channel) => repositoryOf(channel, state.repositories));
  const vague = open.find((channel) => !repositoryOf(channel, state.repositories));
  const [first, second = first] = named;
  /** @type {(Example | undefined)[]} */
  const all = [
    first && {
      channel: first,
      text: `${bot} append "Made from a Slack thread." to README.md`,
      why: `A one-line change in ${repositoryOf(first, state.repositories)}`,
    },
    second && {
      channel: second,
      text: `${bot} create docs/hello.md with "Hello from ${store.users.get(store.me)?.real_name ?? "us"}" then run "ls docs"`,
      why: `Two steps in ${repositoryOf(second, state.repositories)}, seen live`,
    },
    vague && {
      channel: vague,
      text: `${bot} create NOTES.md with "Where does this belong?"`,
      why: "No repository named: it asks you which one",
    },
  ];
  return all.filter((one) => one !== undefined);
}

/** @param {Channel} channel @param {string[]} repositories @returns {string | undefined} the one its topic names */
function repositoryOf(channel, repositories) {
  return repositories.find((name) => channel.topic.includes(name));
}

/** The channel a newcomer should see first: one whose topic names a repository. @param {import("./store.js").Store} store */
export function firstChannel(store) {
  return examples(store)[0]?.channel ?? store.joined()[0];
}

/**
 * @param {App} app
 * @param {() => void} [leave] called when a prompt was chosen
 * @returns {HTMLElement}
 */
export function drawWelcome(app, leave) {
  const bot = app.store.users.get(app.store.state?.bot.user_id ?? "")?.real_name ?? "the bot";
  const steps = [
    ["Mention it", `Write @${bot} and what should change, in a channel or directly.`],
    ["Watch the thread", "Each step shows as it happens. Reply to steer it, or press Stop."],
    [
      "Merge",
      [
        "The pull request waits on the ",
        outLink(app.store.state?.github_url, { class: "link" }, "GitHub side"),
        ", with your name on it.",
      ],
    ],
  ];
  return h(
    "section",
    { class: "welcome", "aria-labelledby": "welcome-title" },
    h("h2", { class: "welcome-title", id: "welcome-title" }, "A thread goes in, a pull request comes out."),
    h(
      "p",
      { class: "welcome-lead" },
      "This is a make-believe workspace on your own machine, with sample people and sample repositories. Break anything you like.",
    ),
    h(
      "ol",
      { class: "welcome-steps" },
      steps.map(([title, text]) => h("li", {}, h("strong", {}, title), h("span", {}, text))),
    ),
    h("h3", { class: "welcome-try" }, "Try one"),
    h(
      "ul",
      { class: "welcome-prompts" },
      examples(app.store).map((example) => drawExample(example, app, leave)),
    ),
  );
}

/** @param {Example} example @param {App} app @param {(() => void) | undefined} leave */
function drawExample(example, app, leave) {
  const button = h(
    "button",
    { type: "button", class: "prompt" },
    h("span", { class: "prompt-where" }, icon("hash"), example.channel.name),
    h("span", { class: "prompt-text" }, example.text),
    h("span", { class: "prompt-why" }, example.why),
  );
  button.addEventListener("click", () => {
    leave?.();
    app.compose(example.channel.id, example.text);
  });
  return h("li", {}, button);
}

/**
 * The head of a channel's messages.
 * @param {App} app
 * @param {Channel} channel
 * @param {boolean} isEmpty
 * @returns {HTMLElement}
 */
export function drawIntro(app, channel, isEmpty) {
  const bot = app.store.users.get(app.store.state?.bot.user_id ?? "")?.real_name ?? "the bot";
  if (isEmpty) return drawWelcome(app);
  const title = channel.is_im ? `You and ${bot}` : `#${channel.name}`;
  const text = channel.is_im
    ? "No mention needed here: every message is meant for the bot."
    : "This is where the channel begins.";
  return h("section", { class: "beginning" }, h("h2", {}, title), h("p", {}, text));
}
