"""Schemas: the template, a migrated file and an old file brought up to date are the same thing."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlite_utils import Database, Migrations

from storage import Executor, File, StorageError
from storage.index import index_schema
from storage.migrations import Schema, m001_session_file, session_schema
from storage.session_file import SessionFile, create_session_file
from storage.state import StateFile, state_schema


class Thread:
    team, channel, thread_ts = "T1", "C1", "1.1"


def shape(path: Path) -> list[tuple[str, str, str]]:
    with sqlite3.connect(path) as db:
        found = db.execute("SELECT type, name, sql FROM sqlite_master ORDER BY type, name").fetchall()
    db.close()
    return found


@pytest.mark.parametrize("schema", [session_schema(), state_schema(), index_schema()])
def test_a_file_from_the_template_has_the_schema_of_a_migrated_one(schema: Schema, tmp_path: Path) -> None:
    schema.create(tmp_path / "template.db")
    migrated = Database(tmp_path / "migrated.db")
    schema.migrations.apply(migrated)
    migrated.close()
    assert shape(tmp_path / "template.db") == shape(tmp_path / "migrated.db")


def test_a_new_session_file_is_small_whole_private_and_already_in_wal_mode(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    create_session_file(path, "s", Thread, 1.5)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.stat().st_size < 40_000
    assert path.read_bytes()[18:20] == b"\x02\x02"
    db = sqlite3.connect(path)
    assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert db.execute("PRAGMA page_size").fetchone() == (1024,)
    assert db.execute("SELECT id, team, channel, thread_ts, created_at FROM session").fetchall() == [
        ("s", "T1", "C1", "1.1", 1.5)
    ]
    db.close()


def newer(more: int) -> Schema:
    """The session's schema as a later version of the bot would have it, `more` migrations on."""
    later = Migrations("session")
    for number in range(more):

        @later(name=f"later_{number}")
        def add(db: Database, number: int = number) -> None:
            db.execute(f"CREATE TABLE later_{number} (x)")

    def again(db: Database) -> None:
        raise AssertionError("a migration ran twice")

    with closing(Database(memory=True)) as empty:
        for known in session_schema().migrations.pending(empty):
            later(name=known.name)(again)
    return Schema(later)


async def test_a_session_file_of_the_first_version_is_gone_on_with(tmp_path: Path) -> None:
    first, path, executor = Migrations("session"), tmp_path / "s.db", Executor()
    first(name="m001_session_file")(m001_session_file)

    def fill(db: Database) -> None:
        db.execute(
            "INSERT INTO session VALUES ('s', 'T1', 'C1', '1.1', '', NULL, NULL, NULL, NULL, NULL,"
            " NULL, NULL, NULL, NULL, 1, NULL, NULL, NULL, '{}', 1.0, 1.0)"
        )
        db.execute(
            "INSERT INTO prompts (source, key, author_id, author_name, author, text, state, epoch,"
            " accepted_at) VALUES ('slack', 'k', 'U1', 'Ann', '{}', 'old', 'queued', 1, 1.0)"
        )

    Schema(first, page_size=1024).create(path, fill)
    session = await SessionFile.open(path, "s", executor)
    [row] = await session.prompts()
    assert (row["text"], row["files"]) == ("old", [])
    await session.close()
    executor.close()


async def test_an_older_session_file_is_brought_up_to_date_once_and_keeps_its_rows(tmp_path: Path) -> None:
    executor, path = Executor(), tmp_path / "s.db"
    create_session_file(path, "s", Thread, 1.0)
    for _ in range(2):
        session = await SessionFile.open(path, "s", executor, schema=newer(2))
        assert (await session.session())["team"] == "T1"
        await session.close()
    executor.close()
    assert {"later_0", "later_1"} <= {name for _, name, _ in shape(path)}
    with closing(Database(path)) as db, pytest.raises(StorageError):
        session_schema().check(path, db)


async def test_a_file_of_a_newer_version_is_refused_untouched(tmp_path: Path) -> None:
    executor, path = Executor(), tmp_path / "s.db"
    create_session_file(path, "s", Thread, 1.0)
    file = await File.open(path, executor)
    await file.run(lambda db: db.execute("PRAGMA user_version=99"))
    await file.close()
    before = path.read_bytes()
    with pytest.raises(StorageError) as caught:
        await SessionFile.open(path, "s", executor)
    assert "newer version" in caught.value.what
    assert "99" in caught.value.what
    assert caught.value.path == path
    assert "Install that version" in caught.value.fix
    assert path.read_bytes() == before
    executor.close()


@pytest.mark.parametrize("name", ["state.db", "s.db"])
async def test_an_empty_file_is_damage_and_never_taken_for_a_new_one(tmp_path: Path, name: str) -> None:
    executor, path = Executor(), tmp_path / name
    path.touch()
    with pytest.raises(StorageError) as caught:
        if name == "state.db":
            await StateFile.open(path, executor)
        else:
            await SessionFile.open(path, "s", executor)
    assert "is empty" in caught.value.what
    assert "backup" in caught.value.fix
    executor.close()


async def test_a_plugins_tables_stay_when_it_is_gone_and_are_not_taken_for_a_newer_schema(
    tmp_path: Path,
) -> None:
    executor, path = Executor(), tmp_path / "state.db"
    plugins = Migrations("plugins")

    @plugins()
    def pool(db: Database) -> None:
        db.execute("CREATE TABLE pool (x)")

    for given in (plugins, None, plugins):
        state = await StateFile.open(path, executor, plugins=given)
        assert await state.file.write(
            lambda db: db.execute("INSERT INTO pool VALUES (1)").rowcount, durable=True
        )
        await state.close()
    executor.close()
