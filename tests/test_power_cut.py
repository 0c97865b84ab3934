"""The power is cut at every step of the real storage, in every way a disk may take it; then it is opened."""

from __future__ import annotations

import hashlib
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import pytest
from disk_kit import Disk, Model, Op, lay_out, read_journal, recording

from storage import Executor, SessionFile, StateFile, StorageError

T = TypeVar("T")
pytestmark = pytest.mark.proof("power")

ROOT = Path(__file__).parent.parent
DATA = "new/folder"  # of the bot, below what is recorded: it has to be made first
STATE = f"{DATA}/state.db"
STORM = Path(__file__).parent / "data" / "storm.py"
MUTANTS = {  # of data/storm.py, and what is said of each
    "call_before_intent": "was carried out while",
    "mark_after_accept": "is not marked",
    "never_full": "was acknowledged before it was on the disk|is not marked",
    "no_folder_flush": "was acknowledged before it was on the disk|is not marked",
    "no_shard_flush": "was acknowledged before it was on the disk",
    "no_template_flush": "cannot be opened after a cut",
}
SEEDS = 1  # different cuts of the kind "any sectors, any names", at each step


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder in memory where there is one: thousands of images are laid out and opened in it."""
    place = "/dev/shm" if Path("/dev/shm").is_dir() else None
    folder = Path(tempfile.mkdtemp(prefix="threadsmith-", dir=place))
    yield folder
    shutil.rmtree(folder)


@dataclass(frozen=True)
class Seen:
    """What a database held when it was opened after a cut."""

    digest: str
    prompts: Mapping[str, str]
    effects: Mapping[tuple[str, str], str]
    marked: frozenset[str]
    idle: bool


NOTHING = Seen("", {}, {}, frozenset(), True)


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

    def close(self) -> None:
        self._executor.close()

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
                return Seen(_digest(place), {}, {}, marked, True)
            return await self._session(place)
        except StorageError as error:
            raise AssertionError(f"cannot be opened after a cut: {error}") from error

    async def _session(self, place: Path) -> Seen:
        if not place.exists():
            assert not place.with_name(place.name + "-wal").exists(), "only the log is left"
            return NOTHING
        file = await SessionFile.open(place, place.stem, self._executor)
        prompts = {row["key"]: row["state"] for row in await file.prompts()}
        effects = {(row["kind"], row["key"]): row["state"] for row in await file.effects()}
        idle = await file.idle()
        await file.close()
        return Seen(_digest(place), prompts, effects, frozenset(), idle)


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


@dataclass
class Cutter:
    """Goes through a recording and cuts the power behind every step."""

    disk: Disk
    opener: Opener
    cuts: int = 0
    states: dict[str, list[str]] = field(default_factory=dict)  # each database's, in the order they came
    now: dict[tuple[str, Model], Seen] = field(default_factory=dict)
    owed: dict[str, set[str]] = field(default_factory=dict)  # session -> acknowledged keys

    async def go(self, ops: list[Op]) -> None:
        for step, op in enumerate(ops):
            path = self.disk.do(op)
            try:
                if op.kind == "K":
                    self._told(op.data.decode())
                elif (database := _database(path, self.disk.root)) is not None:
                    await self._cut(database, step)
            except AssertionError as error:
                raise AssertionError(f"step {step} ({op.kind} {op.path}): {error}") from error

    async def _cut(self, path: str, step: int) -> None:
        for model in (Model.ALL, Model.LEAST, Model.NAMES, *(Model.SOME,) * SEEDS):
            self.cuts += 1
            chance = random.Random(f"{step} {self.cuts}")
            left = self.disk.left(model, chance, path.removesuffix(".db"))
            seen = await self.opener.open(path, left)
            self.now[path, model] = seen
            self._one_that_was(path, model, seen)
            assert self.owed.get(Path(path).stem, set()) <= seen.prompts.keys(), (
                f"{model}: lost what was said"
            )
        self._marked(path)

    def _one_that_was(self, path: str, model: Model, seen: Seen) -> None:
        """What is left is what the running system had seen at some time, never a mixture."""
        were = self.states.setdefault(path, [NOTHING.digest])
        if model is Model.ALL and seen.digest != were[-1]:
            were.append(seen.digest)
        assert seen.digest in were, f"{model}: a state that never was"

    def _marked(self, changed: str) -> None:
        """A session that owes something is marked, so that the next start looks into it."""
        for path in self.states if changed == STATE else (changed,):
            for of_state, of_session in ((Model.LEAST, Model.ALL), (Model.ALL, Model.LEAST)):
                session = self.now.get((path, of_session), NOTHING)
                marked = self.now.get((STATE, of_state), NOTHING).marked
                assert session.idle or Path(path).stem in marked, f"{path} owes something and is not marked"

    def _told(self, lines: str) -> None:
        for what, session, *rest in map(str.split, lines.splitlines()):
            path = f"{DATA}/sessions/{session[:2]}/{session}.db"
            least = self.now.get((path, Model.LEAST), NOTHING)
            if what == "accepted":
                self.owed.setdefault(session, set()).add(rest[0])
                assert rest[0] in least.prompts, f"{rest[0]} was acknowledged before it was on the disk"
            if what == "call":
                state = least.effects.get((rest[0], rest[1]))
                assert state == "sending", f"{rest} was carried out while {state} on the disk"


def _database(path: str, root: Path) -> str | None:
    """Which database a changed path belongs to."""
    place = Path(path)
    if not path or place == root:
        return None
    name = place.name.removesuffix(".new").removesuffix("-wal")
    return str(place.with_name(name).relative_to(root)) if name.endswith(".db") else None


def storm(tmp_path: Path, *mutants: str) -> list[Op]:
    """What the storage does with several sessions at work at a time."""
    disk, journal = tmp_path / "disk", tmp_path / "journal"
    disk.mkdir()
    done = subprocess.run(
        [sys.executable, str(STORM), str(disk / DATA), *mutants],
        env={**recording(disk, journal), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return read_journal(journal)


async def test_what_was_acknowledged_is_there_wherever_the_power_is_cut(
    tmp_path: Path, memory: Path, record_property: Callable[[str, object], None]
) -> None:
    """Four sessions at work. Every state found is one that was; what is owed outside is marked and planned."""
    ops = storm(tmp_path)
    opener = Opener(memory)
    cutter = Cutter(Disk(tmp_path / "disk"), opener)
    await cutter.go(ops)
    opener.close()
    assert len(cutter.owed) == 4
    assert {len(keys) for keys in cutter.owed.values()} == {4}
    record_property("cases", cutter.cuts)
    print(f"{len(ops)} steps, {cutter.cuts} cuts, {opener.count} different images")


@pytest.mark.parametrize("mutant", sorted(MUTANTS))
async def test_a_rule_taken_out_of_the_storage_is_noticed(tmp_path: Path, memory: Path, mutant: str) -> None:
    """Without it something acknowledged is missing, unmarked, or carried out before it was planned."""
    opener = Opener(memory)
    with pytest.raises(AssertionError, match=MUTANTS[mutant]):
        await Cutter(Disk(tmp_path / "disk"), opener).go(storm(tmp_path, mutant))
    opener.close()
