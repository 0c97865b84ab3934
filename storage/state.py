"""`state.db`: the truth that no session holds."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

from sqlite_utils import Database, Migrations

from storage import creation
from storage.engine import Executor, File, Row
from storage.ledger import Ledger, Tx, clean, decoded, dump
from storage.migrations import Schema, add_effects
from storage.spending import Spending, add_spending, keep_open_calls

state_migrations = Migrations("state")

_TABLES = (
    "CREATE TABLE boot (id INTEGER PRIMARY KEY CHECK (id = 1), epoch INTEGER NOT NULL, at REAL)",
    "CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL, updated_at REAL NOT NULL)",
    "CREATE TABLE dirty (session_id TEXT PRIMARY KEY, at REAL NOT NULL)",
    """CREATE TABLE people (
        team TEXT NOT NULL, id TEXT NOT NULL, data TEXT NOT NULL, at REAL NOT NULL,
        PRIMARY KEY (team, id)
    )""",
    """CREATE TABLE new_threads (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        source TEXT NOT NULL,
        key TEXT NOT NULL,
        team TEXT NOT NULL,
        channel TEXT NOT NULL,
        data TEXT NOT NULL,
        accepted_at REAL NOT NULL,
        UNIQUE (source, key)
    )""",
    """CREATE TABLE deliveries (
        source TEXT NOT NULL, id TEXT NOT NULL, at REAL NOT NULL,
        PRIMARY KEY (source, id)
    ) WITHOUT ROWID""",
    "CREATE INDEX deliveries_at ON deliveries(at)",
    """CREATE TABLE api_tokens (
        id TEXT PRIMARY KEY,
        hash TEXT NOT NULL UNIQUE,
        user_id TEXT NOT NULL,
        team TEXT NOT NULL,
        name TEXT NOT NULL,
        created_at REAL NOT NULL,
        expires_at REAL,
        revoked_at REAL,
        last_used_at REAL
    )""",
    """CREATE TABLE classifier_labels (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        session_id TEXT NOT NULL,
        prompt_id INTEGER NOT NULL,
        text TEXT NOT NULL,
        channel TEXT NOT NULL,
        suggested TEXT,
        chosen TEXT NOT NULL,
        by TEXT NOT NULL,
        at REAL NOT NULL,
        UNIQUE (session_id, prompt_id)
    )""",
    """CREATE TABLE tombstones (
        kind TEXT NOT NULL, key TEXT NOT NULL, at REAL NOT NULL,
        PRIMARY KEY (kind, key)
    )""",
)


@state_migrations()
def m001_state(db: Database) -> None:
    for statement in _TABLES:
        db.execute(statement)
    add_effects(db)


@state_migrations()
def m002_spending(db: Database) -> None:
    add_spending(db)


@cache
def state_schema() -> Schema:
    return Schema(state_migrations)


class StateFile(Ledger):
    """Everything written is on the disk before the call returns, save `remember_person`.

    Its effects are the outside writes that belong to no session (see Ledger).
    """

    def __init__(self, name: str, file: File, now: Callable[[], float]) -> None:
        super().__init__(name, file, now)
        self._marked: set[str] = set()  # never more than what is on the disk
        self._holds: Counter[str] = Counter()
        self._latest_mark: dict[str, int] = {}
        self._numbers = count(1)
        self.spending = Spending(file, lambda: self._now())

    @classmethod
    async def open(
        cls,
        path: Path,
        executor: Executor,
        now: Callable[[], float] = time.time,
        plugins: Migrations | None = None,
        schema: Schema | None = None,
    ) -> StateFile:
        """Open or, when there certainly is none, make it. `plugins`: their migrations, a set of their own."""
        known = state_schema() if schema is None else schema

        def prepare(db: Database) -> None:
            known.check(path, db)
            if plugins is not None:
                plugins.apply(db)

        def ensure() -> None:
            if not creation.exists(path):
                known.create(path)

        await executor.run(ensure)
        state = cls("state", await File.open(path, executor, prepare), now)
        state._marked = set(await state.marked())
        return state

    @property
    def file(self) -> File:
        """For plugins' own tables: `write(fn, durable=...)` and `read(fn)`."""
        return self._file

    async def next_epoch(self) -> int:
        """Begin a boot: from now on nothing of an older epoch is accepted; what it had reserved is spent."""

        def begin(tx: Tx) -> int:
            keep_open_calls(tx.db)
            row = tx.one(
                """INSERT INTO boot (id, epoch, at) VALUES (1, 1, ?1)
                   ON CONFLICT (id) DO UPDATE SET epoch = epoch + 1, at = ?1 RETURNING epoch""",
                tx.now,
            )
            assert row is not None
            return int(row["epoch"])

        return await self._write(begin)

    async def get(self, key: str, default: Any = None) -> Any:
        """A setting's value (JSON)."""
        found = await self._read("SELECT value FROM settings WHERE key = ?", key)
        return decoded(found[0], "value")["value"] if found else default

    async def settings(self, prefix: str) -> dict[str, Any]:
        """All settings whose key begins so, with their values."""
        found = await self._read(
            "SELECT key, value FROM settings WHERE substr(key, 1, length(?1)) = ?1", prefix
        )
        return {row["key"]: decoded(row, "value")["value"] for row in found}

    async def set(self, key: str, value: Any) -> None:
        await self._write(
            lambda tx: tx.execute(
                """INSERT INTO settings (key, value, updated_at) VALUES (?1, ?2, ?3)
                   ON CONFLICT (key) DO UPDATE SET value = ?2, updated_at = ?3""",
                *(key, dump(value), tx.now),
            )
        )

    # -- dirty sessions: those that recovery must look into ---------------------------------------

    @asynccontextmanager
    async def marking(self, session_id: str) -> AsyncIterator[None]:
        """Inside, the session is marked on the disk. Accept prompts and plan effects inside this block.

        Costs a commit only for a session that is not marked yet.
        """
        self._holds[session_id] += 1
        self._latest_mark[session_id] = next(self._numbers)
        try:
            if session_id not in self._marked:
                await self._write(
                    lambda tx: tx.execute(
                        "INSERT INTO dirty (session_id, at) VALUES (?, ?) ON CONFLICT DO NOTHING",
                        *(session_id, tx.now),
                    )
                )
                self._marked.add(session_id)
            yield
        finally:
            self._holds[session_id] -= 1
            if not self._holds[session_id]:
                del self._holds[session_id]

    async def clear_if(self, session_id: str, idle: Callable[[], Awaitable[bool]]) -> bool:
        """Take the mark away if the session is idle (`SessionFile.idle`) and nobody marked it meanwhile."""
        mark = self._latest_mark.get(session_id)
        if not await idle() or session_id in self._holds or self._latest_mark.get(session_id) != mark:
            return False
        # From here without a pause until the delete is queued: a later mark is queued behind it.
        self._marked.discard(session_id)
        self._latest_mark.pop(session_id, None)
        await self._write(lambda tx: tx.execute("DELETE FROM dirty WHERE session_id = ?", session_id))
        return True

    async def marked(self) -> list[str]:
        return [row["session_id"] for row in await self._read("SELECT session_id FROM dirty ORDER BY at")]

    # -- things seen and known --------------------------------------------------------------------

    async def first_delivery(self, source: str, delivery_id: str) -> bool:
        """True the first time this delivery is seen, ever after False."""
        return await self._write(
            lambda tx: (
                tx.execute(
                    "INSERT INTO deliveries (source, id, at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                    *(source, delivery_id, tx.now),
                )
                > 0
            )
        )

    async def forget_deliveries(self, before: float) -> int:
        return await self._write(lambda tx: tx.execute("DELETE FROM deliveries WHERE at < ?", before))

    async def remember_person(self, team: str, person_id: str, data: Mapping[str, Any]) -> None:
        """A cache of what Slack said about someone; may be lost, is asked for again."""
        await self._write(
            lambda tx: tx.execute(
                """INSERT INTO people (team, id, data, at) VALUES (?1, ?2, ?3, ?4)
                   ON CONFLICT (team, id) DO UPDATE SET data = ?3, at = ?4""",
                *(team, person_id, dump(data), tx.now),
            ),
            durable=False,
        )

    async def person(self, team: str, person_id: str) -> Row | None:
        """The row with `data`, and `at` so that the caller can tell whether it is too old."""
        found = await self._read("SELECT * FROM people WHERE team = ? AND id = ?", team, person_id)
        return decoded(found[0], "data") if found else None

    # -- what people say the classifier should have said ------------------------------------------

    async def label(
        self,
        session_id: str,
        prompt_id: int,
        text: str,
        channel: str,
        suggested: str | None,
        chosen: str,
        by: str,
    ) -> None:
        """Keep a correction. One a prompt: a later one changes what was chosen, not what was suggested."""
        row = (session_id, prompt_id, clean(text), channel, suggested, chosen, by)
        await self._write(
            lambda tx: tx.execute(
                """INSERT INTO classifier_labels
                     (session_id, prompt_id, text, channel, suggested, chosen, by, at)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
                   ON CONFLICT (session_id, prompt_id) DO UPDATE SET chosen = ?6, by = ?7, at = ?8""",
                *(*row, tx.now),
            )
        )

    async def labels(self) -> list[Row]:
        """Every correction, oldest first."""
        return await self._read(
            """SELECT session_id, prompt_id, text, channel, suggested, chosen, by, at
               FROM classifier_labels ORDER BY id"""
        )

    # -- prompts whose thread does not exist yet --------------------------------------------------

    async def accept_new_thread(
        self, source: str, key: str, team: str, channel: str, data: Mapping[str, Any]
    ) -> Row:
        """Accept a prompt that is to open a thread; one that is known already is returned untouched."""

        def insert(tx: Tx) -> Row:
            tx.execute(
                """INSERT INTO new_threads (source, key, team, channel, data, accepted_at)
                   VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (source, key) DO NOTHING""",
                *(source, key, team, channel, dump(data), tx.now),
            )
            row = tx.one("SELECT * FROM new_threads WHERE source = ? AND key = ?", source, key)
            assert row is not None
            return decoded(row, "data")

        return await self._write(insert)

    async def new_threads(self) -> list[Row]:
        return [decoded(row, "data") for row in await self._read("SELECT * FROM new_threads ORDER BY id")]

    async def new_thread_done(self, row_id: int) -> None:
        """The root post exists and the prompt was accepted in its session's file."""
        await self._write(lambda tx: tx.execute("DELETE FROM new_threads WHERE id = ?", row_id))
