"""Sessions at work on the real storage, saying on standard output what they have promised, and to whom.

    python storm.py FOLDER [MUTANT]

A line says `accepted SESSION KEY` where the outside would be acknowledged, `call SESSION KIND KEY` where the
outside would be written to. A MUTANT takes one rule out of the code; see MUTANTS.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import storage.creation
import storage.folder
from storage import DataFolder, Executor, File, NewEffect, NewEvent, NewPrompt, SessionStore, StateFile

SESSIONS = ("ab1", "ab2", "cd1", "ef1")
PROMPTS = 2


@dataclass
class Place:
    channel: str
    team: str = "T"
    thread_ts: str = "1.1"


def tell(*words: str) -> None:
    os.write(1, (" ".join(words) + "\n").encode())


class Storm:
    call_first = False
    mark_last = False

    def __init__(self, state: StateFile, store: SessionStore, epoch: int) -> None:
        self.state = state
        self.store = store
        self.epoch = epoch

    async def session(self, name: str) -> None:
        for number in range(PROMPTS):
            await self.accept(name, f"{name}:{number}")
            if number % 2:
                await self.work(name)
        while await self.work(name):
            pass
        async with self.store.use(name) as file:
            await self.state.clear_if(name, file.idle)
        await self.accept(name, f"{name}:late")

    async def accept(self, name: str, key: str) -> None:
        prompt = NewPrompt("slack", key, "U1", "Ann", f"do {key} " + "x" * 300, time.time())
        async with self.marking(name), self.store.use(name, create=Place(name)) as file:
            await file.accept(prompt, self.epoch)
        if self.mark_last:
            async with self.state.marking(name):
                pass
        tell("accepted", name, key)

    @asynccontextmanager
    async def marking(self, name: str) -> AsyncIterator[None]:
        async with contextlib.nullcontext() if self.mark_last else self.state.marking(name):
            yield

    async def work(self, name: str) -> bool:
        """One turn, from the claim to its final message."""
        async with self.store.use(name) as file:
            row = await file.claim(self.epoch)
            if row is None:
                return False
            prompt = row["id"]
            for number in range(3):
                await file.append([NewEvent("agent.text", {"text": "y" * 700 * number}, prompt)], self.epoch)
            await file.stage(prompt, "collect", time.time())
            await self.outside(file, "git.push", f"push:{prompt}", prompt)
            final = NewEffect("thread.post", f"final:{prompt}", {"kind": "final", "prompt_id": prompt})
            events = [NewEvent("turn.finished", {}, prompt)]
            await file.finish(prompt, self.epoch, "done", events, [final], {"title": "T"}, "done")
            await self.outside(file, final.kind, final.key)
            return True

    async def outside(self, file: Any, kind: str, key: str, prompt: int | None = None) -> None:
        """A turn's own effect, with its prompt, or a post to the thread."""
        if self.call_first:
            tell("call", file.name, kind, key)
        if prompt is None:
            row = await file.effect_plan(kind, key, {})
            await file.effect_sending(row["id"])
        else:
            row = await file.plan_of_turn(prompt, self.epoch, kind, key, {})
            await file.send_of_turn(prompt, self.epoch, row["id"])
        if not self.call_first:
            tell("call", file.name, kind, key)
        await file.effect_done(row["id"], {"seen": True})


# -- rules taken out of the code --------------------------------------------------------------------


def never_full() -> None:
    """synchronous=NORMAL for everything."""
    original = File._set_durable

    def lazily(self: File, durable: bool) -> None:
        original(self, durable)
        self._db.execute("PRAGMA synchronous=NORMAL")

    File._set_durable = lazily  # type: ignore[method-assign]  # that is the point


def no_folder_flush() -> None:
    storage.creation.flush_folder = storage.folder.flush_folder = lambda folder: None


def no_shard_flush() -> None:
    """The name of a new shard folder is not flushed."""
    original = storage.creation.flush_folder
    storage.creation.flush_folder = lambda folder: None if folder.name == "sessions" else original(folder)


def no_template_flush() -> None:
    """A new session's file gets its name before its content is on the disk."""
    original = os.fsync

    def files_not(handle: int) -> None:
        if ".db.new" not in os.readlink(f"/proc/self/fd/{handle}"):
            original(handle)

    os.fsync = files_not  # type: ignore[assignment]  # that is the point


def mark_after_accept() -> None:
    Storm.mark_last = True


def call_before_intent() -> None:
    Storm.call_first = True


MUTANTS: dict[str, Callable[[], None]] = {
    each.__name__: each
    for each in (
        *(never_full, no_folder_flush, no_shard_flush, no_template_flush),
        *(mark_after_accept, call_before_intent),
    )
}


async def main(path: str, *mutants: str) -> None:
    for name in mutants:
        MUTANTS[name]()
    folder, executor = DataFolder(Path(path)), Executor()
    folder.acquire()
    (folder.sessions / "ef").mkdir()  # as a bot leaves it that was killed right after making it
    state = await StateFile.open(folder.state_path, executor)
    store = SessionStore(folder, executor, lru=2)
    storm = Storm(state, store, await state.next_epoch())
    await asyncio.gather(*(storm.session(name) for name in SESSIONS))
    await store.close()
    await state.close()
    executor.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
