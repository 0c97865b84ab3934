"""Random lives of a session, with crashes, held against a model of a dozen lines."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from storage import Executor, NewEffect, NewEvent, NewPrompt, SessionFile
from storage.session_file import create_session_file


class Thread:
    team, channel, thread_ts = "T1", "C1", "1.1"


@dataclass
class Model:
    """What ought to be: prompts in order, by key, and everything that was ever promised."""

    epoch: int = 1
    states: dict[str, str] = field(default_factory=dict)
    effects: list[str] = field(default_factory=list)
    seq: int = 0

    def first_open(self) -> str | None:
        return next(
            (k for k, state in self.states.items() if state in ("queued", "running", "waiting")), None
        )

    def running(self) -> str | None:
        return next((key for key, state in self.states.items() if state == "running"), None)

    def id(self, key: str) -> int:
        return list(self.states).index(key) + 1


class Life:
    def __init__(self, path: Path, executor: Executor, dice: random.Random) -> None:
        self.path, self.executor, self.dice, self.model = path, executor, dice, Model()
        self.key = 0

    async def open(self) -> None:
        self.session = await SessionFile.open(self.path, "s", self.executor)

    def some(self) -> str:
        return self.dice.choice(list(self.model.states))

    async def accept(self) -> None:
        again = self.model.states and self.dice.random() < 0.3
        key = self.some() if again else f"k{self.dice.random()}"
        accepted = await self.session.accept(NewPrompt("slack", key, "U1", "Ann", "x", 1.0), self.model.epoch)
        assert accepted is not None
        assert accepted.new == (key not in self.model.states)
        self.model.states.setdefault(key, "queued")
        assert accepted.prompt_id == self.model.id(key)
        assert accepted.state == self.model.states[key]

    async def claim(self) -> None:
        row = await self.session.claim(self.model.epoch)
        first = self.model.first_open()
        if first is None or self.model.states[first] != "queued":
            assert row is None
        else:
            assert row is not None
            assert row["key"] == first
            self.model.states[first] = "running"

    async def end(self) -> None:
        """By whoever: right or wrong prompt, this or an older boot."""
        key = self.some()
        epoch = self.model.epoch - self.dice.choice([0, 0, 1])
        state = self.dice.choice(["done", "failed", "stopped", "waiting"])
        may = self.model.states[key] == "running" and epoch == self.model.epoch
        events, effect = [NewEvent("turn.finished", {}, self.model.id(key))], f"{key}:{self.dice.random()}"
        if state == "waiting":
            done = await self.session.wait(self.model.id(key), epoch, events, [NewEffect("post", effect, {})])
        else:
            done = await self.session.finish(
                self.model.id(key), epoch, state, events, [NewEffect("post", effect, {})]
            )
        assert done == may
        if may:
            self.model.states[key] = state
            self.model.effects.append(effect)

    async def answer(self) -> None:
        key = self.some()
        assert await self.session.answer(self.model.id(key), "acme/web") == (
            self.model.states[key] == "waiting"
        )
        if self.model.states[key] == "waiting":
            self.model.states[key] = "queued"

    async def remove(self) -> None:
        key = self.some()
        if self.model.states[key] in ("queued", "waiting"):
            self.model.states[key] = "removed"
        assert await self.session.remove("slack", key) == self.model.states[key]

    async def append(self) -> None:
        key, epoch = self.some(), self.model.epoch - self.dice.choice([0, 0, 1])
        may = self.model.states[key] == "running" and epoch == self.model.epoch
        assert bool(await self.session.append([NewEvent("agent.text", {}, self.model.id(key))], epoch)) == may

    async def crash(self) -> None:
        """The next boot: reopen, a new epoch, and what ran is queued again."""
        await self.session.close()
        await self.open()
        self.model.epoch += 1
        running = self.model.running()
        requeued = await self.session.requeue_running(self.model.epoch)
        assert [row["key"] for row in requeued] == ([running] if running else [])
        if running:
            self.model.states[running] = "queued"

    async def check(self) -> None:
        prompts = await self.session.prompts()
        assert [(row["key"], row["state"]) for row in prompts] == list(self.model.states.items())
        assert [effect["key"] for effect in await self.session.effects()] == self.model.effects
        seqs = [event["seq"] for event in await self.session.events(limit=100_000)]
        assert seqs == list(range(1, len(seqs) + 1))
        assert len(seqs) >= self.model.seq, "an event was lost"
        self.model.seq = len(seqs)


@pytest.mark.parametrize("seed", range(8))
async def test_a_session_of_random_steps_and_crashes_is_always_what_the_model_says(
    tmp_path: Path, seed: int
) -> None:
    executor, dice = Executor(), random.Random(seed)
    create_session_file(tmp_path / "s.db", "s", Thread, 1.0)
    life = Life(tmp_path / "s.db", executor, dice)
    await life.open()
    await life.accept()
    steps = [life.accept, life.claim, life.claim, life.end, life.answer, life.remove, life.append, life.crash]
    weights = [4, 4, 4, 5, 2, 1, 3, 1]
    for _ in range(120):
        await dice.choices(steps, weights)[0]()
        await life.check()
    await life.session.close()
    executor.close()
