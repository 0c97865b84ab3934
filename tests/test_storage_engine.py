"""The engine under attack: failing writers, cancelled callers, foreign locks, damaged and full files."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlite_utils import Database, Migrations

from storage import Executor, File, StorageError
from storage import engine as engine_module
from storage.engine import value
from storage.migrations import Schema

notes = Migrations("notes")


@notes()
def m001(db: Database) -> None:
    db.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE)")


SCHEMA = Schema(notes, page_size=1024)
FULL, NORMAL = 2, 1


@pytest.fixture
def executor() -> Iterator[Executor]:
    executor = Executor()
    yield executor
    executor.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    SCHEMA.create(tmp_path / "notes.db")
    return tmp_path / "notes.db"


@pytest.fixture
async def file(path: Path, executor: Executor) -> AsyncIterator[File]:
    file = await File.open(path, executor)
    yield file
    await file.close()


def add(text: str):
    return lambda db: db.execute("INSERT INTO notes (text) VALUES (?)", (text,)).lastrowid


def texts(db: Database) -> list[str]:
    return [row[0] for row in db.execute("SELECT text FROM notes ORDER BY id").fetchall()]


async def test_synchronous_is_full_in_durable_writes_and_normal_in_the_others(file: File) -> None:
    async def level(durable: bool) -> int:
        return await file.write(lambda db: value(db, "PRAGMA synchronous"), durable=durable)

    assert [await level(d) for d in (True, False, False, True, False)] == [FULL, NORMAL, NORMAL, FULL, NORMAL]


async def test_durable_writes_run_in_a_storage_thread_and_the_others_where_they_are(file: File) -> None:
    import threading

    here = threading.current_thread().name
    assert await file.write(lambda db: threading.current_thread().name, durable=False) == here
    assert (await file.write(lambda db: threading.current_thread().name, durable=True)).startswith("storage")


async def test_every_soft_limit_one_write_is_made_durable_so_that_the_log_cannot_grow_for_ever(
    file: File, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "SOFT_LIMIT", 3)

    async def level() -> int:
        return await file.write(lambda db: value(db, "PRAGMA synchronous"), durable=False)

    assert [await level() for _ in range(8)] == [NORMAL, NORMAL, NORMAL, FULL, NORMAL, NORMAL, NORMAL, FULL]


async def test_checkpoints_never_happen_on_the_loop(file: File) -> None:
    async def pages(durable: bool) -> int:
        return await file.write(lambda db: value(db, "PRAGMA wal_autocheckpoint"), durable=durable)

    assert await pages(False) == 0
    assert await pages(True) > 0


async def test_one_exclusive_connection_leaves_no_shared_memory_file(file: File, path: Path) -> None:
    await file.write(add("a"), durable=True)
    assert sorted(p.name for p in path.parent.iterdir()) == ["notes.db", "notes.db-wal"]
    await file.close()
    assert [p.name for p in path.parent.iterdir()] == ["notes.db"]


@pytest.mark.parametrize("durable", [True, False])
async def test_a_write_that_raises_is_undone_and_the_file_goes_on(file: File, durable: bool) -> None:
    def fail(db: Database) -> None:
        add("half")(db)
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        await file.write(fail, durable=durable)
    await file.write(add("whole"), durable=durable)
    assert await file.read(texts) == ["whole"]


async def test_a_callers_own_mistake_is_not_dressed_up_as_a_storage_error(file: File) -> None:
    await file.write(add("a"), durable=True)
    with pytest.raises(sqlite3.IntegrityError):
        await file.write(add("a"), durable=True)
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        await file.read(lambda db: db.execute("SELECT * FROM nowhere"))


# -- group commit ---------------------------------------------------------------------------------


@contextmanager
def statements(file: File) -> Iterator[list[str]]:
    seen: list[str] = []
    file._db.conn.set_trace_callback(seen.append)
    yield seen
    file._db.conn.set_trace_callback(None)


async def test_durable_writes_that_wait_together_share_one_commit(file: File) -> None:
    with statements(file) as seen:
        ids = await asyncio.gather(*(file.write(add(str(n)), durable=True) for n in range(10)))
    assert sorted(ids) == list(range(1, 11))
    assert seen.count("COMMIT") == 1


async def test_one_failing_writer_fails_alone_and_the_rest_of_its_group_is_written(file: File) -> None:
    def fail(db: Database) -> None:
        add("from the bad one")(db)
        raise RuntimeError("bad")

    writes = [file.write(add(f"good {n}"), durable=True) for n in range(3)]
    results = await asyncio.gather(
        *writes[:2], file.write(fail, durable=True), writes[2], return_exceptions=True
    )
    assert [type(result) for result in results] == [int, int, RuntimeError, int]
    assert await file.read(texts) == ["good 0", "good 1", "good 2"]


async def test_a_writer_that_loses_the_whole_transaction_does_not_take_the_others_with_it(file: File) -> None:
    def poison(db: Database) -> None:
        db.execute("ROLLBACK")
        raise sqlite3.OperationalError("all undone")

    results = await asyncio.gather(
        file.write(add("before"), durable=True),
        file.write(poison, durable=True),
        file.write(add("after"), durable=True),
        return_exceptions=True,
    )
    assert isinstance(results[1], sqlite3.OperationalError)
    assert await file.read(texts) == ["before", "after"]
    assert not file._db.conn.in_transaction


async def test_a_failed_group_commit_tells_nobody_that_it_succeeded(file: File) -> None:
    """A deferred foreign key fails at COMMIT, after every job of the group had its result."""
    await file.write(
        lambda db: db.execute(
            "CREATE TABLE child (n INTEGER REFERENCES notes(id) DEFERRABLE INITIALLY DEFERRED)"
        ),
        durable=True,
    )
    results = await asyncio.gather(
        file.write(add("good"), durable=True),
        file.write(lambda db: db.execute("INSERT INTO child VALUES (99)").rowcount, durable=True),
        return_exceptions=True,
    )
    assert results[0] == 1
    assert isinstance(results[1], sqlite3.IntegrityError)
    assert await file.read(texts) == ["good"]
    assert await file.read(lambda db: value(db, "SELECT count(*) FROM child")) == 0


async def test_a_cancelled_callers_write_still_ends_cleanly_and_is_told_to_followers(file: File) -> None:
    told: list[int | None] = []
    started, let_go = asyncio.Event(), __import__("threading").Event()
    loop = asyncio.get_running_loop()

    def slow(db: Database) -> int | None:
        row = add("slow")(db)
        loop.call_soon_threadsafe(started.set)
        assert let_go.wait(10)
        return row

    task = asyncio.create_task(file.write(slow, durable=True, after=told.append))
    await started.wait()
    task.cancel()
    behind = asyncio.create_task(file.write(add("behind"), durable=False))
    await asyncio.gather(task, return_exceptions=True)
    assert not behind.done(), "the lock was given up while the thread was inside the transaction"
    let_go.set()
    await behind
    assert task.cancelled()
    assert told == [1]
    assert await file.read(texts) == ["slow", "behind"]


async def test_a_write_cancelled_before_its_turn_is_not_made(file: File) -> None:
    task = asyncio.create_task(file.write(add("never"), durable=True))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await file.write(add("a"), durable=True)
    assert await file.read(texts) == ["a"]


async def test_followers_are_told_after_the_commit_and_not_at_all_when_it_failed(file: File) -> None:
    told: list[bool] = []

    def after(_: object) -> None:
        told.append(file._db.conn.in_transaction)

    def fail(db: Database) -> None:
        raise RuntimeError("no")

    for durable in (True, False):
        await file.write(add(f"{durable}"), durable=durable, after=after)
        with pytest.raises(RuntimeError):
            await file.write(fail, durable=durable, after=after)
    assert told == [False, False]


# -- files that fail --------------------------------------------------------------------------------


def assert_explains(error: StorageError, path: Path, what: str) -> None:
    assert error.path == path
    assert what in error.what
    assert str(path) in str(error)
    assert error.fix
    assert error.fix in str(error)


HOLD = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("PRAGMA locking_mode=EXCLUSIVE"); db.execute("BEGIN EXCLUSIVE"); db.execute("COMMIT")
print("held", flush=True); sys.stdin.read()
"""


async def test_a_file_another_process_holds_is_named_as_in_use(path: Path, executor: Executor) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        with pytest.raises(StorageError) as caught:
            await File.open(path, executor)
    finally:
        holder.communicate()
    assert_explains(caught.value, path, "in use")
    await (await File.open(path, executor)).close()


async def test_an_open_file_is_locked_against_every_other_process(file: File, path: Path) -> None:
    script = "import sqlite3,sys; sqlite3.connect(sys.argv[1], timeout=0).execute('SELECT * FROM notes')"
    await file.write(add("a"), durable=True)
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True)
    assert "database is locked" in done.stderr


async def test_a_missing_file_is_an_error_and_is_not_created(tmp_path: Path, executor: Executor) -> None:
    with pytest.raises(StorageError) as caught:
        await File.open(tmp_path / "gone.db", executor)
    assert_explains(caught.value, tmp_path / "gone.db", "cannot be opened")
    assert list(tmp_path.iterdir()) == []


async def test_a_file_that_is_no_database_says_so(path: Path, executor: Executor) -> None:
    path.write_bytes(b"something else entirely" * 100)
    with pytest.raises(StorageError) as caught:
        await File.open(path, executor)
    assert_explains(caught.value, path, "not a database")


async def test_a_cut_off_file_is_damaged(path: Path, executor: Executor) -> None:
    path.write_bytes(path.read_bytes()[:-1500])
    with pytest.raises(StorageError) as caught:
        await File.open(path, executor)
    assert_explains(caught.value, path, "damaged")


async def test_damage_met_while_reading_is_an_error_and_not_an_empty_answer(
    path: Path, executor: Executor
) -> None:
    content = bytearray(path.read_bytes())
    page = 1024
    file = await File.open(path, executor)
    root = await file.read(lambda db: value(db, "SELECT rootpage FROM sqlite_master WHERE name = 'notes'"))
    await file.close()
    content[(root - 1) * page : root * page] = b"\xa5" * page
    path.write_bytes(content)
    file = await File.open(path, executor)
    with pytest.raises(StorageError) as caught:
        await file.read(texts)
    assert_explains(caught.value, path, "damaged")
    await file.close()


@pytest.mark.parametrize("durable", [True, False])
async def test_a_full_disk_fails_that_write_and_leaves_the_file_usable(
    file: File, path: Path, durable: bool
) -> None:
    limit = await file.read(lambda db: value(db, "PRAGMA page_count"))
    await file.read(lambda db: db.execute(f"PRAGMA max_page_count={limit}").fetchall())
    with pytest.raises(StorageError) as caught:
        await file.write(add("x" * 50_000), durable=durable)
    assert_explains(caught.value, path, "disk is full")
    await file.write(add("small"), durable=durable)
    assert await file.read(texts) == ["small"]


async def test_a_full_disk_fails_only_the_writer_that_was_too_big_for_it(file: File) -> None:
    limit = await file.read(lambda db: value(db, "PRAGMA page_count"))
    await file.read(lambda db: db.execute(f"PRAGMA max_page_count={limit}").fetchall())
    results = await asyncio.gather(
        file.write(add("a"), durable=True),
        file.write(add("x" * 50_000), durable=True),
        file.write(add("b"), durable=True),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [int, StorageError, int]
    assert await file.read(texts) == ["a", "b"]


@contextmanager
def as_nobody() -> Iterator[None]:
    """Root may write everything, so these checks must not be root."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


async def test_a_read_only_file_is_refused_at_once_and_not_at_the_first_accept() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "notes.db"
        SCHEMA.create(path)
        path.chmod(0o444)
        Path(folder).chmod(0o555)
        executor = Executor()
        try:
            with as_nobody(), pytest.raises(StorageError) as caught:
                await File.open(path, executor)
        finally:
            executor.close()
            Path(folder).chmod(0o755)
    assert_explains(caught.value, path, "is read-only")
    assert "writable for the user" in caught.value.fix


async def test_after_a_disk_error_nothing_more_is_written(path: Path, executor: Executor) -> None:
    """An fsync that failed once may report success later for what it lost."""

    def broken_disk(db: Database) -> None:
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
        raise error

    file = await File.open(path, executor)
    with pytest.raises(StorageError) as caught:
        await file.write(broken_disk, durable=True)
    assert_explains(caught.value, path, "disk reported an error")
    for durable in (True, False):
        with pytest.raises(StorageError):
            await file.write(add("too late"), durable=durable)
    await file.close()
    reopened = await File.open(path, executor)
    assert await reopened.read(texts) == []
    await reopened.close()


async def test_a_closed_file_refuses_and_closes_twice_without_harm(file: File, path: Path) -> None:
    waiting = asyncio.create_task(file.write(add("asked for before"), durable=True))
    await asyncio.sleep(0)
    await file.close()
    await file.close()
    assert await waiting == 1
    for attempt in (
        file.write(add("a"), durable=True),
        file.write(add("a"), durable=False),
        file.read(texts),
    ):
        with pytest.raises(StorageError) as caught:
            await attempt
        assert_explains(caught.value, path, "is closed")


async def test_a_write_after_the_threads_have_ended_is_an_error_and_never_hangs(path: Path) -> None:
    executor = Executor()
    file = await File.open(path, executor)
    executor.close()
    with pytest.raises(StorageError, match="threads have ended"):
        await asyncio.wait_for(file.write(add("a"), durable=True), 5)
    file._db.close()
