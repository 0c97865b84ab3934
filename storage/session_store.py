"""All sessions of a data folder: which are open, which may be closed, and that each is open only once."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from storage import creation
from storage.engine import Executor
from storage.errors import explaining_os
from storage.folder import DataFolder
from storage.session_file import SessionFile, Thread, create_session_file

T = TypeVar("T")


class NoSession(LookupError):
    """There certainly is no such session. (What could not be read is a StorageError.)"""


@dataclass(slots=True)
class _Entry:
    """A session that is open, or being opened or closed: `gate` lets one of these happen at a time."""

    file: SessionFile | None = None
    pins: int = 0
    gate: asyncio.Lock = field(default_factory=asyncio.Lock)


class SessionStore:
    """Opens session files and keeps the last `lru` of them open; a pinned one is never closed.

    `opened` callbacks are called with each file that is opened, before anyone uses it: the place to add
    listeners, which go with the file when it is closed.
    """

    def __init__(
        self,
        folder: DataFolder,
        executor: Executor,
        lru: int = 256,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.opened: list[Callable[[SessionFile], None]] = []
        self._folder = folder
        self._executor = executor
        self._lru = lru
        self._now = now
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._tasks: set[asyncio.Task[Any]] = set()

    @asynccontextmanager
    async def use(self, session_id: str, create: Thread | None = None) -> AsyncIterator[SessionFile]:
        """The session's file, pinned inside the block. Raises NoSession if there is none and no `create`."""
        file = await self.pin(session_id, create)
        try:
            yield file
        finally:
            self.unpin(session_id)

    async def pin(self, session_id: str, create: Thread | None = None) -> SessionFile:
        """Open it and keep it open until `unpin`, which must be called as often. Raises as `use`."""
        entry = self._entries.setdefault(session_id, _Entry())
        entry.pins += 1
        try:
            # Not the caller's to interrupt: a half-opened file would keep its lock with nobody to close it.
            file = await asyncio.shield(self._start(self._open(session_id, entry, create)))
        except BaseException:
            self.unpin(session_id)
            raise
        return file

    def unpin(self, session_id: str) -> None:
        entry = self._entries.get(session_id)
        if entry is None:  # the store was closed meanwhile, and the file with it
            return
        entry.pins -= 1
        if entry.pins == 0:
            self._entries.move_to_end(session_id)
            if not entry.gate.locked():
                self._forget(session_id, entry)
            self._evict()

    def exists(self, session_id: str) -> bool:
        """Certain either way; StorageError when it cannot be told."""
        return creation.exists(self._folder.session_path(session_id))

    async def ids(self) -> list[str]:
        """All sessions there are, sorted. Raises StorageError."""
        return await self._executor.run(self._scan)

    async def close(self) -> None:
        """Close every file, pinned or not."""
        while self._tasks:
            await asyncio.wait(self._tasks)
        for entry in self._entries.values():
            async with entry.gate:
                if entry.file is not None:
                    await entry.file.close()
        self._entries.clear()

    @property
    def open_count(self) -> int:
        return sum(entry.file is not None for entry in self._entries.values())

    def _scan(self) -> list[str]:
        # Not `glob`, which takes a folder it may not read for an empty one.
        with explaining_os(self._folder.sessions):
            shards = [path for path in self._folder.sessions.iterdir() if path.is_dir()]
            return sorted(file.stem for shard in shards for file in shard.iterdir() if file.suffix == ".db")

    async def _open(self, session_id: str, entry: _Entry, create: Thread | None) -> SessionFile:
        async with entry.gate:
            if entry.file is None:
                try:
                    entry.file = await self._opened(session_id, create)
                finally:
                    self._forget(session_id, entry)
                self._evict()
            return entry.file

    async def _opened(self, session_id: str, create: Thread | None) -> SessionFile:
        path = self._folder.session_path(session_id)
        if not await self._executor.run(lambda: creation.exists(path)):
            if create is None:
                raise NoSession(session_id)
            at = self._now()
            await self._executor.run(lambda: create_session_file(path, session_id, create, at))
        file = await SessionFile.open(path, session_id, self._executor, self._now)
        for callback in self.opened:
            callback(file)
        return file

    def _evict(self) -> None:
        """Close the longest unused beyond the limit, in the background: a close may take 20 ms."""
        unpinned = [item for item in self._entries.items() if item[1].pins == 0]
        for session_id, entry in unpinned[: max(0, len(self._entries) - self._lru)]:
            self._start(self._close(session_id, entry))

    async def _close(self, session_id: str, entry: _Entry) -> None:
        async with entry.gate:
            if entry.pins == 0 and entry.file is not None:
                await entry.file.close()
                entry.file = None
            self._forget(session_id, entry)

    def _forget(self, session_id: str, entry: _Entry) -> None:
        """Drop an entry that holds nothing; one that is wanted again meanwhile stays."""
        if entry.pins == 0 and entry.file is None and self._entries.get(session_id) is entry:
            del self._entries[session_id]

    def _start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
