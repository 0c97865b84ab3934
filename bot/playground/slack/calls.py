"""What the Web API's methods share: a call, and looking up what it names."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from bot.playground import people
from bot.playground.slack.arguments import Arguments
from bot.playground.slack.clock import is_ts
from bot.playground.slack.errors import SlackError
from bot.playground.slack.messages import Json, Message
from bot.playground.slack.workspace import Workspace

Item = TypeVar("Item")


@dataclass(frozen=True)
class Call:
    """One call by the bot: its arguments, in this workspace. `connect` makes a Socket Mode address."""

    workspace: Workspace
    args: Arguments
    connect: Callable[[], str]

    def needs(self, scope: str) -> None:
        """Refuse where the app was not granted this."""
        granted = self.workspace.scopes
        if scope not in granted:
            raise SlackError("missing_scope", needed=scope, provided=",".join(sorted(granted)))

    def channel(self, name: str = "channel") -> people.Channel:
        """The channel an argument names, by id, or by the id of the user whose DM it is."""
        value = self.args.text(name) or ""
        found = people.CHANNELS.get(value) or _named_channel(value) or _dm_with(value)
        if found is None:
            raise SlackError("channel_not_found")
        return found

    def joined_channel(self, name: str = "channel") -> people.Channel:
        """Like `channel`, and the bot must be in it."""
        channel = self.channel(name)
        if not self.workspace.is_member(channel.id, people.BOT_USER_ID):
            raise SlackError("not_in_channel")
        return channel

    def message(self, channel: people.Channel, name: str = "ts") -> Message:
        """The message that an argument names by its timestamp."""
        ts = self.args.need(name)
        if not is_ts(ts):
            raise SlackError("message_not_found")
        message = self.workspace.messages.visible(channel.id, ts)
        if message is None:
            raise SlackError("message_not_found")
        return message

    def own_message(self, channel: people.Channel, error: str) -> Message:
        """Like `message`, and the bot must have written it, else `error`."""
        message = self.message(channel)
        if message.bot_id != people.BOT_ID:
            raise SlackError(error)
        return message

    def thread(self, channel: people.Channel, error: str = "thread_not_found") -> str | None:
        """The root of the thread that `thread_ts` names, be it by one of its replies; None without one."""
        ts = self.args.text("thread_ts")
        if not ts:
            return None
        message = self.workspace.messages.get(channel.id, ts)
        if message is None or message.ephemeral_to is not None:
            raise SlackError(error)
        return message.root_ts

    def metadata(self) -> Json | None:
        """The metadata argument, checked for its two fields."""
        value = self.args.data("metadata", "invalid_metadata_format")
        if value is None:
            return None
        if not isinstance(value, dict) or not isinstance(value.get("event_type"), str):
            raise SlackError("invalid_metadata_format")
        payload = value.get("event_payload", {})
        if not isinstance(payload, dict):
            raise SlackError("invalid_metadata_schema")
        return {"event_type": value["event_type"], "event_payload": payload}


Handler = Callable[[Call], Json]


def _named_channel(value: str) -> people.Channel | None:
    name = value.removeprefix("#")
    return next((c for c in people.CHANNELS.values() if c.name and c.name == name), None)


def _dm_with(value: str) -> people.Channel | None:
    return next((c for c in people.CHANNELS.values() if value and c.user == value), None)


def page_of(items: list[Item], args: Arguments, default: int = 100) -> tuple[list[Item], str]:
    """One page of a list as `limit` and `cursor` ask, and the next cursor ("" at the end)."""
    start = _start(args.text("cursor"))
    end = start + args.number("limit", default, 1000)
    return items[start:end], cursor(end) if end < len(items) else ""


def cursor(offset: int) -> str:
    """An opaque cursor for a position."""
    return base64.b64encode(f"offset:{offset}".encode()).decode()


def _start(value: str | None) -> int:
    if not value:
        return 0
    try:
        word, _, offset = base64.b64decode(value, validate=True).decode().partition(":")
        if word == "offset" and offset.isdigit():
            return int(offset)
    except ValueError:
        pass  # not base64, or not text inside; refused below
    raise SlackError("invalid_cursor")
