"""The chat.* methods but for streams."""

from __future__ import annotations

from bot.playground import people
from bot.playground.slack import blocks, views
from bot.playground.slack.calls import Call, Handler
from bot.playground.slack.errors import SlackError
from bot.playground.slack.messages import Json, Message

MAX_TEXT = 40_000
MAX_MARKDOWN = 12_000


def post_message(call: Call) -> Json:
    """chat.postMessage. Longer text is cut, as Slack does; `client_msg_id` is kept, not deduplicated."""
    channel = call.joined_channel()
    thread_ts = call.thread(channel)
    message = _bot_message(call, channel.id)
    message.thread_ts = thread_ts
    if thread_ts and call.args.flag("reply_broadcast"):
        message.subtype = "thread_broadcast"
    call.workspace.post(message)
    return {"channel": channel.id, "ts": message.ts, "message": _posted(call, message, views.POSTED_HIDES)}


def _posted(call: Call, message: Message, hide: frozenset[str]) -> Json:
    return views.slack_message(message, hide=hide, parent=call.workspace.parent_of(message))


def _bot_message(call: Call, channel: str) -> Message:
    text, given = _content(call)
    attachments = _attachments(call)
    if not text and not given and not attachments:
        raise SlackError("no_text")
    return Message(
        channel=channel,
        ts=call.workspace.clock.ts(),
        user=people.BOT_USER_ID,
        bot_id=people.BOT_ID,
        text=text[:MAX_TEXT],
        blocks=given,
        attachments=attachments,
        metadata=call.metadata(),
        client_msg_id=call.args.text("client_msg_id"),
    )


def _attachments(call: Call) -> list[Json] | None:
    given = call.args.data("attachments", "invalid_attachments")
    if given and not (isinstance(given, list) and all(isinstance(item, dict) for item in given)):
        raise SlackError("invalid_attachments")
    return given or None


def _content(call: Call) -> tuple[str, list[Json] | None]:
    text = call.args.text("text") or ""
    given = blocks.checked(call.args.data("blocks", "invalid_blocks_format"))
    markdown = call.args.text("markdown_text")
    if markdown is None:
        return text, given
    if text or given:
        raise SlackError("markdown_text_conflict")
    if len(markdown) > MAX_MARKDOWN:
        raise SlackError("msg_too_long")
    if not markdown:
        return "", None
    return markdown, [{"type": "markdown", "block_id": blocks.new_id(), "text": markdown}]


def update(call: Call) -> Json:
    """chat.update: only of the bot's own, and not while a stream is open on it."""
    channel = call.joined_channel()
    message = call.own_message(channel, "cant_update_message")
    if message.streaming:
        raise SlackError("streaming_state_conflict")
    text, given = _content(call)
    attachments = _attachments(call)
    if not text and given is None and not attachments:
        raise SlackError("no_text")
    if len(text) > MAX_TEXT:
        raise SlackError("msg_too_long")
    message.text, message.blocks, message.stream = text, given, None
    message.attachments = attachments
    if "metadata" in call.args.values:
        message.metadata = call.metadata()
    call.workspace.edit(message, people.BOT_USER_ID)
    shown = _posted(call, message, views.UPDATED_HIDES)
    return {"channel": channel.id, "ts": message.ts, "text": message.text, "message": shown}


def delete(call: Call) -> Json:
    """chat.delete: only of the bot's own."""
    channel = call.channel()
    message = call.own_message(channel, "cant_delete_message")
    call.workspace.delete(message)
    return {"channel": channel.id, "ts": message.ts}


def post_ephemeral(call: Call) -> Json:
    """chat.postEphemeral: seen by one member of the channel, in no history."""
    channel = call.joined_channel()
    user = call.args.text("user") or ""
    if not call.workspace.is_member(channel.id, user):
        raise SlackError("user_not_in_channel")
    thread_ts = call.thread(channel)
    message = _bot_message(call, channel.id)
    message.thread_ts, message.ephemeral_to = thread_ts, user
    call.workspace.post(message)
    return {"message_ts": message.ts}


def get_permalink(call: Call) -> Json:
    """chat.getPermalink: an address that opens the page at the message."""
    channel = call.channel()
    message = call.message(channel, "message_ts")
    link = f"{call.workspace.base_url}/archives/{channel.id}/p{message.ts.replace('.', '')}"
    if message.thread_ts:
        link += f"?thread_ts={message.thread_ts}&cid={channel.id}"
    return {"channel": channel.id, "permalink": link}


METHODS: dict[str, Handler] = {
    "chat.postMessage": post_message,
    "chat.update": update,
    "chat.delete": delete,
    "chat.postEphemeral": post_ephemeral,
    "chat.getPermalink": get_permalink,
}
