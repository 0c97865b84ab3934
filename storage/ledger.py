"""One transaction on a file with events and effects, and the telling of those who follow it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from sqlite_utils import Database

from storage.engine import File, Row, one, rows

T = TypeVar("T")
OWED = frozenset({"pending", "sending"})
Listener = Callable[[str, int], None]


@dataclass(frozen=True, slots=True)
class NewEvent:
    """A record to be numbered. `at` in seconds since the epoch, the file's clock when None."""

    type: str
    data: Mapping[str, Any] = field(default_factory=dict)
    prompt_id: int | None = None
    author_id: str | None = None
    at: float | None = None


@dataclass(frozen=True, slots=True)
class NewEffect:
    """An outside write to be done exactly once, named by `(kind, key)`. `intent` says what to do."""

    kind: str
    key: str
    intent: Mapping[str, Any]
    expected: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class NewArtifact:
    kind: str
    name: str
    url: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    prompt_id: int | None = None


def dump(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def clean(text: str) -> str:
    """Text from outside, storable: JSON may carry half of a surrogate pair, which UTF-8 cannot."""
    return text.encode("utf-8", "replace").decode() if _has_surrogate(text) else text


def _has_surrogate(text: str) -> bool:
    return any("\ud800" <= letter <= "\udfff" for letter in text) if not text.isascii() else False


def decoded(row: Row, *columns: str) -> Row:
    """The row with these JSON columns as values; NULL stays None."""
    for column in columns:
        if row[column] is not None:
            row[column] = json.loads(row[column])
    return row


class Tx:
    """What one transaction may do. Made anew each time the transaction is tried."""

    def __init__(self, db: Database, now: float) -> None:
        self.db = db
        self.now = now
        self.last_seq = 0  # of the events written here; 0 when none
        self.told = False  # something was written that others follow

    def one(self, sql: str, *parameters: Any) -> Row | None:
        return one(self.db, sql, parameters)

    def rows(self, sql: str, *parameters: Any) -> list[Row]:
        return rows(self.db, sql, parameters)

    def execute(self, sql: str, *parameters: Any) -> int:
        """Run a statement without result; returns how many rows it changed."""
        return self.db.conn.execute(sql, parameters).rowcount

    def insert(self, sql: str, *parameters: Any) -> int | None:
        """Run an INSERT; returns the new row's id, None when it met one that was there (DO NOTHING)."""
        cursor = self.db.conn.execute(sql, parameters)
        return cursor.lastrowid if cursor.rowcount else None

    def event(self, type: str, data: Mapping[str, Any], prompt_id: int, author_id: str | None = None) -> None:
        self.events([NewEvent(type, data, prompt_id, author_id)])

    def events(self, events: Iterable[NewEvent]) -> list[int]:
        numbers = []
        for event in events:
            at = self.now if event.at is None else event.at
            seq = self.insert(
                "INSERT INTO events (type, at, prompt_id, author_id, data) VALUES (?, ?, ?, ?, ?)",
                event.type,
                at,
                event.prompt_id,
                event.author_id,
                dump(event.data),
            )
            assert seq is not None
            numbers.append(seq)
        self.last_seq = max([self.last_seq, *numbers])
        self.told = self.told or bool(numbers)
        return numbers

    def effects(self, effects: Iterable[NewEffect]) -> None:
        for effect in effects:
            self.effect(effect)

    def effect(self, effect: NewEffect) -> Row:
        """Plan it; when its `(kind, key)` is known already, that row is returned untouched."""
        added = self.execute(
            """INSERT INTO effects (kind, key, intent, expected, state, created_at, updated_at)
               VALUES (?, ?, ?, ?, 'pending', ?, ?) ON CONFLICT (kind, key) DO NOTHING""",
            effect.kind,
            effect.key,
            dump(effect.intent),
            None if effect.expected is None else dump(effect.expected),
            self.now,
            self.now,
        )
        self.told = self.told or added > 0
        found = self.one("SELECT * FROM effects WHERE kind = ? AND key = ?", effect.kind, effect.key)
        assert found is not None
        return effect_row(found)

    def artifacts(self, artifacts: Iterable[NewArtifact]) -> None:
        for artifact in artifacts:
            self.execute(
                """INSERT INTO artifacts (prompt_id, kind, name, url, data, created_at)
                   VALUES (?, ?, ?, ?, ?, ?)""",
                artifact.prompt_id,
                artifact.kind,
                clean(artifact.name),
                artifact.url,
                dump(artifact.data),
                self.now,
            )

    def session(self, fields: Mapping[str, Any] | None) -> None:
        """Set columns of the session's row; unknown ones are a mistake, not a new column."""
        given = dict(fields or {})
        unknown = given.keys() - SESSION_FIELDS
        if unknown:
            raise ValueError(f"the session has no field {', '.join(sorted(unknown))}")
        for name in SESSION_JSON & given.keys():
            given[name] = None if given[name] is None else dump(given[name])
        given["updated_at"] = self.now
        names = ", ".join(f"{name} = ?" for name in given)
        self.execute(f"UPDATE session SET {names}", *given.values())  # noqa: S608 - names were checked above


SESSION_FIELDS = frozenset(
    {"title", "repository", "reason", "agent", "agent_session_id", "branch", "base_branch", "base_commit"}
    | {
        "head_commit",
        "pull_request",
        "branch_number",
        "snapshot",
        "synced_commit",
        "last_bundle_prompt",
        "extra",
    }
)
SESSION_JSON = frozenset({"pull_request", "extra"})


def effect_row(row: Row) -> Row:
    return decoded(row, "intent", "expected", "result")


class Ledger:
    """A file with effects. `listeners` are called on the loop after each commit that added events or effects.

    A listener gets the file's name (a session's id) and the number of its last event; it must be short and
    must not raise. `now` gives seconds since the epoch.
    """

    def __init__(self, name: str, file: File, now: Callable[[], float]) -> None:
        self.name = name
        self.listeners: list[Listener] = []
        self._file = file
        self._now = now
        self._last_seq = 0

    @property
    def path(self) -> Path:
        return self._file.path

    async def close(self) -> None:
        await self._file.close()

    async def _write(self, fn: Callable[[Tx], T], *, durable: bool = True) -> T:
        def run(db: Database) -> tuple[T, Tx]:
            tx = Tx(db, self._now())
            return fn(tx), tx

        result, _ = await self._file.write(run, durable=durable, after=self._committed)
        return result

    def _committed(self, outcome: tuple[object, Tx]) -> None:
        tx = outcome[1]
        self._last_seq = max(self._last_seq, tx.last_seq)
        if tx.told:
            loop = asyncio.get_running_loop()
            for listener in tuple(self.listeners):
                loop.call_soon(listener, self.name, self._last_seq)

    async def _read(self, sql: str, *parameters: Any) -> list[Row]:
        return await self._file.read(lambda db: rows(db, sql, parameters))

    # -- effects: pending -> sending -> done | failed, or back to pending ------------------------

    async def effect_plan(
        self, kind: str, key: str, intent: Mapping[str, Any], expected: Mapping[str, Any] | None = None
    ) -> Row:
        """Durably intend an outside write; the row that exists already is returned untouched."""
        return await self._write(lambda tx: tx.effect(NewEffect(kind, key, intent, expected)))

    async def effect_sending(self, effect_id: int) -> bool:
        """Before the outside call. False: it was not pending, so it must not be sent now."""
        return await self._move(effect_id, "sending", ("pending",), attempts=1)

    async def effect_expect(
        self, effect_id: int, expected: Mapping[str, Any], *, state: str = "sending"
    ) -> None:
        """What the outside will know it by, on the disk before the call that needs it; done ones stay so."""
        await self._write(
            lambda tx: tx.execute(
                """UPDATE effects SET expected = ?, state = ?, updated_at = ?
                   WHERE id = ? AND state IN ('pending', 'sending')""",
                *(dump(expected), state, tx.now, effect_id),
            )
        )

    async def effect_done(self, effect_id: int, result: Mapping[str, Any] | None = None) -> bool:
        """The outside write was seen to exist. False: it was not being sent."""
        return await self._move(effect_id, "done", ("sending",), result=result)

    async def effect_failed(self, effect_id: int, error: str, *, retry: bool) -> bool:
        """It certainly did not happen: `retry` makes it pending again, otherwise it is given up."""
        if retry:
            return await self._move(effect_id, "pending", ("sending",), error=error)
        return await self._move(effect_id, "failed", ("pending", "sending"), error=error)

    async def _move(
        self,
        effect_id: int,
        state: str,
        allowed: Sequence[str],
        *,
        result: Mapping[str, Any] | None = None,
        error: str | None = None,
        attempts: int = 0,
    ) -> bool:
        def move(tx: Tx) -> bool:
            changed = tx.execute(
                """UPDATE effects SET state = ?, result = ?, error = ?, attempt = attempt + ?, updated_at = ?
                   WHERE id = ? AND state IN (SELECT value FROM json_each(?))""",
                state,
                None if result is None else dump(result),
                None if error is None else clean(error),
                attempts,
                tx.now,
                effect_id,
                dump(allowed),
            )
            tx.told = changed > 0
            return changed > 0

        return await self._write(move)

    async def effect(self, effect_id: int) -> Row:
        """As it is now; LookupError when there is no such row."""
        found = await self._read("SELECT * FROM effects WHERE id = ?", effect_id)
        if not found:
            raise LookupError(f"there is no effect {effect_id}")
        return effect_row(found[0])

    async def effects(self, states: Collection[str] | None = None, kind_prefix: str = "") -> list[Row]:
        """In the order they were planned; `states` None means all."""
        owed = "state IN ('pending', 'sending') AND" if states and OWED.issuperset(states) else ""
        found = await self._read(  # said so that the index of the unsent is used
            f"""SELECT * FROM effects
                WHERE {owed} (?1 IS NULL OR state IN (SELECT value FROM json_each(?1)))
                  AND substr(kind, 1, length(?2)) = ?2
                ORDER BY id""",  # noqa: S608 - a constant
            None if states is None else dump(sorted(states)),
            kind_prefix,
        )
        return [effect_row(row) for row in found]
