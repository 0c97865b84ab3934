"""What calls to models cost, in `state.db`: reserved before a call, settled after it, never in between.

Money is a whole number of nano-dollars, so that sums are exact. A day is one of UTC, counted from 1970.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from sqlite_utils import Database

from storage.engine import File, Row, one, rows

T = TypeVar("T")
MOST_NANOS = 10**16  # of one call: ten million dollars. Sums of as many calls as there can be stay 64 bits.

# `spent` is what a call counts for: what was reserved until something better is known.
TABLES = (
    """CREATE TABLE model_calls (
        id INTEGER PRIMARY KEY,
        session TEXT NOT NULL,
        turn INTEGER NOT NULL,
        person TEXT NOT NULL,
        repository TEXT,
        day INTEGER NOT NULL,
        model TEXT NOT NULL,
        purpose TEXT NOT NULL,
        epoch INTEGER NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('reserved', 'settled', 'kept', 'released')),
        reserved INTEGER NOT NULL CHECK (reserved >= 0),
        spent INTEGER NOT NULL CHECK (spent >= 0),
        input_tokens INTEGER NOT NULL DEFAULT 0,
        cached_input_tokens INTEGER NOT NULL DEFAULT 0,
        output_tokens INTEGER NOT NULL DEFAULT 0,
        at REAL NOT NULL
    )""",
    # Each sum is read from its index alone.
    "CREATE INDEX model_calls_session ON model_calls(session, turn, spent)",
    "CREATE INDEX model_calls_person ON model_calls(day, person, spent)",
    "CREATE INDEX model_calls_repository ON model_calls(day, repository, spent)",
    "CREATE INDEX model_calls_day ON model_calls(day, spent)",
    "CREATE INDEX model_calls_open ON model_calls(id) WHERE state = 'reserved'",
)

# Scope -> how the calls that count in it are found; the narrowest first.
SCOPES: Mapping[str, str] = {
    "turn": "session = :session AND turn = :turn",
    "session": "session = :session",
    "person_day": "day = :day AND person = :person",
    "repository_day": "day = :day AND repository = :repository",
    "day": "day = :day",
}
# Said by name: without statistics SQLite would sum up a day through any index that begins with it.
INDEXES: Mapping[str, str] = {
    "turn": "model_calls_session",
    "session": "model_calls_session",
    "person_day": "model_calls_person",
    "repository_day": "model_calls_repository",
    "day": "model_calls_day",
}


@dataclass(frozen=True, slots=True)
class Account:
    """Whom a call is for. A call without a repository counts in no repository's day."""

    session: str
    turn: int
    person: str
    repository: str | None


@dataclass(frozen=True, slots=True)
class Reserved:
    """`call` is None when the scope `over` had no room. `spent` is per scope, without this call."""

    call: int | None
    spent: Mapping[str, int]
    over: str | None = None


@dataclass(frozen=True, slots=True)
class TurnTotal:
    """All calls of a turn, also those that nothing told the usage of; released ones are none."""

    nanos: int
    calls: int
    input_tokens: int
    output_tokens: int


def add_spending(db: Database) -> None:
    for statement in TABLES:
        db.execute(statement)


def keep_open_calls(db: Database) -> None:
    """At a new boot: whoever would have settled these is gone, and what they cost nobody knows."""
    db.execute("UPDATE model_calls SET state = 'kept' WHERE state = 'reserved'")


class Spending:
    """Everything written is on the disk before the call returns, and each call is one transaction."""

    def __init__(self, file: File, now: Callable[[], float]) -> None:
        self._file, self._now = file, now

    async def reserve(
        self, account: Account, model: str, purpose: str, nanos: int, limits: Mapping[str, int]
    ) -> Reserved:
        """Reserve it if every limit (one per scope) has room for it; a call for nothing always fits.

        Looking and reserving is one transaction of the only writer: no other call comes between.
        """

        def reserve(db: Database) -> Reserved:
            names = _names(account, self._now())
            spent = _sums(db, names)
            over = next((scope for scope in SCOPES if nanos and spent[scope] + nanos > limits[scope]), None)
            if over is not None:
                return Reserved(None, spent, over)
            row = names | {"model": model, "purpose": purpose, "nanos": nanos, "at": self._now()}
            found = one(db, _INSERT, row)
            assert found is not None
            return Reserved(found["id"], spent)

        return await self._write(reserve)

    async def settle(
        self, call: int, nanos: int, input_tokens: int, cached_input_tokens: int, output_tokens: int
    ) -> Mapping[str, int] | None:
        """It cost so much. What is spent per scope now; None when it was not reserved any more."""
        changes = {
            "state": "settled",
            "spent": min(nanos, MOST_NANOS),
            "input_tokens": input_tokens,
            "cached_input_tokens": cached_input_tokens,
            "output_tokens": output_tokens,
        }
        return await self._end(call, changes)

    async def keep(self, call: int) -> Mapping[str, int] | None:
        """Nobody knows what it cost, so what was reserved is spent. As `settle` otherwise."""
        return await self._end(call, {"state": "kept"})

    async def release(self, call: int) -> Mapping[str, int] | None:
        """It certainly cost nothing. As `settle` otherwise."""
        return await self._end(call, {"state": "released", "spent": 0})

    async def spent(self, account: Account) -> Mapping[str, int]:
        """Nano-dollars per scope, what is reserved included; today's where a day is meant."""
        return await self._file.read(lambda db: _sums(db, _names(account, self._now())))

    async def turn(self, session: str, turn: int) -> TurnTotal:
        found = await self._file.read(lambda db: one(db, _TURN, (session, turn)))
        assert found is not None
        return TurnTotal(**found)

    async def calls(self, session: str, turn: int) -> list[Row]:
        """A turn's calls, the oldest first."""
        query = "SELECT * FROM model_calls WHERE session = ? AND turn = ? ORDER BY id"
        return await self._file.read(lambda db: rows(db, query, (session, turn)))

    async def _end(self, call: int, changes: Mapping[str, object]) -> Mapping[str, int] | None:
        def end(db: Database) -> Mapping[str, int] | None:
            sets = ", ".join(f"{name} = :{name}" for name in changes)
            query = f"UPDATE model_calls SET {sets} WHERE id = :id AND state = 'reserved' RETURNING *"  # noqa: S608 - constants
            row = one(db, query, {"id": call, **changes})
            return None if row is None else _sums(db, row)

        return await self._write(end)

    async def _write(self, fn: Callable[[Database], T]) -> T:
        return await self._file.write(fn, durable=True)


_INSERT = """INSERT INTO model_calls
    (session, turn, person, repository, day, model, purpose, epoch, state, reserved, spent, at)
    VALUES (:session, :turn, :person, :repository, :day, :model, :purpose,
            coalesce((SELECT epoch FROM boot), 0), 'reserved', :nanos, :nanos, :at) RETURNING id"""

_TURN = """SELECT coalesce(sum(spent), 0) AS nanos, count(*) AS calls,
    coalesce(sum(input_tokens), 0) AS input_tokens, coalesce(sum(output_tokens), 0) AS output_tokens
    FROM model_calls WHERE session = ? AND turn = ? AND state != 'released'"""


def sum_query(scope: str) -> str:
    found = f"FROM model_calls INDEXED BY {INDEXES[scope]} WHERE {SCOPES[scope]}"
    return f"SELECT coalesce(sum(spent), 0) AS nanos {found}"


def _names(account: Account, now: float) -> Row:
    return {
        "session": account.session,
        "turn": account.turn,
        "person": account.person,
        "repository": account.repository,
        "day": int(now // 86400),
    }


def _sums(db: Database, names: Row) -> dict[str, int]:
    found = {scope: one(db, sum_query(scope), names) for scope in SCOPES}
    return {scope: row["nanos"] for scope, row in found.items() if row is not None}
