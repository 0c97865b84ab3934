"""The Slack side's one SQLite file: what must survive `kill -9`."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SCHEMA = """
create table if not exists meta (key text primary key, value text not null) strict;
create table if not exists members (
    channel text not null, user text not null, primary key (channel, user)
) strict, without rowid;
create table if not exists messages (
    channel text not null, ts text not null, thread_ts text, user text not null, ephemeral_to text,
    deleted integer not null default 0, streaming integer not null default 0, body text not null,
    primary key (channel, ts)
) strict;
create index if not exists messages_by_thread on messages (channel, thread_ts, ts);
create index if not exists messages_streaming on messages (streaming) where streaming = 1;
create table if not exists statuses (
    channel text not null, thread_ts text not null, processing integer not null, body text not null,
    primary key (channel, thread_ts)
) strict, without rowid;
create table if not exists envelopes (
    id integer primary key autoincrement, type text not null, payload text not null,
    attempts integer not null default 0
) strict;
create table if not exists response_urls (
    secret text primary key, channel text not null, user text not null, thread_ts text,
    message_ts text, uses integer not null default 0, expires_at real not null
) strict;
create table if not exists files (
    id text primary key, body text not null, content blob, ticket text unique
) strict;
create table if not exists requests (id integer primary key autoincrement, body text not null) strict;
"""


class Store:
    """One connection to one file. Not thread-safe: it belongs to the event loop that made it."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.row_factory = sqlite3.Row
        self._connection.execute("pragma journal_mode = wal")
        # NORMAL loses nothing on kill -9, only on power loss, and a playground may lose that.
        self._connection.execute("pragma synchronous = normal")
        self._connection.executescript(SCHEMA)
        self._depth = 0

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; an inner one joins the outer. Never await inside."""
        if self._depth == 0:
            self._connection.execute("begin immediate")
        self._depth += 1
        try:
            yield
        except BaseException:
            self._depth -= 1
            if self._depth == 0:
                self._connection.execute("rollback")
            raise
        self._depth -= 1
        if self._depth == 0:
            self._connection.execute("commit")

    def run(self, sql: str, *values: Any) -> sqlite3.Cursor:
        """Execute one statement."""
        return self._connection.execute(sql, values)

    def rows(self, sql: str, *values: Any) -> list[sqlite3.Row]:
        """All rows of a query."""
        return self._connection.execute(sql, values).fetchall()

    def one(self, sql: str, *values: Any) -> sqlite3.Row | None:
        """The first row of a query, or None."""
        row: sqlite3.Row | None = self._connection.execute(sql, values).fetchone()
        return row

    def meta(self, key: str, default: str) -> str:
        """The value kept under `key`; `default` is kept and returned the first time."""
        self.run("insert or ignore into meta (key, value) values (?, ?)", key, default)
        row = self.one("select value from meta where key = ?", key)
        assert row is not None
        return str(row["value"])
