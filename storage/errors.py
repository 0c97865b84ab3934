"""What can go wrong with a file, said so that the reader knows which file and what to do."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class StorageError(Exception):
    """A file could not be read or written. Never means "there is none".

    `what` completes the sentence "<path> ...", `fix` says what to do about it.
    """

    def __init__(self, what: str, path: Path, fix: str) -> None:
        super().__init__(f"{path} {what}. {fix}")
        self.what = what
        self.path = path
        self.fix = fix


class Unusable(StorageError):
    """The file itself is wrong until somebody mends it; it is left as it was found, for a rescue."""


# Primary SQLite result codes. Those that are missing are mistakes of the caller and pass unchanged.
_KNOWN = {
    sqlite3.SQLITE_BUSY: (
        "is in use by another process",
        "Stop the other bot, or close the program that has this database open.",
    ),
    sqlite3.SQLITE_LOCKED: (
        "is in use by another connection of this process",
        "Restart the bot; report this if it comes back.",
    ),
    sqlite3.SQLITE_CORRUPT: (
        "is damaged",
        "Restore it from a backup; keep the damaged file, `sqlite3 FILE .recover` may save its rows.",
    ),
    sqlite3.SQLITE_NOTADB: (
        "is not a database",
        "Something overwrote it: restore it from a backup.",
    ),
    sqlite3.SQLITE_FULL: ("could not grow: the disk is full", "Free some space on this disk."),
    sqlite3.SQLITE_READONLY: (
        "is read-only",
        "Make the file and its folder writable for the user that runs the bot.",
    ),
    sqlite3.SQLITE_PERM: (
        "may not be accessed",
        "Make the file and its folder readable and writable for the user that runs the bot.",
    ),
    sqlite3.SQLITE_CANTOPEN: (
        "cannot be opened",
        "Check that the file and its folder exist and are writable for the user that runs the bot.",
    ),
    sqlite3.SQLITE_IOERR: (
        "could not be read or written: the disk reported an error",
        "Check the disk and the system log, then restart the bot.",
    ),
}


_OF_THE_FILE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


@contextmanager
def explaining(path: Path) -> Iterator[None]:
    """Inside, a failure of the file itself becomes a StorageError; any other error passes unchanged."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code not in _KNOWN:
            raise
        kind = Unusable if code in _OF_THE_FILE else StorageError
        what, fix = _KNOWN[code]
        raise kind(what, path, fix) from error


def read_only(path: Path) -> StorageError:
    what, fix = _KNOWN[sqlite3.SQLITE_READONLY]
    return StorageError(what, path, fix)


def is_disk_error(error: BaseException | None) -> bool:
    """After one of these nobody knows which earlier writes reached the disk."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_IOERR


@contextmanager
def explaining_os(path: Path) -> Iterator[None]:
    """The same for calls on files and folders that are not (yet) databases."""
    try:
        yield
    except OSError as error:
        fix = "Check that the folder exists, has space and is writable for the user that runs the bot."
        raise StorageError(f"cannot be used: {error.strerror or error}", path, fix) from error
