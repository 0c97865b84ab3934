"""New database files: made whole in memory, on the disk before they have a name.

A file with its final name is therefore always a complete database. An empty or cut-off one is damage,
never "a new one", and is refused.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from sqlite_utils import Database

from storage.errors import Unusable, explaining_os

_WAL_FORMAT = b"\x02\x02"  # header bytes 18 and 19: read and write version 2 means "uses WAL"


def exists(path: Path) -> bool:
    """True or false for certain; StorageError when it cannot be told."""
    if _is_there(path):
        return True
    log = path.with_name(path.name + "-wal")
    if _is_there(log):
        raise Unusable(
            "has lost its database and only the write-ahead log is left",
            log,
            f"Restore {path} from a backup, or move the log away to give the database up.",
        )
    return False


def _is_there(path: Path) -> bool:
    with explaining_os(path):
        try:
            path.stat()
        except FileNotFoundError:
            return False
    return True


def image(fill: Callable[[Database], None], *, base: bytes | None = None, page_size: int = 4096) -> bytes:
    """The bytes of a database: `base` or an empty one, after `fill`."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        if base is None:
            connection.execute(f"PRAGMA page_size={page_size}")
        else:
            connection.deserialize(base)
        fill(Database(connection, recursive_triggers=False, execute_plugins=False))
        return connection.serialize()
    finally:
        connection.close()


def place(path: Path, content: bytes) -> None:
    """Write a new database file so that it exists wholly or not at all, whatever crashes.

    A later FULL commit flushes only the write-ahead log, not these bytes, so they are flushed here:
    file, then name, and the folder's own name. Raises StorageError.
    """
    new = path.with_name(path.name + ".new")
    with explaining_os(path):
        path.parent.mkdir(mode=0o700, exist_ok=True)
        handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content[:18] + _WAL_FORMAT + content[20:])
                file.flush()
                os.fsync(file.fileno())
            new.rename(path)
        except OSError:
            new.unlink(missing_ok=True)
            raise
        flush_folder(path.parent)
        # Also of a folder that was there: another thread, or a bot that was killed, may not have got so far.
        flush_name(path.parent)


def flush_name(folder: Path) -> None:
    """The folder itself is on the disk when this returns, where we may look into the one it is in."""
    with suppress(PermissionError):
        flush_folder(folder.parent)


def flush_folder(folder: Path) -> None:
    """The names in it are on the disk when this returns."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
