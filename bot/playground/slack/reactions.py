"""The reactions.* methods."""

from __future__ import annotations

import re

from bot.playground import people
from bot.playground.slack import views
from bot.playground.slack.calls import Call, Handler
from bot.playground.slack.clock import is_ts
from bot.playground.slack.errors import SlackError
from bot.playground.slack.messages import Json, Message

_NAME = re.compile(r"[a-z0-9_+'-]{1,100}(?:::skin-tone-[2-6])?")


def emoji_name(value: str | None) -> str | None:
    """The name of an emoji without its colons, None if it is not one."""
    name = (value or "").strip(":") if "::" not in (value or "") else value
    return name if name and _NAME.fullmatch(name) else None


def _item(call: Call) -> Message:
    if not call.args.text("channel") or not call.args.text("timestamp"):
        raise SlackError("no_item_specified")
    channel = call.joined_channel()
    if not is_ts(call.args.need("timestamp")):
        raise SlackError("bad_timestamp")
    return call.message(channel, "timestamp")


def _name(call: Call) -> str:
    name = emoji_name(call.args.text("name"))
    if name is None:
        raise SlackError("invalid_name")
    return name


def add(call: Call) -> Json:
    """reactions.add."""
    name = _name(call)
    if not call.workspace.react(_item(call), people.BOT_USER_ID, name):
        raise SlackError("already_reacted")
    return {}


def remove(call: Call) -> Json:
    """reactions.remove."""
    name = _name(call)
    if not call.workspace.react(_item(call), people.BOT_USER_ID, name, remove=True):
        raise SlackError("no_reaction")
    return {}


def get(call: Call) -> Json:
    """reactions.get."""
    message = _item(call)
    shown = views.slack_message(message, hide=views.REACTED_HIDES)
    return {"type": "message", "channel": message.channel, "message": shown}


METHODS: dict[str, Handler] = {"reactions.add": add, "reactions.remove": remove, "reactions.get": get}
