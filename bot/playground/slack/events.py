"""The events Slack would send for what happened, and the wrapper they travel in."""

from __future__ import annotations

import secrets
import time

from bot.playground import people
from bot.playground.slack import views
from bot.playground.slack.messages import Json, Message, Replies


def channel_type(channel: str) -> str:
    """What kind of conversation an id names, as events say it."""
    return "im" if people.CHANNELS[channel].is_im else "channel"


def message_posted(message: Message, root: Message | None, replies: Replies | None) -> Json:
    """A new message; for a reply with its `root` and the thread's facts."""
    if message.subtype == "thread_broadcast" and root is not None:
        event = views.slack_message(message, hide=views.BROADCAST_HIDES)
        event["root"] = views.slack_message(root, hide=views.ROOT_HIDES, replies=replies)
    else:
        hide = views.SHARE_HIDES if message.files else views.EVENT_HIDES
        event = views.slack_message(message, hide=hide, parent=root.user if root else None)
    return event | _placed(message, message.ts)


def app_mentioned(message: Message) -> Json:
    """The second event for a message that mentions the app in a channel."""
    event = views.slack_message(message, hide=views.MENTION_HIDES)
    return event | {"type": "app_mention", "channel": message.channel, "event_ts": message.ts}


def message_changed(message: Message, previous: Message, replies: Replies | None, event_ts: str) -> Json:
    """An edit, by whomever."""
    return {
        "type": "message",
        "subtype": "message_changed",
        "message": views.slack_message(message, hide=views.CHANGED_HIDES, replies=replies),
        "previous_message": views.slack_message(previous, hide=views.CHANGED_HIDES, replies=replies),
        "hidden": True,
        "ts": event_ts,
        **_placed(message, event_ts),
    }


def message_deleted(previous: Message, replies: Replies | None, event_ts: str) -> Json:
    """A deletion."""
    return {
        "type": "message",
        "subtype": "message_deleted",
        "previous_message": views.slack_message(previous, hide=views.CHANGED_HIDES, replies=replies),
        "deleted_ts": previous.ts,
        "hidden": True,
        "ts": event_ts,
        **_placed(previous, event_ts),
    }


def _placed(message: Message, event_ts: str) -> Json:
    kind = channel_type(message.channel)
    return {"channel": message.channel, "event_ts": event_ts, "channel_type": kind}


def reaction(kind: str, message: Message, user: str, name: str, event_ts: str) -> Json:
    """`kind` is reaction_added or reaction_removed."""
    return {
        "type": kind,
        "user": user,
        "reaction": name,
        "item": {"type": "message", "channel": message.channel, "ts": message.ts},
        "item_user": message.user,
        "event_ts": event_ts,
    }


def session_stopped(channel: str, thread_ts: str, user: str, streams: list[str], event_ts: str) -> Json:
    """The Stop button of an agent session; `streams` are the messages whose streams it ended."""
    return {
        "type": "agent_session_stopped",
        "channel": channel,
        "user": user,
        "thread_ts": thread_ts,
        "streaming_message_ts": streams,
        "event_ts": event_ts,
    }


def wrapped(event: Json, token: str) -> Json:
    """The `event_callback` around an event; `token` is the app's old verification token."""
    return {
        "token": token,
        "team_id": people.TEAM_ID,
        "api_app_id": people.APP_ID,
        "event": event,
        "type": "event_callback",
        "event_id": f"Ev{secrets.token_hex(5).upper()}",
        "event_time": int(time.time()),
        "authorizations": [
            {
                "enterprise_id": None,
                "team_id": people.TEAM_ID,
                "user_id": people.BOT_USER_ID,
                "is_bot": True,
                "is_enterprise_install": False,
            }
        ],
        "is_ext_shared_channel": False,
        "event_context": f"4-{secrets.token_hex(16)}",
    }
