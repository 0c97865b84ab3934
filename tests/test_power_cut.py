"""The power is cut at every step of the real storage, in every way a disk may take it; then it is opened."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cut_kit import NOTHING, Opener, Seen, database_of, memory
from disk_kit import Disk, Model, Op, read_journal, recording

pytestmark = pytest.mark.proof("power")

ROOT = Path(__file__).parent.parent
DATA = "new/folder"  # of the bot, below what is recorded: it has to be made first
STATE = f"{DATA}/state.db"
STORM = Path(__file__).parent / "data" / "storm.py"
MUTANTS = (  # of data/storm.py
    *("call_before_intent", "mark_after_accept", "never_full"),
    *("no_folder_flush", "no_shard_flush", "no_template_flush"),
)
SEEDS = 1  # different cuts of the kind "any sectors, any names", at each step


@pytest.fixture
def opener() -> Iterator[Opener]:
    with memory() as folder:
        yield Opener(folder)


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
                elif (database := database_of(path, self.disk.root)) is not None:
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
                row = least.effects.get((rest[0], rest[1]))
                assert row and row["state"] == "sending", f"{rest} was carried out before it was on the disk"


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
    tmp_path: Path, opener: Opener, record_property: Callable[[str, object], None]
) -> None:
    """Every state found is one that was; what is owed outside is marked, and planned before it is done."""
    cutter = Cutter(Disk(tmp_path / "disk"), opener)
    await cutter.go(storm(tmp_path))
    assert [len(keys) for keys in cutter.owed.values()] == [3] * 4
    record_property("cases", opener.count)


@pytest.mark.parametrize("mutant", MUTANTS)
async def test_a_rule_taken_out_of_the_storage_is_noticed(
    tmp_path: Path, opener: Opener, mutant: str
) -> None:
    """Without it something acknowledged is missing, unmarked, or carried out before it was planned."""
    with pytest.raises(AssertionError, match=r"step \d+"):
        await Cutter(Disk(tmp_path / "disk"), opener).go(storm(tmp_path, mutant))
