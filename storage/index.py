"""`index.db`: what lists and pages need of all sessions. Derived: it may be thrown away and made again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from sqlite_utils import Database, Migrations

from storage import creation
from storage.engine import Executor, File, Row, rows
from storage.errors import StorageError, explaining_os
from storage.ledger import decoded, dump
from storage.migrations import Schema
from storage.session_store import NoSession, SessionStore

index_migrations = Migrations("index")

_COLUMNS = (
    *("id", "team", "channel", "thread_ts", "title", "repository", "state", "prompts"),
    *("pull_request", "created_at", "updated_at", "last_seq"),
)


@index_migrations()
def m001_index(db: Database) -> None:
    db.execute(
        """CREATE TABLE sessions (
            id TEXT PRIMARY KEY,
            team TEXT NOT NULL,
            channel TEXT NOT NULL,
            thread_ts TEXT NOT NULL,
            title TEXT NOT NULL,
            repository TEXT,
            state TEXT NOT NULL,
            prompts INTEGER NOT NULL,
            pull_request TEXT,
            created_at REAL NOT NULL,
            updated_at REAL NOT NULL,
            last_seq INTEGER NOT NULL
        )"""
    )
    db.execute("CREATE INDEX sessions_updated ON sessions(updated_at DESC, id)")
    db.execute("CREATE INDEX sessions_repository ON sessions(repository, updated_at DESC)")


@cache
def index_schema() -> Schema:
    return Schema(index_migrations)


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """How many sessions were read, and which could not be: their old rows, if any, were left."""

    sessions: int
    failed: tuple[StorageError, ...]


class IndexFile:
    def __init__(self, file: File) -> None:
        self._file = file

    @classmethod
    async def open(cls, path: Path, executor: Executor, plugins: Migrations | None = None) -> IndexFile:
        """Open or make it. On StorageError: `IndexFile.discard(path)`, open again, `rebuild`."""
        known = index_schema()

        def prepare(db: Database) -> None:
            known.check(path, db)
            if plugins is not None:
                plugins.apply(db)

        def ensure() -> None:
            if not creation.exists(path):
                known.create(path)

        await executor.run(ensure)
        return cls(await File.open(path, executor, prepare))

    @staticmethod
    def discard(path: Path) -> None:
        """Throw it away while it is not open; the log first, so that it never outlives its database."""
        with explaining_os(path):
            path.with_name(path.name + "-wal").unlink(missing_ok=True)
            path.unlink(missing_ok=True)

    @property
    def file(self) -> File:
        """For plugins' own tables: `write(fn, durable=...)` and `read(fn)`."""
        return self._file

    async def close(self) -> None:
        await self._file.close()

    async def apply(self, summary: Mapping[str, Any]) -> bool:
        """Take over a session's row (`SessionFile.summary`). False: a later one is here already."""
        values = {name: summary[name] for name in _COLUMNS}
        if values["pull_request"] is not None:
            values["pull_request"] = dump(values["pull_request"])
        return await self._file.write(lambda db: db.execute(_UPSERT, values).rowcount > 0, durable=False)

    async def get(self, session_id: str) -> Row | None:
        found = await self._file.read(
            lambda db: rows(db, "SELECT * FROM sessions WHERE id = ?", (session_id,))
        )
        return decoded(found[0], "pull_request") if found else None

    async def list(
        self, limit: int = 100, offset: int = 0, repository: str | None = None, state: str | None = None
    ) -> list[Row]:
        """The latest first."""
        wanted = {"limit": limit, "offset": offset, "repository": repository, "state": state}
        found = await self._file.read(lambda db: rows(db, _LIST, wanted))
        return [decoded(row, "pull_request") for row in found]

    async def count(self) -> int:
        return int((await self._file.read(lambda db: rows(db, "SELECT count(*) AS n FROM sessions")))[0]["n"])

    async def rebuild(
        self, store: SessionStore, progress: Callable[[int, int], None] | None = None
    ) -> Rebuilt:
        """Read every session file; sessions may go on meanwhile. `progress` gets (done, of)."""
        ids = await store.ids()
        failed = []
        for number, session_id in enumerate(ids, 1):
            try:
                async with store.use(session_id) as session:
                    await self.apply(await session.summary())
            except StorageError as error:
                failed.append(error)
            except NoSession:  # pruned since the listing
                continue
            if progress is not None:
                progress(number, len(ids))
        known = await self._file.read(lambda db: rows(db, "SELECT id FROM sessions"))
        unlisted = {row["id"] for row in known} - set(ids)
        gone = [session_id for session_id in sorted(unlisted) if not store.exists(session_id)]
        await self._file.write(
            lambda db: db.conn.executemany(
                "DELETE FROM sessions WHERE id = ?", [(session_id,) for session_id in gone]
            ),
            durable=True,
        )
        return Rebuilt(len(ids) - len(failed), tuple(failed))


# Only an older row is refused: one of the same age is the same or, in a rebuild, the better one.
_UPSERT = f"""INSERT INTO sessions ({", ".join(_COLUMNS)})
    VALUES ({", ".join(":" + name for name in _COLUMNS)})
    ON CONFLICT (id) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in _COLUMNS[1:])}
    WHERE (excluded.last_seq, excluded.updated_at) >= (sessions.last_seq, sessions.updated_at)"""  # noqa: S608 - constants

_LIST = """SELECT * FROM sessions
    WHERE (:repository IS NULL OR repository = :repository) AND (:state IS NULL OR state = :state)
    ORDER BY updated_at DESC, id LIMIT :limit OFFSET :offset"""
