"""The same message as three readers see it: Slack's clients, the page, and the control API."""

from __future__ import annotations

from dataclasses import asdict

from bot.playground import people
from bot.playground.slack.blocks import FEEDBACK
from bot.playground.slack.messages import Json, Message, Replies, Stream, elements

# Slack's recorded responses differ in which keys of a message they carry; each name says what is left out.
EVENT_HIDES = frozenset({"app_id", "reactions", "metadata_payload", "reply_users"})
SHARE_HIDES = EVENT_HIDES | {"team", "client_msg_id", "metadata", "edited", "bot_profile"}
MENTION_HIDES = EVENT_HIDES | {"parent_user_id", "channel_type", "metadata", "attachments", "subtype"}
REPLIES_HIDES = frozenset({"client_msg_id"})
POSTED_HIDES = frozenset({"client_msg_id", "reactions", "edited"})
UPDATED_HIDES = POSTED_HIDES - {"edited"} | {"ts", "thread_ts", "parent_user_id", "attachments", "subtype"}
REACTED_HIDES = frozenset(
    {"client_msg_id", "edited", "thread_ts", "parent_user_id", "attachments", "subtype"}
)
BROADCAST_HIDES = EVENT_HIDES | {"team", "bot_id", "bot_profile", "parent_user_id", "metadata", "edited"}
ROOT_HIDES = EVENT_HIDES | {"blocks", "attachments", "client_msg_id", "metadata", "is_locked"}
CHANGED_HIDES = EVENT_HIDES | {"metadata"}


def bot_profile() -> Json:
    """The bot as Slack describes it beside its messages."""
    return {
        "id": people.BOT_ID,
        "deleted": False,
        "name": people.BOT.real_name,
        "updated": 1700000000,
        "app_id": people.APP_ID,
        "icons": bot_icons(),
        "team_id": people.TEAM_ID,
    }


def bot_icons() -> Json:
    """Addresses of the bot's picture; nothing is served there."""
    return {f"image_{size}": f"https://a.slack-edge.com/bot_{size}.png" for size in (36, 48, 72)}


def slack_message(
    message: Message,
    *,
    hide: frozenset[str] = frozenset(),
    parent: str | None = None,
    replies: Replies | None = None,
) -> Json:
    """A message in Slack's form without the keys in `hide`.

    `parent` is the author of the thread's root, given for replies; `replies` the thread's facts, for roots.
    """
    data: Json = {"type": "message", "user": message.user, "ts": message.ts, "text": message_text(message)}
    data["team"] = people.TEAM_ID
    if message.bot_id:
        data |= {"bot_id": message.bot_id, "app_id": people.APP_ID, "bot_profile": bot_profile()}
    optional: Json = {
        "subtype": message.subtype,
        "client_msg_id": message.client_msg_id,
        "blocks": message_blocks(message),
        "attachments": message.attachments,
        "edited": message.edited,
        "metadata": _metadata(message, with_payload="metadata_payload" not in hide),
        "reactions": _reactions(message) or None,
        "thread_ts": message.thread_ts,
        "parent_user_id": parent,
        "files": message.files,
    }
    if message.files:
        optional |= {"upload": False, "display_as_bot": False}
    data |= {key: value for key, value in optional.items() if value is not None}
    if replies:
        data |= _reply_facts(message, replies)
    return {key: value for key, value in data.items() if key not in hide}


def _metadata(message: Message, *, with_payload: bool) -> Json | None:
    if message.metadata is None or with_payload:
        return message.metadata
    return {"event_type": message.metadata["event_type"]}


def _reactions(message: Message) -> list[Json]:
    return [{"name": name, "users": users, "count": len(users)} for name, users in message.reactions.items()]


def _reply_facts(message: Message, replies: Replies) -> Json:
    return {
        "thread_ts": message.ts,
        "reply_count": replies.count,
        "reply_users_count": len(replies.users),
        "reply_users": replies.users,
        "latest_reply": replies.latest,
        "is_locked": False,
        "subscribed": False,
    }


def message_text(message: Message) -> str:
    """The text Slack shows for a message: for a stream what it has received, for others `text`."""
    return message.stream.markdown if message.stream else message.text


def message_blocks(message: Message) -> list[Json] | None:
    """All blocks of a message; a stream's text and tasks come before the blocks it was given."""
    if message.stream is None:
        return message.blocks
    return (_stream_blocks(message.stream) + (message.blocks or [])) or None


def _stream_blocks(stream: Stream) -> list[Json]:
    cards = [_task_card(task, index) for index, task in enumerate(stream.tasks)]
    if stream.plan_title is not None or stream.display_mode == "plan":
        cards = (
            [{"type": "plan", "block_id": "plan", "title": stream.plan_title or "", "tasks": cards}]
            if cards
            else []
        )
    text = [{"type": "markdown", "block_id": "text", "text": stream.markdown}] if stream.markdown else []
    return cards + text


def _task_card(task: Json, index: int) -> Json:
    card = {"type": "task_card", "block_id": f"task{index}", "task_id": task["id"], "title": task["title"]}
    return card | {"status": task["status"]}


def stream_text(stream: Stream) -> str:
    """A stream as a person reads it: plan title, tasks with status, then the text."""
    lines = [stream.plan_title] if stream.plan_title else []
    for task in stream.tasks:
        lines.append(f"[{task['status']}] {task['title']}")
        lines += [str(task[key]) for key in ("details", "output") if task.get(key)]
    if stream.markdown:
        lines.append(stream.markdown)
    return "\n".join(lines)


def control_message(message: Message) -> Json:
    """A message of `/control/thread`."""
    return {
        "ts": message.ts,
        "user": message.user,
        "text": _seen_text(message),
        "blocks": message_blocks(message) or [],
        "actions": [_action(element) for _, element in elements(message.blocks)],
        "reactions": _reactions(message),
        "ephemeral_to": message.ephemeral_to,
        "streaming": message.streaming,
        "deleted": message.deleted,
        "edited": message.edited is not None,
        "thread_ts": message.thread_ts,
        "metadata": message.metadata,
        "files": message.files or [],
    }


def _seen_text(message: Message) -> str:
    """What people read: a stream as it stands, the text, or where there is none the words of the blocks."""
    if message.stream:
        return stream_text(message.stream)
    return message.text or "\n".join(filter(None, map(_block_words, message.blocks or [])))


def _block_words(block: Json) -> str:
    texts = [block.get("text"), *(block.get("fields") or ())]
    if block.get("type") == "context":
        texts += block.get("elements") or []
    return "\n".join(filter(None, map(plain, texts)))


def _action(element: Json) -> Json:
    return {
        "action_id": element["action_id"],
        "type": element.get("type"),
        "text": plain(element.get("text") or element.get("placeholder")),
        "value": element.get("value"),
        "options": [
            {"text": plain(option.get("text")), "value": option.get("value")} for option in options(element)
        ],
    }


def options(element: Json) -> list[Json]:
    """Every option of a select, its groups flattened; the two buttons of a feedback element."""
    if element.get("type") == "feedback_buttons":
        return [element[key] for key in FEEDBACK if key in element]
    groups = element.get("option_groups") or []
    return [*(element.get("options") or []), *(option for group in groups for option in group["options"])]


def plain(text: object) -> str:
    """The words of a text object; of a markdown block the text itself."""
    if isinstance(text, dict):
        return str(text.get("text", ""))
    return text if isinstance(text, str) else ""


_PAGE_FILE = ("id", "name", "title", "mimetype", "pretty_type", "size")


def page_message(message: Message, replies: Replies | None) -> Json:
    """A message as the page draws it. A stream's own text and tasks are in `stream`, not in `blocks`."""
    return {
        "ts": message.ts,
        "channel": message.channel,
        "thread_ts": message.thread_ts,
        "user": message.user,
        "text": message_text(message),
        # What a person typed is drawn from its text; the rich text beside it says the same.
        "blocks": message.blocks if message.bot_id else None,
        "reactions": _reactions(message),
        "reply_count": replies.count if replies else 0,
        "reply_users": replies.users if replies else [],
        "latest_reply": replies.latest if replies else None,
        "edited": message.edited is not None,
        "ephemeral": message.ephemeral_to is not None,
        "deleted": message.deleted,
        "streaming": message.streaming,
        "stream": _page_stream(message.stream),
        "broadcast": message.subtype == "thread_broadcast",
        "files": [{key: file[key] for key in _PAGE_FILE} for file in message.files or ()],
    }


def _page_stream(stream: Stream | None) -> Json | None:
    if stream is None:
        return None
    data = asdict(stream)
    del data["state"], data["mode"]
    return data
