"""One connection per database file: short transactions, group commit, and the disk kept off the loop.

Durable writes (`synchronous=FULL`) run in the storage threads, because one fsync would stall the whole
event loop. The others (`NORMAL`, 30-180 us) run where they are: a thread hop would cost five times more.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

from sqlite_utils import Database

from storage.errors import StorageError, Unusable, explaining, explaining_os, is_disk_error, read_only

T = TypeVar("T")
Row = dict[str, Any]

BUSY_MS = 500
GROUP = 64  # durable writes that share one fsync at most
SOFT_LIMIT = 500  # non-durable commits in a row before one is made durable, off the loop
CHECKPOINT_PAGES = 1000
_LOG_HEADS = (b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83")


def rows(db: Database, sql: str, parameters: Any = ()) -> list[Row]:
    """Run one statement and fetch all it returns; a `RETURNING` is complete before the commit."""
    cursor = db.execute(sql, parameters)
    if cursor.description is None:
        return []
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, values, strict=True)) for values in cursor.fetchall()]


def one(db: Database, sql: str, parameters: Any = ()) -> Row | None:
    found = rows(db, sql, parameters)
    return found[0] if found else None


def value(db: Database, sql: str, parameters: Any = ()) -> Any:
    """The first column of the first row; None when there is no row."""
    found = db.execute(sql, parameters).fetchall()
    return found[0][0] if found else None


def open_connection(path: Path) -> Database:
    """Open an existing database for this process alone. Raises StorageError.

    `locking_mode` comes before WAL: only then is there no `-shm` file, and the lock lasts until close.
    """
    _refuse(path)
    uri = f"{path.resolve().as_uri()}?mode=rw"
    with explaining(path):
        connection = sqlite3.connect(
            uri, uri=True, timeout=BUSY_MS / 1000, isolation_level=None, check_same_thread=False
        )
        try:
            _prepare(connection)
        except sqlite3.Error:
            connection.close()
            raise
    return Database(connection, recursive_triggers=False, execute_plugins=False)


def _refuse(path: Path) -> None:
    """What SQLite would open all the same: an empty file as a new database, a read-only one to fail later."""
    with explaining_os(path):
        if path.exists() and path.stat().st_size == 0:
            raise Unusable("is empty: its content was lost", path, "Restore it from a backup.")
        log = path.with_name(path.name + "-wal")
        if log.exists() and not _is_log(log):
            raise Unusable(
                "is no write-ahead log: what was written last is in it, or was",
                log,
                "Keep it with its database for a rescue, and restore both from a backup.",
            )
    for place in (path, path.parent):
        if place.exists() and not os.access(place, os.R_OK | os.W_OK, effective_ids=True):
            raise read_only(place)


def _is_log(log: Path) -> bool:
    """SQLite would take a log without its head for an empty one, and begin it anew over what is left of it.

    Zeros are a head that a power cut kept from the disk, before anything was promised.
    """
    with log.open("rb") as file:
        head = file.read(32)
    return not head.strip(b"\0") or head[:4] in _LOG_HEADS


def _prepare(connection: sqlite3.Connection) -> None:
    for pragma in (
        "locking_mode=EXCLUSIVE",
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        "trusted_schema=OFF",
    ):
        connection.execute(f"PRAGMA {pragma}").fetchall()
    # What cannot be locked, read or written is found here and not at the first accept.
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("SELECT count(*) FROM sqlite_master").fetchall()
    connection.execute("ROLLBACK")


class Executor:
    """The storage threads of the process; make one and hand it to every file."""

    def __init__(self, threads: int = 4) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="storage")

    async def run(self, fn: Callable[[], T]) -> T:
        """Run `fn` in a storage thread. When the caller is cancelled, `fn` still runs to its end."""
        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._pool, fn))

    def close(self) -> None:
        """Wait for what runs, then end the threads. Close the files first."""
        self._pool.shutdown(wait=True)


@dataclass(slots=True, eq=False)
class _Job(Generic[T]):
    fn: Callable[[Database], T]
    after: Callable[[T], None] | None
    bare: bool  # outside any transaction: VACUUM INTO
    future: asyncio.Future[T]
    result: list[T] = field(default_factory=list)
    error: Exception | None = None

    def run(self, how: Callable[[Callable[[Database], T]], T]) -> None:
        self.result, self.error = [], None
        try:
            self.result = [how(self.fn)]
        except Exception as error:  # whatever it is, it belongs to the one who asked
            self.error = error

    def settle(self) -> None:
        """On the loop, after the commit: first those who follow the file, then the caller."""
        if self.error is None and self.after is not None:
            self.after(self.result[0])
        if self.future.done():  # the caller was cancelled; what was committed stays committed
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result[0])


class File:
    """A database with one writer. Everything goes through one lock, held for one transaction at a time.

    The functions given to it get the connection and must only use the database: after a failed
    group commit they are run a second time, alone.
    """

    def __init__(self, path: Path, db: Database, executor: Executor) -> None:
        self.path = path
        self._db = db
        self._executor = executor
        self._lock = asyncio.Lock()
        self._queue: list[_Job[Any]] = []
        self._flusher: asyncio.Task[None] | None = None
        self._durable = True  # what `synchronous` is set to now
        self._soft_commits = 0
        self._refusal: StorageError | None = None  # set once: closed, or the disk failed
        self._closed = False

    @classmethod
    async def open(
        cls, path: Path, executor: Executor, prepare: Callable[[Database], None] = lambda _: None
    ) -> File:
        """Open an existing file; `prepare` (schema check) runs before anyone else sees it."""

        def opened() -> Database:
            db = open_connection(path)
            try:
                with explaining(path):
                    prepare(db)
            except BaseException:
                db.close()
                raise
            return db

        return cls(path, await executor.run(opened), executor)

    async def write(
        self,
        fn: Callable[[Database], T],
        *,
        durable: bool,
        after: Callable[[T], None] | None = None,
    ) -> T:
        """Run `fn` in one transaction; it is undone when `fn` raises. Durable: on disk before this returns.

        Durable writes that wait at the same time share one transaction and one fsync, each in its own
        savepoint. `after` is called on the loop with the result, once committed, even when the caller
        was cancelled meanwhile. Raises what `fn` raised, or StorageError.
        """
        if durable or self._soft_commits >= SOFT_LIMIT:
            return await self._enqueue(fn, after, bare=False)
        async with self._lock:
            self._check()
            self._set_durable(False)
            self._soft_commits += 1
            result = self._alone(fn)
        if after is not None:
            after(result)
        return result

    async def read(self, fn: Callable[[Database], T]) -> T:
        """Run a short query where it stands. Raises StorageError when the file fails."""
        async with self._lock:
            self._check()
            with self._noting(), explaining(self.path):
                return fn(self._db)

    async def run(self, fn: Callable[[Database], T]) -> T:
        """Run `fn` in a storage thread and outside any transaction, for long work such as an export."""
        return await self._enqueue(fn, None, bare=True)

    async def close(self) -> None:
        """Finish what was asked for, fold the log into the file and let go of it. Safe to call twice."""
        while self._flusher is not None:
            await asyncio.shield(self._flusher)
        async with self._lock:
            if not self._closed:
                self._closed = True
                self._refusal = StorageError("is closed", self.path, "Open the file again.")
                await self._executor.run(self._db.close)

    def _check(self) -> None:
        if self._refusal is not None:
            raise self._refusal

    async def _enqueue(self, fn: Callable[[Database], T], after: Callable[[T], None] | None, bare: bool) -> T:
        self._check()
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        job = _Job(fn, after, bare, future)
        self._queue.append(job)
        if self._flusher is None:
            self._flusher = asyncio.create_task(self._flush())
        return await future

    async def _flush(self) -> None:
        try:
            while self._queue:
                async with self._lock:
                    jobs, self._queue = self._queue[:GROUP], self._queue[GROUP:]
                    jobs = [job for job in jobs if not job.future.cancelled()]
                    await self._commit_in_thread(jobs)
                for job in jobs:
                    job.settle()
        finally:
            self._flusher = None

    async def _commit_in_thread(self, jobs: list[_Job[Any]]) -> None:
        try:
            await self._executor.run(partial(self._commit, jobs))
        except RuntimeError:  # `_commit` raises nothing, so it never began
            for job in jobs:
                job.error = StorageError("was not written", self.path, "The storage threads have ended.")

    def _commit(self, jobs: list[_Job[Any]]) -> None:
        """In a storage thread: every job ends with a result or an error, and none raises."""
        if self._refusal is not None:
            for job in jobs:
                job.error = self._refusal
            return
        self._set_durable(True)
        grouped = [job for job in jobs if not job.bare]
        if len(grouped) < 2 or not self._together(grouped):
            for job in grouped:
                job.run(self._alone)
        for job in jobs:
            if job.bare:
                job.run(self._bare)

    def _together(self, jobs: list[_Job[Any]]) -> bool:
        """One transaction for all. False: it was lost as a whole and nothing was written."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            for job in jobs:
                job.run(self._in_savepoint)
                # Some errors undo everything: a full disk, RAISE(ROLLBACK).
                if not self._db.conn.in_transaction:
                    return False
            self._db.execute("COMMIT")
        except sqlite3.Error:
            self._db.rollback()
            return False
        return True

    def _in_savepoint(self, fn: Callable[[Database], T]) -> T:
        self._db.execute("SAVEPOINT job")
        try:
            with self._noting(), explaining(self.path):
                result = fn(self._db)
        except BaseException:
            if self._db.conn.in_transaction:
                self._db.execute("ROLLBACK TO job")
                self._db.execute("RELEASE job")
            raise
        self._db.execute("RELEASE job")
        return result

    def _alone(self, fn: Callable[[Database], T]) -> T:
        with self._noting(), explaining(self.path):
            self._check()
            self._db.execute("BEGIN IMMEDIATE")
            try:
                result = fn(self._db)
                self._db.execute("COMMIT")
            except BaseException:
                self._db.rollback()
                raise
            return result

    def _bare(self, fn: Callable[[Database], T]) -> T:
        with self._noting(), explaining(self.path):
            self._check()
            return fn(self._db)

    @contextmanager
    def _noting(self) -> Iterator[None]:
        """After a disk error nothing more is written: a later fsync may claim what an earlier one lost."""
        try:
            yield
        except StorageError as error:
            if self._refusal is None and is_disk_error(error.__cause__):
                self._refusal = error
            raise

    def _set_durable(self, durable: bool) -> None:
        """Between transactions: inside, SQLite refuses. A checkpoint is two fsyncs, so never on the loop."""
        if durable:
            self._soft_commits = 0
        if durable != self._durable:
            self._db.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
            self._db.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES if durable else 0}").fetchall()
            self._durable = durable
