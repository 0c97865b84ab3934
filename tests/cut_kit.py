"""Databases as a power cut left them, opened with the real code."""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from disk_kit import lay_out

from storage import Executor, SessionFile, StateFile, StorageError

T = TypeVar("T")
Row = dict[str, Any]


@contextmanager
def memory() -> Iterator[Path]:
    """A folder in memory where there is one: thousands of images are laid out and opened in it."""
    place = "/dev/shm" if Path("/dev/shm").is_dir() else None
    folder = Path(tempfile.mkdtemp(prefix="threadsmith-", dir=place))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@dataclass(frozen=True)
class Seen:
    """What a database held when it was opened after a cut."""

    digest: str = ""
    prompts: Mapping[str, Row] = field(default_factory=dict)  # by key
    effects: Mapping[tuple[str, str], Row] = field(default_factory=dict)  # by kind and key
    marked: frozenset[str] = frozenset()
    idle: bool = True


NOTHING = Seen()


class Inline(Executor):
    """Without the threads: nobody else is waiting here, and a hop takes longer than what it is for."""

    async def run(self, fn: Callable[[], T]) -> T:
        return fn()


class Opener:
    """Opens what a cut left with the real code; what was seen once is remembered."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._executor = Inline(1)
        self._known: dict[str, Seen] = {}

    @property
    def count(self) -> int:
        return len(self._known)

    async def open(self, path: str, left: Mapping[str, bytes | None]) -> Seen:
        """`path` is the database's; AssertionError when what is left is neither a database nor nothing."""
        mark = _mark(left)
        if mark not in self._known:
            self._known[mark] = await self._look(path, left)
        return self._known[mark]

    async def _look(self, path: str, left: Mapping[str, bytes | None]) -> Seen:
        target = self._folder / "image"
        shutil.rmtree(target, ignore_errors=True)
        lay_out(left, target)
        place = target / path
        try:
            if place.name == "state.db":
                if not place.exists():
                    return NOTHING
                state = await StateFile.open(place, self._executor)
                marked = frozenset(await state.marked())
                await state.close()
                return Seen(_digest(place), marked=marked)
            return await self._session(place)
        except StorageError as error:
            raise AssertionError(f"cannot be opened after a cut: {error}") from error

    async def _session(self, place: Path) -> Seen:
        if not place.exists():
            assert not place.with_name(place.name + "-wal").exists(), "only the log is left"
            return NOTHING
        file = await SessionFile.open(place, place.stem, self._executor)
        prompts = {row["key"]: row for row in await file.prompts()}
        effects = {(row["kind"], row["key"]): row for row in await file.effects()}
        idle = await file.idle()
        await file.close()
        return Seen(_digest(place), prompts, effects, idle=idle)


def database_of(path: str, root: Path) -> str | None:
    """Which database a changed path belongs to, relative to the root; the index is derived, and none."""
    place = Path(path)
    if not path or place == root:
        return None
    name = place.name.removesuffix(".new").removesuffix("-wal")
    if not name.endswith(".db") or name == "index.db":
        return None
    return str(place.with_name(name).relative_to(root))


def _mark(left: Mapping[str, bytes | None]) -> str:
    digest = hashlib.blake2b()
    for path, content in sorted(left.items()):
        digest.update(path.encode() + (b"" if content is None else content))
    return digest.hexdigest()


def _digest(path: Path) -> str:
    """Of all that is in it; it has been closed, so it is one file."""
    connection = sqlite3.connect(path)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        names = [
            name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        ]
        rows = [connection.execute(f'SELECT * FROM "{name}"').fetchall() for name in names]
        return hashlib.blake2b(repr((names, rows)).encode()).hexdigest()
    finally:
        connection.close()
