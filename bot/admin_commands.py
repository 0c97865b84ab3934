"""What the command line may ask of a data folder, by a running bot or by itself: the same functions."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from sqlite_utils import Migrations

from bot.admin import Command
from bot.errors import UserError
from storage import DataFolder, Executor, IndexFile, SessionFile, SessionStore, StorageError

log = logging.getLogger(__name__)

_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class Files(Protocol):
    """What these commands need; a House is one."""

    @property
    def store(self) -> SessionStore: ...
    @property
    def index(self) -> IndexFile: ...


@dataclass(frozen=True, slots=True)
class OwnFiles:
    """The files of a data folder that no bot runs on."""

    store: SessionStore
    index: IndexFile


@asynccontextmanager
async def files_of(folder: DataFolder) -> AsyncIterator[OwnFiles]:
    """Take the lock and open the files. StorageError when a bot has them."""
    async with AsyncExitStack() as stack:
        folder.acquire()
        stack.callback(folder.release)
        executor = Executor()
        stack.callback(executor.close)
        index, anew = await open_index(folder.index_path, executor)
        stack.push_async_callback(index.close)
        store = SessionStore(folder, executor)
        stack.push_async_callback(store.close)
        if anew:
            await index.rebuild(store)
        yield OwnFiles(store, index)


async def open_index(
    path: Path, executor: Executor, plugins: Migrations | None = None
) -> tuple[IndexFile, bool]:
    """The index, and whether it is empty and has to be built anew: one that is damaged is thrown away."""
    there = await asyncio.to_thread(path.exists)
    try:
        return await IndexFile.open(path, executor, plugins=plugins), not there
    except StorageError as error:
        if getattr(error.__cause__, "sqlite_errorcode", 0) not in _DAMAGED:
            raise
        log.warning("%s It is built anew.", error)
        await asyncio.to_thread(IndexFile.discard, path)
        return await IndexFile.open(path, executor, plugins=plugins), True


def admin_commands(files: Files) -> Mapping[str, Command]:
    """The commands by name; each takes and gives JSON."""
    commands = _AdminCommands(files)
    return {
        "sessions.list": commands.list,
        "sessions.show": commands.show,
        "sessions.export": commands.export,
        "reindex": commands.reindex,
    }


class _AdminCommands:
    def __init__(self, files: Files) -> None:
        self._files = files

    async def list(self, arguments: dict[str, Any]) -> Any:
        """The latest sessions first."""
        rows = await self._files.index.list(
            limit=int(arguments.get("limit", 50)),
            repository=arguments.get("repository"),
            state=arguments.get("state"),
        )
        return {"sessions": rows}

    async def show(self, arguments: dict[str, Any]) -> Any:
        """Everything about one session but its events, which `export` has."""
        async with self._files.store.use(self._known(str(arguments["id"]))) as file:
            return {
                "session": await file.session(),
                "participants": await file.participants(),
                "prompts": await file.prompts(),
                "turns": await file.turns(),
                "artifacts": await file.artifacts(),
                "effects": await _effects(file),
                "last_seq": await file.last_seq(),
            }

    async def export(self, arguments: dict[str, Any]) -> Any:
        """A complete copy of the session's file at `path`, which must not exist."""
        target = Path(str(arguments["path"]))
        async with self._files.store.use(self._known(str(arguments["id"]))) as file:
            await file.export(target)
        return {"path": str(target)}

    async def reindex(self, arguments: dict[str, Any]) -> Any:
        """Build the index anew from the session files."""
        rebuilt = await self._files.index.rebuild(self._files.store)
        return {"sessions": rebuilt.sessions, "failed": [str(each) for each in rebuilt.failed]}

    def _known(self, session: str) -> str:
        if len(session) < 4 or not session.isalnum():
            raise UserError(f"{session!r} is not a session id; `threadsmith sessions list` shows them.")
        if not self._files.store.exists(session):
            raise UserError(f"There is no session {session}; `threadsmith sessions list` shows them.")
        return session


async def _effects(file: SessionFile) -> Any:
    rows = await file.effects()
    return [{key: row[key] for key in ("kind", "key", "state", "attempt", "error")} for row in rows]
