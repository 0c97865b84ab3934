"""The schemas, as numbered migrations: the one truth that templates, new files and old files come from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from sqlite_utils import Database, Migrations

from storage import creation
from storage.engine import value
from storage.errors import Unusable


@dataclass(frozen=True)
class Schema:
    """A numbered schema. `PRAGMA user_version` says how many of its migrations a file has had."""

    migrations: Migrations
    page_size: int = 4096

    @cached_property
    def version(self) -> int:
        memory = Database(memory=True)
        try:
            return len(self.migrations.pending(memory))
        finally:
            memory.close()

    @cached_property
    def template(self) -> bytes:
        """An empty database of this schema, ready to be written to a file."""
        return creation.image(self.migrate, page_size=self.page_size)

    def migrate(self, db: Database) -> None:
        self.migrations.apply(db)
        db.execute(f"PRAGMA user_version={self.version}")

    def create(self, path: Path, fill: Callable[[Database], None] | None = None) -> None:
        """Make the file with its first rows in it; blocking, for a storage thread."""
        content = self.template if fill is None else creation.image(fill, base=self.template)
        creation.place(path, content)

    def check(self, path: Path, db: Database) -> None:
        """Bring an older file up to date; refuse a newer one, and one that was never ours."""
        found = int(value(db, "PRAGMA user_version"))
        if found == 0:
            raise Unusable(
                "is empty or cut off, not a database of this bot", path, "Restore it from a backup."
            )
        if found > self.version:
            raise Unusable(
                f"was written by a newer version (schema {found}, this one knows {self.version})",
                path,
                "Install that version again, or restore a backup made before it.",
            )
        if found < self.version:
            self.migrate(db)


def add_effects(db: Database) -> None:
    """Outside writes that must not happen twice; in every session file and in `state.db`."""
    db.execute(
        """CREATE TABLE effects (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            kind TEXT NOT NULL,
            key TEXT NOT NULL,
            intent TEXT NOT NULL,
            expected TEXT,
            state TEXT NOT NULL CHECK (state IN ('pending', 'sending', 'done', 'failed')),
            result TEXT,
            error TEXT,
            attempt INTEGER NOT NULL DEFAULT 0,
            created_at REAL NOT NULL,
            updated_at REAL NOT NULL,
            UNIQUE (kind, key)
        )"""
    )
    db.execute("CREATE INDEX effects_unsent ON effects(state) WHERE state IN ('pending', 'sending')")


session_migrations = Migrations("session")

_SESSION_TABLES = (
    """CREATE TABLE session (
        id TEXT PRIMARY KEY,
        team TEXT NOT NULL,
        channel TEXT NOT NULL,
        thread_ts TEXT NOT NULL,
        title TEXT NOT NULL DEFAULT '',
        repository TEXT,
        reason TEXT,
        agent TEXT,
        agent_session_id TEXT,
        branch TEXT,
        base_branch TEXT,
        base_commit TEXT,
        head_commit TEXT,
        pull_request TEXT,
        branch_number INTEGER NOT NULL DEFAULT 1,
        snapshot TEXT,
        synced_commit TEXT,
        last_bundle_prompt INTEGER,
        extra TEXT NOT NULL DEFAULT '{}',
        created_at REAL NOT NULL,
        updated_at REAL NOT NULL
    )""",
    """CREATE TABLE participants (
        author_id TEXT PRIMARY KEY,
        author_name TEXT NOT NULL,
        author TEXT NOT NULL,
        first_prompt INTEGER NOT NULL,
        joined_at REAL NOT NULL
    )""",
    """CREATE TABLE prompts (
        id INTEGER PRIMARY KEY,
        source TEXT NOT NULL,
        key TEXT NOT NULL,
        author_id TEXT NOT NULL,
        author_name TEXT NOT NULL,
        author TEXT NOT NULL,
        text TEXT NOT NULL,
        message_ts TEXT,
        state TEXT NOT NULL
            CHECK (state IN ('queued', 'running', 'waiting', 'done', 'failed', 'stopped', 'removed')),
        attempt INTEGER NOT NULL DEFAULT 0,
        interrupted INTEGER NOT NULL DEFAULT 0,
        epoch INTEGER NOT NULL,
        repository TEXT,
        accepted_at REAL NOT NULL,
        started_at REAL,
        finished_at REAL,
        UNIQUE (source, key)
    )""",
    "CREATE UNIQUE INDEX one_running ON prompts(state) WHERE state = 'running'",
    """CREATE INDEX prompts_unfinished ON prompts(id)
        WHERE state IN ('queued', 'running', 'waiting')""",
    """CREATE TABLE messages (
        id INTEGER PRIMARY KEY,
        prompt_id INTEGER NOT NULL REFERENCES prompts(id),
        role TEXT NOT NULL CHECK (role IN ('user', 'assistant')),
        content TEXT NOT NULL,
        author_id TEXT,
        author_name TEXT,
        created_at REAL NOT NULL
    )""",
    "CREATE INDEX messages_prompt ON messages(prompt_id)",
    """CREATE TABLE turns (
        prompt_id INTEGER NOT NULL REFERENCES prompts(id),
        attempt INTEGER NOT NULL,
        epoch INTEGER NOT NULL,
        stages TEXT NOT NULL DEFAULT '{}',
        started_at REAL NOT NULL,
        finished_at REAL,
        PRIMARY KEY (prompt_id, attempt)
    )""",
    """CREATE TABLE events (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        type TEXT NOT NULL,
        at REAL NOT NULL,
        prompt_id INTEGER,
        author_id TEXT,
        data TEXT NOT NULL
    )""",
    """CREATE TABLE artifacts (
        id INTEGER PRIMARY KEY,
        prompt_id INTEGER,
        kind TEXT NOT NULL,
        name TEXT NOT NULL,
        url TEXT NOT NULL DEFAULT '',
        data TEXT NOT NULL DEFAULT '{}',
        created_at REAL NOT NULL
    )""",
    """CREATE TABLE lease (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        sandbox TEXT NOT NULL,
        image TEXT,
        provider TEXT NOT NULL,
        epoch INTEGER NOT NULL,
        expires_at REAL
    )""",
)


@session_migrations()
def m001_session_file(db: Database) -> None:
    for statement in _SESSION_TABLES:
        db.execute(statement)
    add_effects(db)


@session_migrations()
def m002_files_of_prompts(db: Database) -> None:
    """What their edge says of them: id, name, mimetype, size, url."""
    db.execute("ALTER TABLE prompts ADD COLUMN files TEXT NOT NULL DEFAULT '[]'")


@cache
def session_schema() -> Schema:
    """Page size 1024: an idle session is 20 KB instead of 69, and equal once it has data."""
    return Schema(session_migrations, page_size=1024)
