"""The workspace itself: who is where, what was said, and whom each change is told to."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass

from bot.playground import people
from bot.playground.faults import Faults
from bot.playground.slack import events, richtext, views
from bot.playground.slack.clock import Clock
from bot.playground.slack.deliveries import EVENTS, RETRY_DELAYS, Deliveries
from bot.playground.slack.files import Files
from bot.playground.slack.messages import Json, Message, Messages
from bot.playground.slack.store import Store

# (kind, name, payload): kind is "api" (name: the method), "event" (the event's type, or its subtype where it
# has one), "slash_commands" or "interactive" (the payload's type), as they leave for the bot.
Observer = Callable[[str, str, Json], None]
RESPONSE_URL_SECONDS = 30 * 60
MAX_REQUESTS_KEPT = 20_000


FAULT_KINDS = (
    *("rate_limited", "server_error", "lost_reply", "refused"),
    *("duplicate", "disconnect", "stream_expired"),
)


@dataclass(frozen=True)
class Change:
    """Something a page shows has changed. `reader` is the only person to be told, None means everybody."""

    data: Json
    channel: str | None = None
    reader: str | None = None


class Workspace:
    """All state of the Slack side. Every public method is one transaction and never awaits.

    `observers` see each Web API response and each payload on its way out, as the bot gets it.
    `watchers` are told each change a page would draw.
    """

    def __init__(
        self, store: Store, retry_delays: tuple[float, ...] = RETRY_DELAYS, *, secret_prefix: str = ""
    ) -> None:
        self.store = store
        self.secret_prefix = secret_prefix
        self.messages = Messages(store)
        self.files = Files(store)
        self.clock = Clock(self.messages.last_ts())
        self.deliveries = Deliveries(store, retry_delays)
        self.faults = Faults(FAULT_KINDS)
        self.observers: list[Observer] = []
        self.watchers: list[Callable[[Change], None]] = []
        self.verification_token = store.meta("verification_token", secret_prefix + secrets.token_hex(12))
        self._scopes = frozenset(json.loads(store.meta("scopes", json.dumps(sorted(people.SCOPES)))))
        self._seed()

    @property
    def base_url(self) -> str:
        """Where this workspace answers; "" before it listens."""
        return self.messages.base_url

    @base_url.setter
    def base_url(self, url: str) -> None:
        self.messages.base_url = url

    @property
    def scopes(self) -> frozenset[str]:
        """What the app was granted when it was installed."""
        return self._scopes

    @scopes.setter
    def scopes(self, scopes: frozenset[str]) -> None:
        self._scopes = scopes
        kept = json.dumps(sorted(scopes))
        self.store.run("insert or replace into meta (key, value) values ('scopes', ?)", kept)

    def _seed(self) -> None:
        if self.store.one("select 1 from members limit 1"):
            return
        with self.store.transaction():
            for channel in people.CHANNELS.values():
                for user in channel.members:
                    self.join(channel.id, user)

    # Who is where

    def members(self, channel: str) -> list[str]:
        """The channel's member ids, sorted."""
        rows = self.store.rows("select user from members where channel = ? order by user", channel)
        return [row["user"] for row in rows]

    def is_member(self, channel: str, user: str) -> bool:
        """Whether the user is in the channel."""
        sql = "select 1 from members where channel = ? and user = ?"
        return self.store.one(sql, channel, user) is not None

    def join(self, channel: str, user: str) -> None:
        """Put the user into the channel."""
        self.store.run("insert or ignore into members (channel, user) values (?, ?)", channel, user)

    # What is said

    def post(self, message: Message) -> Message:
        """Keep a new message and tell everybody; returns it."""
        with self.store.transaction():
            self.messages.save(message)
            if message.ephemeral_to is None:
                self.emit(self._posted_event(message), message.channel)
                if self._is_app_mention(message):
                    self.emit(events.app_mentioned(message), message.channel)
                if message.bot_id:
                    self.set_status(message.channel, message.root_ts, text="", loading_messages=[])
        self.show(message)
        return message

    def _posted_event(self, message: Message) -> Json:
        root = self._root_of(message)
        broadcast = root is not None and message.subtype is not None
        replies = self.messages.replies(message.channel, message.root_ts) if broadcast else None
        return events.message_posted(message, root, replies)

    def _is_app_mention(self, message: Message) -> bool:
        mentioned = richtext.mentions(message.text, people.BOT_USER_ID)
        return mentioned and message.bot_id is None and not people.CHANNELS[message.channel].is_im

    def change(self, message: Message, previous: Message | None) -> None:
        """Keep a changed message; `previous` is how it was if that is to be told as an event."""
        with self.store.transaction():
            self.messages.save(message)
            if previous is not None and message.ephemeral_to is None:
                replies = self.messages.replies(message.channel, message.ts)
                event = events.message_changed(message, previous, replies, self.clock.ts())
                self.emit(event, message.channel)
        self.show(message)

    def edit(self, message: Message, editor: str) -> None:
        """Keep a message whose text or blocks `editor` has just changed."""
        previous = self.messages.get(message.channel, message.ts)
        message.edited = {"user": editor, "ts": self.clock.ts()}
        self.change(message, previous)

    def delete(self, message: Message) -> None:
        """Take a message away; its row stays, flagged."""
        previous = deepcopy(message)
        message.deleted = True
        with self.store.transaction():
            self.messages.save(message)
            if message.ephemeral_to is None:
                replies = self.messages.replies(message.channel, message.ts)
                event = events.message_deleted(previous, replies, self.clock.ts())
                self.emit(event, message.channel)
        removed = {"type": "removed", "channel": message.channel, "ts": message.ts}
        self.tell(Change(removed, message.channel, message.ephemeral_to))
        self._show_root(message)

    def react(self, message: Message, user: str, name: str, *, remove: bool = False) -> bool:
        """Add or remove a reaction; False where there was nothing to do."""
        users = message.reactions.get(name, [])
        if (user in users) is not remove:
            return False
        left = [other for other in users if other != user] if remove else [*users, user]
        message.reactions[name] = left
        if not left:
            del message.reactions[name]
        kind = "reaction_removed" if remove else "reaction_added"
        with self.store.transaction():
            self.messages.save(message)
            self.emit(events.reaction(kind, message, user, name, self.clock.ts()), message.channel)
        self.show(message)
        return True

    def parent_of(self, message: Message) -> str | None:
        """The author of the root a reply is under; None for roots."""
        root = self._root_of(message)
        return root.user if root else None

    def _root_of(self, message: Message) -> Message | None:
        return self.messages.get(message.channel, message.thread_ts) if message.thread_ts else None

    # The state of a thread

    def status(self, channel: str, thread_ts: str) -> Json | None:
        """What the bot shows on the thread: session `status`, `title`, and `text` with `loading_messages`.

        None where there is no agent session and no status text.
        """
        row = self.store.one(
            "select body from statuses where channel = ? and thread_ts = ?", channel, thread_ts
        )
        return json.loads(row["body"]) if row else None

    def statuses(self, channel: str) -> dict[str, Json]:
        """All of a channel's statuses by thread."""
        rows = self.store.rows("select thread_ts, body from statuses where channel = ?", channel)
        return {row["thread_ts"]: json.loads(row["body"]) for row in rows}

    def processing(self) -> list[tuple[str, str]]:
        """The threads whose agent session is at work: (channel, thread_ts)."""
        rows = self.store.rows("select channel, thread_ts from statuses where processing = 1")
        return [(row["channel"], row["thread_ts"]) for row in rows]

    def set_status(self, channel: str, thread_ts: str, **changes: object) -> Json | None:
        """Change some of a thread's status; returns the new one. Nothing happens where nothing changes."""
        empty: Json = {"status": None, "title": None, "initiator": None, "text": "", "loading_messages": []}
        before = self.status(channel, thread_ts)
        after = (before or empty) | changes
        if after == (before or empty):
            return before
        kept = after if after["status"] or after["text"] else None
        with self.store.transaction():
            self._save_status(channel, thread_ts, kept)
        shown = {"type": "status", "channel": channel, "thread_ts": thread_ts, **(kept or empty)}
        self.tell(Change(shown, channel))
        return kept

    def _save_status(self, channel: str, thread_ts: str, status: Json | None) -> None:
        self.store.run("delete from statuses where channel = ? and thread_ts = ?", channel, thread_ts)
        if status is not None:
            self.store.run(
                "insert into statuses (channel, thread_ts, processing, body) values (?, ?, ?, ?)",
                channel,
                thread_ts,
                int(status["status"] == "processing"),
                json.dumps(status),
            )

    # Who is told

    def emit(self, event: Json, channel: str) -> None:
        """Send an event to the bot, if it is in the channel."""
        if not self.is_member(channel, people.BOT_USER_ID):
            return
        name = str(event.get("subtype") or event["type"])
        payload = events.wrapped(event, self.verification_token)
        self.deliver(EVENTS, name, payload)

    def deliver(self, kind: str, name: str, payload: Json) -> None:
        """Send any payload to the bot, seen by the observers; twice where a duplicate was asked for."""
        self.observe("event" if kind == EVENTS else kind, name, payload)
        self.deliveries.add(kind, payload)
        if self.faults.take([name, kind], ("duplicate",)):
            self.deliveries.add(kind, payload)

    def observe(self, kind: str, name: str, payload: Json) -> None:
        """Show a payload to the observers."""
        for observer in self.observers:
            observer(kind, name, payload)

    def show(self, message: Message) -> None:
        """Tell the pages about a message, and about its root, whose reply count may have changed."""
        replies = self.messages.replies(message.channel, message.ts)
        data = {"type": "message", "message": views.page_message(message, replies)}
        self.tell(Change(data, message.channel, message.ephemeral_to))
        self._show_root(message)

    def _show_root(self, message: Message) -> None:
        root = self._root_of(message)
        if root and not root.deleted and message.ephemeral_to is None:
            replies = self.messages.replies(root.channel, root.ts)
            data = {"type": "message", "message": views.page_message(root, replies)}
            self.tell(Change(data, root.channel, root.ephemeral_to))

    def tell(self, change: Change) -> None:
        """Tell the pages about a change."""
        for watcher in list(self.watchers):
            watcher(change)

    # What is remembered for others

    def response_url(self, channel: str, user: str, thread_ts: str | None, message_ts: str | None) -> str:
        """A new address for answering an interaction."""
        secret = self.secret_prefix + secrets.token_urlsafe(24)
        self.store.run(
            "insert into response_urls (secret, channel, user, thread_ts, message_ts, expires_at)"
            " values (?, ?, ?, ?, ?, ?)",
            secret,
            channel,
            user,
            thread_ts,
            message_ts,
            time.time() + RESPONSE_URL_SECONDS,
        )
        return f"{self.base_url}/response/{secret}"

    def log_request(self, entry: Json) -> None:
        """Remember a Web API call for `/control/requests`."""
        cursor = self.store.run("insert into requests (body) values (?)", json.dumps(entry))
        self.store.run("delete from requests where id <= ?", (cursor.lastrowid or 0) - MAX_REQUESTS_KEPT)

    def requests(self) -> list[Json]:
        """The calls received, oldest first, at most the last 20 000."""
        return [json.loads(row["body"]) for row in self.store.rows("select body from requests order by id")]
