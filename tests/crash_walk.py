"""A boot on the deterministic loop, from its start until nothing is owed any more, and the verdict on it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

from crash_bot import Fault, WireBot, wired
from crash_loop import DeterministicLoop, Stalled
from crash_world import Outside

from bot.sessions import Sessions
from bot.slack.pace import Pacer

Step = tuple[Callable[[Outside], bool], Callable[[Outside], Any]]  # when the world is so, people do this
_BEGINNING = 1_790_000_000.0

# What of a file decides how it goes on. Times and the numbers of boots do not: after a crash all are old.
_TABLES = {
    "session": "title, repository, agent, branch, branch_number, base_commit, head_commit,"
    " pull_request IS NULL",
    "prompts": "id, source, key, author_id, text, state, repository, attempt, interrupted",
    "turns": "prompt_id, attempt, finished_at IS NULL,"
    " (SELECT group_concat(key) FROM json_each(stages) WHERE key IN ('lease', 'moved'))",
    "participants": "author_id",
    "effects": "kind, key, state, json_extract(intent, '$.outcome'), json_extract(intent, '$.notes')",
    "dirty": "session_id",
    "new_threads": "source, key",
    "classifier_labels": "prompt_id, suggested, chosen",
}


@dataclass(frozen=True)
class Scenario:
    """What people do, in order; each step waits for its moment."""

    name: str
    steps: Sequence[Step]
    limits: dict[str, int] = field(default_factory=dict)
    asks: bool = False  # which repository is meant
    redelivers: bool = True  # False: Slack gave up, and what was missed has to be read back
    redelivery_seconds: float = 0.0  # until Slack tells again what was not acknowledged before a start
    promise: Callable[[list[str]], list[str]] = lambda states: []  # of the prompts' last states, in order


class Walk:
    """One boot, from its start until nothing is owed any more."""

    usurped_at = 0  # the point at which another boot takes over, if any
    fault: Fault | None = None
    usurping: asyncio.Task[None] | None = None

    def __init__(self, scenario: Scenario, folder: Path, world: Outside) -> None:
        self._scenario = scenario
        self._folder = folder
        self._world = world
        self._done = False
        self._digests: dict[str, tuple[int, str]] = {}
        self.here: Callable[[str, Callable[[], str]], None] = lambda point, signature: None
        self.count = self.calls = 0
        self._heir: Sessions | None = None
        self._bot: WireBot

    def to_the_end(self) -> list[str]:
        loop = DeterministicLoop()
        asyncio.set_event_loop(loop)
        limits, asks = self._scenario.limits, self._scenario.asks
        with wired(self._folder, self._world, self._hit, limits, asks) as self._bot, _clock(loop):
            self._bot.wires.fault = self.fault
            self._bot.wires.redelivery_seconds = self._scenario.redelivery_seconds
            if not self._scenario.redelivers:
                self._world.give_up()
            stalled: list[str] = []
            try:
                loop.run_until(self._bot.start(), self._settled)
            except Stalled as silence:
                stalled = [str(silence)]
            self._done, self.calls = True, self._bot.wires.calls
            loop.run_until(self._close(), lambda: True)
        loop.close()
        asyncio.set_event_loop(None)
        return stalled + self._verdict()

    async def _close(self) -> None:
        if self._heir is not None:
            await self._heir.close()
        await self._bot.close()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def _hit(self, point: str) -> None:
        if not self._done:
            self.count += 1
            self.here(point, self._signature)
            self._people()
            if self.count == self.usurped_at and hasattr(self._bot, "house"):
                self.usurping = asyncio.ensure_future(self._usurp())

    async def _usurp(self) -> None:
        house = self._bot.house
        heir = Sessions(replace(house, epoch=await house.state.next_epoch()))
        await heir.recover()
        self._heir = heir

    def _people(self) -> None:
        steps = self._scenario.steps
        while self._world.step < len(steps) and steps[self._world.step][0](self._world):
            self._world.step += 1
            steps[self._world.step - 1][1](self._world)
            self._bot.wires.news.set()
        if self._world.answer_all():
            self._bot.wires.news.set()

    # -- what it is like now ---------------------------------------------------------------------

    def _signature(self) -> str:
        wires = self._bot.wires
        disks = sorted(
            (Path(path).stem, self._digest(path)) for path in wires.databases if "index" not in path
        )
        text = json.dumps([disks, self._world.signature(), self._files()], default=str)
        return hashlib.sha256(text.encode()).hexdigest()

    def _digest(self, path: str) -> str:
        """Of one database; looked at again only after a commit to any."""
        db, commits = self._bot.wires.databases[path], self._bot.wires.commits
        known = self._digests.get(path)
        if known is None or known[0] != commits:
            tables = {row[0] for row in db.conn.execute("SELECT name FROM sqlite_master")}
            rows = [
                db.conn.execute(f"SELECT {columns} FROM {table}").fetchall()
                for table, columns in _TABLES.items()
                if table in tables
            ]
            known = self._digests[path] = (commits, repr(rows))
        return known[1]

    def _files(self) -> list[str]:
        """What lies beside the databases: kept work, and refs of mirrors."""
        kept = sorted(path.name for path in (self._folder / "kept").rglob("*") if path.is_file())
        mirrors = sorted((self._folder / "mirrors").rglob("stand-in.json"))
        return kept + [repr(json.loads(path.read_text())["refs"]) for path in mirrors]

    def _settled(self) -> bool:
        """Everything was said, told and answered, and nothing is owed."""
        self._people()
        world = self._world
        if not self._bot.wires.connected:
            return False
        if world.step < len(self._scenario.steps) or not all(d.acknowledged for d in world.deliveries):
            return False
        if any(post.streaming for post in world.posts):
            return False  # what is being closed gets the time it needs, and no more than that
        return not any(
            db.conn.execute(sql).fetchone()[0]
            for path, db in self._bot.wires.databases.items()
            for sql in _OWED.get(path.rpartition("/")[2], _OWED_BY_SESSION)
        )

    # -- what was promised -----------------------------------------------------------------------

    def _verdict(self) -> list[str]:
        world = self._world
        wrong = list(dict.fromkeys(world.wrong))
        wrong += _wrong_in_slack(world) + _wrong_on_the_host(world) + _wrong_order(world)
        asked = [prompt for prompt in world.said if prompt not in world.taken_back]
        prompts = self._prompts()
        wrong += [f"{key} was lost" for key in asked if key not in {row[1] for row in prompts}]
        wrong += [f"{row[1]} was invented" for row in prompts if row[1] not in world.said]
        for number, key, state, interrupted, session in prompts:
            finals = [post for post in world.posts if post.key == f"{session}:final:{number}"]
            if state not in {"done", "failed", "stopped", "removed"}:
                wrong.append(f"{key} is left {state}")
            if len(finals) != (state != "removed"):
                wrong.append(f"{key} ({state}) has {len(finals)} final messages")
            if interrupted > 2 * self._attempts:
                wrong.append(f"{key} was taken up {interrupted} times")
        wrong += [f"{text!r} was begun too often" for text in world.runs if self._too_often(text)]
        return wrong + self._scenario.promise(self.states())

    def _too_often(self, text: str) -> bool:
        return self._world.runs.count(text) > self._attempts

    @property
    def _attempts(self) -> int:
        return self._scenario.limits.get("attempts", 3)

    def states(self) -> list[str]:
        return [row[2] for row in self._prompts()]

    def _prompts(self) -> list[tuple[int, str, str, int, str]]:
        """Of every session there is on the disk, opened or not."""
        found = []
        for path in sorted((self._folder / "sessions").rglob("*.db")):
            with closing(sqlite3.connect(path)) as db:
                rows = db.execute("SELECT id, key, state, interrupted FROM prompts ORDER BY id")
                found += [(*row, path.stem) for row in rows]
        return found


_OWED_BY_SESSION = (
    "SELECT count(*) FROM prompts WHERE state IN ('queued', 'running')",
    "SELECT count(*) FROM effects WHERE state IN ('pending', 'sending')",
)
_OWED = {"state.db": ("SELECT count(*) FROM dirty",), "index.db": ("SELECT 0",)}


def _wrong_in_slack(world: Outside) -> list[str]:
    keys = [post.key for post in world.posts if post.key]
    wrong = [f"{key} was posted {keys.count(key)} times" for key in sorted(set(keys)) if keys.count(key) > 1]
    if any(post.streaming for post in world.posts):
        wrong.append("a stream is left open")
    if "processing" in world.status.values():
        wrong.append("the thread still shows that something runs")
    wrong += [f"{post.key} can still be answered" for post in world.open_questions()]
    return wrong


def _wrong_on_the_host(world: Outside) -> list[str]:
    """A branch without a pull request is right where the thread names it: the turn was given up behind it."""
    finals = [f"{post.text} {post.blocks}" for post in world.posts if ":final:" in post.key]
    wrong = []
    for ref, head in world.remote.refs.items():
        texts = [world.remote.objects[sha]["body"]["text"] for sha in world.remote.history(head)]
        wrong += [f"{ref} holds {text!r} twice" for text in sorted(set(texts)) if texts.count(text) > 1]
        files = world.remote.files(head)
        for path, text in files.items():
            if path != "README.md" and path not in text:
                wrong.append(f"{path} on {ref} holds {text!r}")
        pulls = [pull for pull in world.pulls if f"refs/heads/{pull.head}" == ref]
        named = any(ref.removeprefix("refs/heads/") in each for each in finals)
        if ref != "refs/heads/main" and len(pulls) != 1 and not (named and not pulls):
            wrong.append(f"{ref} has {len(pulls)} pull requests")
    return wrong


def _wrong_order(world: Outside) -> list[str]:
    """Within one thread, prompts begin in the order they were said."""
    begun = list(dict.fromkeys(world.runs))
    wrong = []
    for asked in world.asked().values():
        in_order = [text for text in asked if text in begun]
        if [text for text in begun if text in asked] != in_order:
            wrong.append(f"they ran in the order {begun}, not {in_order}")
    return wrong


@contextmanager
def _clock(loop: DeterministicLoop) -> Iterator[None]:
    """Whoever asks for the time is told the loop's own."""
    with (
        patch.object(time, "time", lambda: _BEGINNING + loop.time()),
        patch.object(time, "monotonic", loop.time),
        patch.object(Pacer.__init__, "__defaults__", (loop.time,)),
    ):
        yield
