"""What a process did to a folder, recorded (data/recorder.c), and what a power cut would have left of it.

A file holds what was in it when it was last flushed; of what was written since, any 512-byte sectors may be
there. A name is there for certain once its folder was flushed; until then each may or may not be.
`Model` says how unlucky a cut is.
"""

from __future__ import annotations

import atexit
import os
import random
import shutil
import struct
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cache
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent / "data" / "recorder.c"
SECTOR = 512
_HEAD = struct.Struct("<IciQQI")


@cache
def recorder() -> Path:
    """The library, compiled once a run; skips where there is no compiler."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler, which makes the recorder of disk and network")
    made = Path(os.environ.get("TMPDIR", "/tmp")) / f"threadsmith-recorder-{os.getpid()}.so"
    command = [compiler, "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", str(made), str(SOURCE), "-ldl"]
    subprocess.run(command, check=True, capture_output=True, text=True)
    atexit.register(made.unlink, missing_ok=True)
    return made


def recording(root: Path, journal: Path, *, children: bool = False) -> dict[str, str]:
    """The environment that records a program's use of `root`."""
    more = {"RECORDER_CHILDREN": "1"} if children else {}
    preload = {"LD_PRELOAD": str(recorder()), "RECORDER_ROOT": str(root), "RECORDER_JOURNAL": str(journal)}
    return {**os.environ, **preload, **more}


@dataclass(frozen=True, slots=True)
class Op:
    """One record; `kind` is the letter that recorder.c gives it."""

    kind: str
    inode: int  # for the network's: the descriptor
    offset: int
    path: str
    data: bytes


def read_journal(path: Path) -> list[Op]:
    """All whole records; the last one may be cut off."""
    raw, at, ops = path.read_bytes(), 0, []
    while at + _HEAD.size <= len(raw):
        length, kind, _, inode, offset, first = _HEAD.unpack_from(raw, at)
        end = at + 4 + length
        if end > len(raw):
            break
        body = raw[at + _HEAD.size : end]
        ops.append(Op(kind.decode(), inode, offset, body[:first].decode(), body[first:]))
        at = end
    return ops


class Model(Enum):
    """What of the unflushed is left after a cut."""

    LEAST = "nothing of it"
    NAMES = "names, but not the content"  # as ext4 may, which keeps names in order and content apart
    SOME = "any sectors, any names"
    ALL = "all of it"


class File:
    """`now` is what the running system sees."""

    def __init__(self) -> None:
        self.now = bytearray()
        self.flushed = b""
        self.since: list[tuple[int, bytes]] = []  # writes since the last flush; (size, b"") for a truncation
        self._flushing: int | None = None

    def write(self, offset: int, data: bytes) -> None:
        _put(self.now, offset, data)
        self.since.append((offset, data))

    def truncate(self, size: int) -> None:
        _resize(self.now, size)
        self.since.append((size, b""))

    def flush_begins(self) -> None:
        self._flushing = len(self.since)

    def flushed_now(self) -> None:
        """What was written while the flush went on is not part of it."""
        count = len(self.since) if self._flushing is None else self._flushing
        kept = bytearray(self.flushed)
        for offset, data in self.since[:count]:
            _apply(kept, offset, data)
        self.flushed, self.since, self._flushing = bytes(kept), self.since[count:], None

    def left(self, model: Model, chance: random.Random) -> bytes:
        if model is Model.ALL:
            return bytes(self.now)
        if model is not Model.SOME or not self.since:
            return self.flushed
        kept = bytearray(self.flushed)
        for offset, data in self.since:
            for at, sector in _sectors(offset, data):
                if chance.random() < 0.5:
                    _apply(kept, at, sector)
        return bytes(kept)


def _resize(content: bytearray, size: int) -> None:
    del content[size:]
    content.extend(bytes(size - len(content)))


def _put(content: bytearray, offset: int, data: bytes) -> None:
    if len(content) < offset:
        _resize(content, offset)
    content[offset : offset + len(data)] = data


def _apply(content: bytearray, offset: int, data: bytes) -> None:
    if data:
        _put(content, offset, data)
    else:
        _resize(content, offset)


def _sectors(offset: int, data: bytes) -> Iterator[tuple[int, bytes]]:
    """A write in the pieces a disk writes whole; a truncation is one."""
    if not data:
        yield offset, data
    at = 0
    while at < len(data):
        end = at + SECTOR - (offset + at) % SECTOR
        yield offset + at, data[at:end]
        at = end


@dataclass(eq=False)
class Folder:
    """`now` is what the running system sees, `since` what each name was at any time since the last flush."""

    now: dict[str, File | Folder] = field(default_factory=dict)
    flushed: dict[str, File | Folder] = field(default_factory=dict)
    since: dict[str, list[File | Folder | None]] = field(default_factory=dict)

    def put(self, name: str, node: File | Folder | None) -> None:
        self.since.setdefault(name, [self.flushed.get(name)]).append(node)
        if node is None:
            del self.now[name]
        else:
            self.now[name] = node

    def flush(self) -> None:
        self.flushed = dict(self.now)
        self.since.clear()

    def left(self, model: Model, chance: random.Random) -> Mapping[str, File | Folder]:
        if model in {Model.ALL, Model.NAMES}:
            return self.now
        if model is Model.LEAST:
            return self.flushed
        left = dict(self.flushed)
        for name, nodes in self.since.items():
            node = chance.choice(nodes)
            left.pop(name, None)
            if node is not None:
                left[name] = node
        return left


class Disk:
    """A folder as a recorded process left it, step by step."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.top = Folder()
        self._open: dict[int, File] = {}

    def do(self, op: Op) -> str:
        """Take one step. Returns the path that it may have changed below the folder, "" for none."""
        if op.kind == "X":
            raise AssertionError(f"{op.path} was written by {op.data.decode()}, which nobody recorded")
        if op.kind in "OZWTSF":
            self._on_file(op)
            return op.path
        if op.kind == "f":
            self._folder(op.path).flush()
            return op.path
        if op.kind in "RLUM":
            self._on_name(op)
            return op.path
        return ""

    def _on_file(self, op: Op) -> None:
        if op.path.endswith(" (deleted)"):
            return  # it never had a name, or has none any more: no cut leaves any of it
        if op.kind in "OZ":
            self._opened(op)
        file = self._open[op.inode]
        if op.kind == "W":
            file.write(op.offset, op.data)
        elif op.kind == "T":
            file.truncate(op.offset)
        elif op.kind == "Z" and file.now:
            file.truncate(0)
        elif op.kind == "S":
            file.flush_begins()
        elif op.kind == "F":
            file.flushed_now()

    def _opened(self, op: Op) -> None:
        folder, name = self._parent(op.path)
        known = folder.now.get(name)
        if known is None:
            known = File()
            folder.put(name, known)
        assert isinstance(known, File)
        self._open[op.inode] = known

    def _on_name(self, op: Op) -> None:
        folder, name = self._parent(op.path)
        if op.kind == "M":
            folder.put(name, Folder())
            return
        node = folder.now[name]
        if op.kind in "RU":
            folder.put(name, None)
        if op.kind in "RL":
            to, other = self._parent(op.data.decode())
            to.put(other, node)

    def _parent(self, path: str) -> tuple[Folder, str]:
        place = Path(path)
        return self._folder(str(place.parent)), place.name

    def _folder(self, path: str) -> Folder:
        found = self.top
        for part in Path(path).relative_to(self.root).parts:
            below = found.now[part]
            assert isinstance(below, Folder)
            found = below
        return found

    # -- after the cut -----------------------------------------------------------------------------

    def left(self, model: Model, chance: random.Random, within: str = "") -> dict[str, bytes | None]:
        """Path below the root -> content, None for a folder; only what begins with `within`."""
        return dict(_walk(self.top, "", model, chance, within))

    def flush_names(self) -> None:
        """As a file system that keeps names in order does with every flush of any file."""
        _flush_below(self.top)


def _flush_below(folder: Folder) -> None:
    folder.flush()
    for node in folder.now.values():
        if isinstance(node, Folder):
            _flush_below(node)


def _walk(
    folder: Folder, path: str, model: Model, chance: random.Random, within: str
) -> Iterator[tuple[str, bytes | None]]:
    for name, node in folder.left(model, chance).items():
        place = f"{path}{name}"
        if not (place.startswith(within) or within.startswith(f"{place}/")):
            continue
        if isinstance(node, File):
            yield place, node.left(model, chance)
        else:
            yield place, None
            yield from _walk(node, f"{place}/", model, chance, within)


def lay_out(left: Mapping[str, bytes | None], target: Path) -> None:
    """Write what was left to a real folder."""
    target.mkdir(parents=True, exist_ok=True)
    for path, content in left.items():
        place = target / path
        if content is None:
            place.mkdir(exist_ok=True)
        else:
            place.write_bytes(content)
