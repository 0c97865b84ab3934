/** One message: who, when, what, and what can be done with it. */

import { avatar, displayName } from "./avatar.js";
import { drawBlock } from "./blocks.js";
import { fullTimeOf, timeOf } from "./clock.js";
import { ask } from "./dialog.js";
import { fill, h, reconcile } from "./dom.js";
import { drawEditor } from "./editor.js";
import { drawFile } from "./files.js";
import { icon } from "./icons.js";
import { drawEmoji } from "./inline.js";
import { drawPiece, splitMarkdown } from "./markdown.js";
import { drawMrkdwn } from "./mrkdwn.js";
import { QUICK, addButton, drawReactions, toggleReaction } from "./reactions.js";
import { drawPlan } from "./tasks.js";

/**
 * @typedef {import("./model.js").Message} Message
 * @typedef {import("./main.js").App} App
 * @typedef {object} Look how a row is to be drawn where it stands
 * @property {boolean} compact   the same author goes on: no name, no picture
 * @property {boolean} inThread
 * @property {boolean} editing
 * @property {boolean} unread    its thread has replies not seen
 * @property {boolean} working   the bot is at work in its thread
 */

/**
 * @param {Element | null} old drawn for the same message before
 * @param {Message} message
 * @param {Look} look
 * @param {App} app
 * @returns {Element}
 */
export function drawRow(old, message, look, app) {
  const row =
    old ??
    h(
      "li",
      { class: "row", tabindex: -1, "data-ts": message.ts },
      h("div", { class: "row-side" }),
      h("div", { class: "row-main" }),
      h("div", { class: "row-tools" }),
    );
  const user = app.store.users.get(message.user);
  const [side, main, tools] = row.children;
  row.className = [
    "row",
    look.compact && "row-compact",
    message.ephemeral && "row-ephemeral",
    old?.classList.contains("row-chosen") && "row-chosen",
  ]
    .filter(Boolean)
    .join(" ");
  row.setAttribute("aria-label", `${displayName(user)}, ${timeOf(message.ts)}`);
  reconcile(side, [
    { key: "side", parts: [look.compact, user], make: () => (look.compact ? time(message) : avatar(user)) },
  ]);
  reconcile(main, mainItems(message, look, app, user));
  if (!tools.contains(document.activeElement) || look.editing)
    fill(tools, look.editing ? [] : drawTools(message, look, app));
  return row;
}

/** @param {Message} message */
function time(message) {
  return h("time", { class: "time", title: fullTimeOf(message.ts) }, timeOf(message.ts));
}

/** @param {Message} message @param {Look} look @param {App} app @param {import("./model.js").User | undefined} user */
function mainItems(message, look, app, user) {
  const names = app.store.names();
  const items = [
    { key: "only-you", show: message.ephemeral, parts: [], make: () => drawOnlyYou(message, app) },
    { key: "byline", show: !look.compact, parts: [user], make: () => drawByline(message, user) },
    { key: "editor", show: look.editing, parts: [], make: () => drawEditor(message, app) },
    {
      key: "parts",
      show: !look.editing,
      parts: [message, names.users],
      make: (/** @type {Element | null} */ old) => drawParts(old, message, app),
    },
    { key: "unheard", show: app.store.isUnheard(message), parts: [], make: () => drawUnheard(app) },
    {
      key: "reactions",
      show: message.reactions.length > 0,
      parts: [JSON.stringify(message.reactions), names.me],
      make: () => /** @type {Element} */ (drawReactions(message, app)),
    },
    {
      key: "thread",
      show: !look.inThread && !message.ephemeral && (message.reply_count > 0 || look.working),
      parts: [message.reply_count, message.latest_reply, look.unread, look.working],
      make: () => drawThreadLink(message, look, app),
    },
  ];
  return items.filter((item) => item.show);
}

/** @param {Message} message @param {App} app */
function drawOnlyYou(message, app) {
  const dismiss = h("button", { type: "button", class: "text-button" }, "Dismiss");
  dismiss.addEventListener("click", () =>
    app.store.take({ type: "removed", channel: message.channel, ts: message.ts }),
  );
  return h("div", { class: "only-you" }, icon("eye"), "Only visible to you", dismiss);
}

/** @param {App} app */
function drawUnheard(app) {
  const bot = displayName(app.store.users.get(app.store.state?.bot.user_id ?? ""));
  return h("div", { class: "unheard" }, icon("plug"), `${bot} is not in this channel, so it will not answer here.`);
}

/** @param {Message} message @param {import("./model.js").User | undefined} user */
function drawByline(message, user) {
  const tag = user?.is_bot ? "bot" : user?.is_guest ? "guest" : null;
  return h(
    "div",
    { class: "byline" },
    h("span", { class: "author" }, displayName(user)),
    tag ? h("span", { class: "tag" }, tag) : null,
    time(message),
  );
}

/** @param {Element | null} old @param {Message} message @param {App} app @returns {Element} */
function drawParts(old, message, app) {
  const node = old ?? h("div", { class: "parts" });
  reconcile(node, partItems(message, app));
  return node;
}

/** @param {Message} message @param {App} app @returns {import("./dom.js").Item[]} */
function partItems(message, app) {
  if (message.deleted)
    return [
      { key: "gone", parts: [], make: () => h("p", { class: "tombstone" }, "This message was deleted.") },
    ];
  const names = app.store.names();
  const place = `${message.channel}:${message.ts}`;
  const items = streamItems(message, names, place);
  for (const [index, block] of (message.blocks ?? []).entries()) {
    items.push({
      key: `block-${index}`,
      parts: [JSON.stringify(block)],
      make: () => drawBlock(block, { names, place: `${place}:${index}`, message, app }),
    });
  }
  if (items.length === 0 && (message.text || message.files.length === 0))
    items.push({ key: "text", parts: [message.text], make: () => drawMrkdwn(message.text, names) });
  for (const file of message.files)
    items.push({ key: `file-${file.id}`, parts: [file.id], make: () => drawFile(file, app) });
  if (message.edited)
    items.push({ key: "edited", parts: [], make: () => h("span", { class: "edited" }, "(edited)") });
  return items;
}

/** @param {Message} message @param {import("./inline.js").Names} names @param {string} place @returns {import("./dom.js").Item[]} */
function streamItems(message, names, place) {
  const stream = message.stream;
  if (!stream) return [];
  /** @type {import("./dom.js").Item[]} */
  const items = [];
  if (stream.tasks.length > 0 || stream.plan_title) {
    items.push({
      key: "plan",
      parts: [JSON.stringify([stream.plan_title, stream.tasks]), message.streaming],
      make: (old) =>
        drawPlan(
          old,
          { title: stream.plan_title, tasks: stream.tasks, place, live: message.streaming },
          names,
        ),
    });
  }
  for (const [index, piece] of splitMarkdown(stream.markdown ?? "").entries()) {
    items.push({
      key: `piece-${index}`,
      parts: [piece],
      make: () => h("div", { class: "prose piece" }, drawPiece(piece, names)),
    });
  }
  if (message.streaming) items.push({ key: "writing", parts: [], make: drawWriting });
  return items;
}

function drawWriting() {
  return h(
    "div",
    { class: "writing", role: "img", "aria-label": "still writing" },
    h("span"),
    h("span"),
    h("span"),
  );
}

/** @param {Message} message @param {Look} look @param {App} app */
function drawThreadLink(message, look, app) {
  const faces = message.reply_users.slice(0, 4).map((id) => avatar(app.store.users.get(id), "avatar-small"));
  const count = message.reply_count === 1 ? "1 reply" : `${message.reply_count} replies`;
  const last = message.latest_reply
    ? h("span", { class: "thread-last" }, `last at ${timeOf(message.latest_reply)}`)
    : null;
  const working = h("span", { class: "thread-working" }, h("span", { class: "pulse" }), "working…");
  const link = h(
    "button",
    { type: "button", class: `thread-link ${look.unread && !look.working ? "thread-unread" : ""}` },
    faces,
    h("span", { class: "thread-count" }, message.reply_count ? count : "Open the thread"),
    look.working ? working : last,
    look.unread ? h("span", { class: "visually-hidden" }, "new replies") : null,
  );
  link.addEventListener("click", () => app.openThread(message));
  return link;
}

/** @param {Message} message @param {Look} look @param {App} app */
function drawTools(message, look, app) {
  if (message.ephemeral || message.deleted) return [];
  const quick = QUICK.map((name) =>
    tool(`React with :${name}:`, drawEmoji(name), () => toggleReaction(message, app, name)),
  );
  const tools = [...quick, addButton(message, app, "tool")];
  if (!look.inThread) tools.push(tool("Reply in thread", icon("reply"), () => app.openThread(message)));
  if (message.user !== app.store.me) return tools;
  return [
    ...tools,
    tool("Edit", icon("pencil"), () => app.edit(message)),
    tool("Delete", icon("trash"), () => remove(message, app)),
  ];
}

/** @param {string} label @param {Node} picture @param {() => void} onClick */
function tool(label, picture, onClick) {
  return h(
    "button",
    { type: "button", class: "tool", "aria-label": label, title: label, onclick: onClick },
    picture,
  );
}

/** @param {Message} message @param {App} app */
async function remove(message, app) {
  const body = h("div", { class: "quoted" }, drawMrkdwn(message.text, app.store.names()));
  const sure = await ask({ title: "Delete this message?", body, yes: "Delete", no: "Keep it", danger: true });
  if (sure) await app.act("delete", { channel: message.channel, ts: message.ts });
}
