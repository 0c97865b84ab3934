"""Messages as the workspace keeps them, and the one place that reads and writes them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any
from urllib.parse import urlsplit

from bot.playground.slack.store import Store

Json = dict[str, Any]


@dataclass
class Stream:
    """What a streamed message has received so far.

    `state` is open, stopped or expired; `mode` is what it was first fed with, markdown_text or chunks.
    """

    state: str = "open"
    mode: str | None = None
    markdown: str = ""
    plan_title: str | None = None
    tasks: list[Json] = field(default_factory=list)
    display_mode: str = "timeline"


@dataclass
class Message:
    """One message. `thread_ts` is its root's `ts` on replies only; `ephemeral_to` is its only reader."""

    channel: str
    ts: str
    user: str
    text: str
    thread_ts: str | None = None
    ephemeral_to: str | None = None
    deleted: bool = False
    blocks: list[Json] | None = None
    attachments: list[Json] | None = None
    metadata: Json | None = None
    client_msg_id: str | None = None
    bot_id: str | None = None
    subtype: str | None = None
    edited: Json | None = None
    reactions: dict[str, list[str]] = field(default_factory=dict)
    stream: Stream | None = None
    files: list[Json] | None = None

    @property
    def root_ts(self) -> str:
        """The `ts` of the thread this message is in, or would start."""
        return self.thread_ts if self.thread_ts is not None else self.ts

    @property
    def streaming(self) -> bool:
        """Whether a stream is still open on this message."""
        return self.stream is not None and self.stream.state == "open"


@dataclass(frozen=True)
class Replies:
    """What a root message tells about its thread."""

    count: int
    users: list[str]
    latest: str


_COLUMNS = ("channel", "ts", "thread_ts", "user", "ephemeral_to", "deleted")
_BODY = tuple(f.name for f in fields(Message) if f.name not in _COLUMNS)
_ADDRESSES = ("url_private", "url_private_download", "permalink")
_SEEN = "deleted = 0 and ephemeral_to is null"


class Messages:
    """The message table. All lists are oldest first unless said otherwise."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.base_url = ""  # files stand at the address that the workspace has now

    def save(self, message: Message) -> None:
        """Insert or replace."""
        body = json.dumps({name: _plain(getattr(message, name)) for name in _BODY})
        self._store.run(
            "insert or replace into messages"
            " (channel, ts, thread_ts, user, ephemeral_to, deleted, streaming, body)"
            " values (?, ?, ?, ?, ?, ?, ?, ?)",
            message.channel,
            message.ts,
            message.thread_ts,
            message.user,
            message.ephemeral_to,
            int(message.deleted),
            int(message.streaming and not message.deleted),
            body,
        )

    def get(self, channel: str, ts: str) -> Message | None:
        """The message, deleted or ephemeral ones included."""
        row = self._store.one("select * from messages where channel = ? and ts = ?", channel, ts)
        return self._message(row) if row else None

    def visible(self, channel: str, ts: str) -> Message | None:
        """The message if everybody in the channel can see it."""
        row = self._store.one(
            f"select * from messages where channel = ? and ts = ? and {_SEEN}",  # noqa: S608  # a constant
            channel,
            ts,
        )
        return self._message(row) if row else None

    def last_ts(self) -> str | None:
        """The highest timestamp in use."""
        row = self._store.one("select max(ts) as ts from messages")
        return row["ts"] if row else None

    def roots(self, channel: str) -> list[Message]:
        """Everything at the channel's top level: roots and broadcast replies, deleted and ephemeral too."""
        broadcast = "json_extract(body, '$.subtype') = 'thread_broadcast'"
        return self._list(f"channel = ? and (thread_ts is null or {broadcast})", channel)

    def thread(self, channel: str, ts: str) -> list[Message]:
        """A root and its replies, deleted and ephemeral ones included."""
        return self._list("channel = ? and (ts = ? or thread_ts = ?)", channel, ts, ts)

    def streaming(self) -> list[Message]:
        """All messages with an open stream."""
        return self._list("streaming = 1")

    def replies(self, channel: str, ts: str) -> Replies | None:
        """What the thread under `ts` amounts to; None without replies."""
        rows = self._store.rows(
            "select user, count(*) as count, max(ts) as latest from messages"  # noqa: S608  # a constant
            f" where channel = ? and thread_ts = ? and {_SEEN} group by user order by min(ts)",
            channel,
            ts,
        )
        if not rows:
            return None
        latest = max(row["latest"] for row in rows)
        return Replies(sum(row["count"] for row in rows), [row["user"] for row in rows], latest)

    def _list(self, where: str, *values: Any) -> list[Message]:
        sql = f"select * from messages where {where} order by ts"  # noqa: S608  # `where` is a constant above
        return [self._message(row) for row in self._store.rows(sql, *values)]

    def _message(self, row: sqlite3.Row) -> Message:
        body = json.loads(row["body"])
        stream = body.pop("stream")
        message = Message(
            channel=row["channel"],
            ts=row["ts"],
            thread_ts=row["thread_ts"],
            user=row["user"],
            ephemeral_to=row["ephemeral_to"],
            deleted=bool(row["deleted"]),
            stream=Stream(**stream) if stream else None,
            **body,
        )
        for file in message.files or ():
            file |= {name: self._here(file[name]) for name in _ADDRESSES}
        return message

    def _here(self, address: str) -> str:
        return self.base_url + urlsplit(address).path


def _plain(value: Any) -> Any:
    return asdict(value) if isinstance(value, Stream) else value


def elements(blocks: Sequence[Json] | None) -> list[tuple[Json, Json]]:
    """Every interactive element of the blocks with the block it is in: (block, element)."""
    found: list[tuple[Json, Json]] = []
    for block in blocks or ():
        candidates = [*_list_of(block.get("elements")), block.get("accessory"), block.get("element")]
        found += [(block, item) for item in candidates if isinstance(item, dict) and "action_id" in item]
    return found


def _list_of(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
