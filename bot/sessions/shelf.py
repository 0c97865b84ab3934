"""Files an agent has handed out for its thread, on the host until they are posted. Their bytes are untrusted.

A name in here is the hash of what is in it, so nothing an agent says is ever a path of ours.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
from collections.abc import Collection
from pathlib import Path

from bot.errors import UserError
from storage.creation import flush_folder

FILE_MIB = 8
_MIB = 1024 * 1024
_MOST_MIB = 64  # of one session, unposted


class Shelf:
    """One session's. Hold `planning` until what was put on it is planned: then it is owed."""

    def __init__(self, data: Path, session: str) -> None:
        self.planning = asyncio.Lock()
        self._folder = data / "files" / session

    async def put(self, content: bytes, owed: Collection[str]) -> Path:
        """Keep a file; it is on the disk when this returns. What is not among those still `owed` goes.

        Raises UserError when it is too large or too many wait, OSError when the disk does not take it.
        """
        if len(content) > FILE_MIB * _MIB:
            raise UserError(f"It is larger than {FILE_MIB} MiB.")
        return await asyncio.to_thread(self._put, content, owed)

    def _put(self, content: bytes, owed: Collection[str]) -> Path:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        size = 0
        for known in list(self._folder.iterdir()):
            with contextlib.suppress(FileNotFoundError):  # it was posted this moment
                if known.name in owed:
                    size += known.stat().st_size
                else:
                    known.unlink()
        if size + len(content) > _MOST_MIB * _MIB:
            raise UserError("Too much waits to be posted in this thread. Try again later.")
        path = self._folder / hashlib.sha256(content).hexdigest()
        part = path.with_suffix(".part")  # the same may be read this moment, to be posted
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        for folder in (self._folder, self._folder.parent, self._folder.parent.parent):
            flush_folder(folder)
        return path
