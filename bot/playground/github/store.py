"""What git does not know: pull requests, reviews, comments, who may do what. One SQLite file."""

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bot.playground.github.accounts import Permission

_SCHEMA = """
CREATE TABLE IF NOT EXISTS repositories (
  id INTEGER PRIMARY KEY, full_name TEXT NOT NULL UNIQUE, description TEXT NOT NULL, language TEXT NOT NULL,
  created_at TEXT NOT NULL, pushed_at TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS access (
  repository TEXT NOT NULL, login TEXT NOT NULL, permission INTEGER NOT NULL,
  PRIMARY KEY (repository, login)) STRICT;
CREATE TABLE IF NOT EXISTS pulls (
  id INTEGER PRIMARY KEY, repository TEXT NOT NULL, number INTEGER NOT NULL, author TEXT NOT NULL,
  title TEXT NOT NULL, body TEXT, head TEXT NOT NULL, base TEXT NOT NULL,
  head_sha TEXT NOT NULL, base_sha TEXT NOT NULL, state TEXT NOT NULL DEFAULT 'open', draft INTEGER NOT NULL,
  created_at TEXT NOT NULL, updated_at TEXT NOT NULL, closed_at TEXT, closed_by TEXT,
  merged_at TEXT, merged_by TEXT, merge_sha TEXT,
  labels TEXT NOT NULL DEFAULT '[]', reviewers TEXT NOT NULL DEFAULT '[]',
  UNIQUE (repository, number)) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS one_open_pull ON pulls (repository, head, base) WHERE state = 'open';
CREATE TABLE IF NOT EXISTS reviews (
  id INTEGER PRIMARY KEY, pull INTEGER NOT NULL REFERENCES pulls (id), author TEXT NOT NULL,
  state TEXT NOT NULL, body TEXT NOT NULL, sha TEXT NOT NULL, submitted_at TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS comments (
  id INTEGER PRIMARY KEY, pull INTEGER NOT NULL REFERENCES pulls (id), author TEXT NOT NULL,
  body TEXT NOT NULL, created_at TEXT NOT NULL, updated_at TEXT NOT NULL) STRICT;
"""
_JSON_COLUMNS = {"labels", "reviewers"}


@dataclass(frozen=True, slots=True)
class RepositoryRow:
    id: int
    full_name: str
    description: str
    language: str
    created_at: str
    pushed_at: str


@dataclass(frozen=True, slots=True)
class Pull:
    """A pull request. `author`, `closed_by`, `merged_by` are logins; `head` and `base` are branches."""

    id: int
    repository: str
    number: int
    author: str
    title: str
    body: str | None
    head: str
    base: str
    head_sha: str
    base_sha: str
    state: str
    draft: int
    created_at: str
    updated_at: str
    closed_at: str | None
    closed_by: str | None
    merged_at: str | None
    merged_by: str | None
    merge_sha: str | None
    labels: list[str]
    reviewers: list[str]

    @property
    def merged(self) -> bool:
        return self.merged_at is not None

    @property
    def standing(self) -> str:
        """open, closed or merged: the one word people want."""
        return "merged" if self.merged else self.state


@dataclass(frozen=True, slots=True)
class Review:
    """`state` is APPROVED, CHANGES_REQUESTED, COMMENTED or PENDING; `sha` the head it was given for."""

    id: int
    pull: int
    author: str
    state: str
    body: str
    sha: str
    submitted_at: str


@dataclass(frozen=True, slots=True)
class Comment:
    id: int
    pull: int
    author: str
    body: str
    created_at: str
    updated_at: str


def now() -> str:
    """The present second, as GitHub writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Store:
    """The SQLite file. Every method is one statement, so each is whole or absent after a crash."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.execute("PRAGMA foreign_keys = ON")
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        self._db.close()

    # -- repositories and access

    def add_repository(
        self, full_name: str, description: str, language: str, created_at: str, pushed_at: str
    ) -> None:
        """Remember a repository; one that is known stays as it is."""
        self._db.execute(
            "INSERT INTO repositories (full_name, description, language, created_at, pushed_at)"
            " VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (full_name, description, language, created_at, pushed_at),
        )

    def repositories(self) -> list[RepositoryRow]:
        return [RepositoryRow(**row) for row in self._rows("SELECT * FROM repositories ORDER BY id")]

    def touch_repository(self, full_name: str) -> None:
        self._db.execute("UPDATE repositories SET pushed_at = ? WHERE full_name = ?", (now(), full_name))

    def grant(self, repository: str, login: str, permission: Permission) -> None:
        self._db.execute(
            "INSERT INTO access VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET permission = excluded.permission",
            (repository, login.lower(), int(permission)),
        )

    def grant_if_unset(self, repository: str, login: str, permission: Permission) -> None:
        self._db.execute(
            "INSERT INTO access VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
            (repository, login.lower(), int(permission)),
        )

    def permission(self, repository: str, login: str) -> Permission:
        rows = self._rows(
            "SELECT permission FROM access WHERE repository = ? AND login = ?", repository, login.lower()
        )
        return Permission(rows[0]["permission"]) if rows else Permission.NONE

    # -- pull requests

    def add_pull(self, repository: str, **values: str | int | None) -> Pull:
        """A new open pull request under the repository's next number.

        Raises sqlite3.IntegrityError when one is open for the same head and base.
        """
        at = now()
        columns = {**values, "created_at": at, "updated_at": at}
        row = self._rows(
            f"INSERT INTO pulls (repository, number, {', '.join(columns)})"  # noqa: S608 - our own column names
            f" SELECT ?, COALESCE(MAX(number), 0) + 1{', ?' * len(columns)} FROM pulls WHERE repository = ?"
            " RETURNING *",
            repository,
            *columns.values(),
            repository,
        )[0]
        return _pull(row)

    def pulls(self, repository: str, state: str = "all") -> list[Pull]:
        """Newest first. `state` is open, closed (merged ones too) or all."""
        rows = self._rows(
            "SELECT * FROM pulls WHERE repository = ? AND (? = 'all' OR state = ?) ORDER BY number DESC",
            repository,
            state,
            state,
        )
        return [_pull(row) for row in rows]

    def pull(self, repository: str, number: int) -> Pull | None:
        rows = self._rows("SELECT * FROM pulls WHERE repository = ? AND number = ?", repository, number)
        return _pull(rows[0]) if rows else None

    def update_pull(self, pull: Pull, **values: object) -> Pull:
        """Change columns and return the pull request as it is now. A merged one never opens again."""
        columns = {"updated_at": now(), **values}
        encoded = [json.dumps(v) if k in _JSON_COLUMNS else v for k, v in columns.items()]
        self._db.execute(
            f"UPDATE pulls SET {', '.join(f'{name} = ?' for name in columns)}"  # noqa: S608 - our own names
            " WHERE id = ? AND NOT (merged_at IS NOT NULL AND ? = 'open')",
            (*encoded, pull.id, columns.get("state", "")),
        )
        return _pull(self._rows("SELECT * FROM pulls WHERE id = ?", pull.id)[0])

    # -- reviews and comments

    def add_review(self, pull: Pull, author: str, state: str, body: str) -> Review:
        row = self._rows(
            "INSERT INTO reviews (pull, author, state, body, sha, submitted_at)"
            " VALUES (?, ?, ?, ?, ?, ?) RETURNING *",
            *(pull.id, author, state, body, pull.head_sha, now()),
        )[0]
        self.update_pull(pull)
        return Review(**row)

    def reviews(self, pull: Pull) -> list[Review]:
        return [
            Review(**row) for row in self._rows("SELECT * FROM reviews WHERE pull = ? ORDER BY id", pull.id)
        ]

    def add_comment(self, pull: Pull, author: str, body: str) -> Comment:
        at = now()
        row = self._rows(
            "INSERT INTO comments (pull, author, body, created_at, updated_at)"
            " VALUES (?, ?, ?, ?, ?) RETURNING *",
            *(pull.id, author, body, at, at),
        )[0]
        self.update_pull(pull)
        return Comment(**row)

    def comments(self, pull: Pull) -> list[Comment]:
        return [
            Comment(**row) for row in self._rows("SELECT * FROM comments WHERE pull = ? ORDER BY id", pull.id)
        ]

    def edit_comment(self, comment: Comment, body: str) -> Comment:
        rows = self._rows(
            "UPDATE comments SET body = ?, updated_at = ? WHERE id = ? RETURNING *", body, now(), comment.id
        )
        return Comment(**rows[0])

    def delete_comment(self, comment: Comment) -> None:
        self._db.execute("DELETE FROM comments WHERE id = ?", (comment.id,))

    def find_comment(self, repository: str, number: int) -> tuple[Pull, Comment] | None:
        """A comment by its own id, with its pull request, if it is in this repository."""
        for pull in self.pulls(repository):
            for comment in self.comments(pull):
                if comment.id == number:
                    return pull, comment
        return None

    def _rows(self, statement: str, *values: Any) -> list[dict[str, Any]]:
        return [dict(row) for row in self._db.execute(statement, values).fetchall()]


def _pull(row: dict[str, Any]) -> Pull:
    return Pull(**{k: json.loads(v) if k in _JSON_COLUMNS else v for k, v in row.items()})


def distinct(names: Iterable[object]) -> list[str]:
    """The texts among `names`, each once, in order."""
    return list(dict.fromkeys(name for name in names if isinstance(name, str)))
