"""`kill -9` between any two steps, in a process of its own: what was done before is there afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from storage import DataFolder, Executor, SessionStore, StateFile

ROOT = Path(__file__).parent.parent

CHILD = """
import asyncio, os, signal, sys, time
from pathlib import Path
from storage import DataFolder, Executor, NewEffect, NewEvent, NewPrompt, SessionStore, StateFile

class Thread:
    team, channel, thread_ts = "T", "C", "1.1"

def prompt(key):
    return NewPrompt("slack", key, "U1", "Ann", "text of " + key, time.time())

async def main(folder, steps):
    folder = DataFolder(Path(folder)); folder.acquire()
    executor = Executor()
    state = await StateFile.open(folder.state_path, executor)
    store = SessionStore(folder, executor)
    async def all_steps():
        yield "nothing"
        epoch = await state.next_epoch()
        yield "epoch"
        async with state.marking("abc1"):
            yield "marked"
            s = await store.pin("abc1", Thread)
            yield "created"
            await s.accept(prompt("a"), epoch)
            yield "accepted"
        await s.accept(prompt("b"), epoch)
        yield "second"
        await s.claim(epoch)
        yield "claimed"
        await s.append([NewEvent("agent.text", {"text": "working"}, 1)], epoch)
        yield "appended"
        final = NewEffect("slack.post", "final", {})
        await s.finish(1, epoch, "done", [NewEvent("turn.finished", {}, 1)], [final], {"title": "T"}, "done")
        yield "finished"
        await s.effect_sending(1)
        yield "sending"
        await s.effect_done(1, {"ts": "2"})
        yield "sent"
    async for name in all_steps():
        print(name, flush=True)
        if name == steps:
            os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main(*sys.argv[1:]))
"""

STEPS = [
    *("nothing", "epoch", "marked", "created", "accepted", "second"),
    *("claimed", "appended", "finished", "sending", "sent"),
]


def run_and_kill(script: str, *arguments: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize("step", STEPS)
async def test_nothing_done_before_a_kill_is_lost_and_nothing_after_it_is_there(
    tmp_path: Path, step: str
) -> None:
    assert run_and_kill(CHILD, str(tmp_path), step)[-1] == step
    done = STEPS[: STEPS.index(step) + 1]
    folder, executor = DataFolder(tmp_path), Executor()
    folder.acquire()
    state = await StateFile.open(folder.state_path, executor)
    store = SessionStore(folder, executor)
    assert await state.marked() == (["abc1"] if "marked" in done else [])
    assert await state.next_epoch() == (2 if "epoch" in done else 1)
    assert await store.ids() == (["abc1"] if "created" in done else [])
    if "created" in done:
        async with store.use("abc1") as session:
            assert (await session.session())["team"] == "T"
            prompts = await session.prompts()
            assert [p["key"] for p in prompts] == [
                k for s, k in (("accepted", "a"), ("second", "b")) if s in done
            ]
            running = "claimed" in done and "finished" not in done
            assert [row["key"] for row in await session.requeue_running(2)] == (["a"] if running else [])
            types = [event["type"] for event in await session.events()]
            assert ("agent.text" in types) == ("appended" in done)
            assert ("turn.finished" in types) == ("finished" in done)
            assert [m["role"] for m in await session.messages()].count("assistant") == ("finished" in done)
            effects = [effect["state"] for effect in await session.effects()]
            wanted = {"finished": "pending", "sending": "sending", "sent": "done"}.get(step)
            assert effects == ([wanted] if wanted else [])
    await store.close()
    await state.close()
    executor.close()
    folder.release()


STORM = """
import asyncio, sys, time
from pathlib import Path
from storage import DataFolder, Executor, NewPrompt, SessionStore

class Thread:
    team, channel, thread_ts = "T", "C", "1.1"

async def storm(store, n):
    async with store.use(f"abc{n}", Thread) as s:
        for k in range(10_000):
            await s.accept(NewPrompt("slack", f"{n}:{k}", "U1", "Ann", "x" * 200, time.time()), 1)
            print(f"abc{n}/{n}:{k}", flush=True)

async def main():
    folder = DataFolder(Path(sys.argv[1])); folder.acquire()
    store = SessionStore(folder, Executor(), lru=2)
    await asyncio.gather(*(storm(store, n) for n in range(6)))

asyncio.run(main())
"""


async def test_every_prompt_acknowledged_in_a_storm_survives_a_kill_in_its_middle(tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", STORM, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    acknowledged = [child.stdout.readline() for _ in range(150)]
    os.kill(child.pid, signal.SIGKILL)
    rest = child.stdout.read().splitlines(keepends=True)
    child.stdout.close()
    child.wait()
    acknowledged = [line.strip() for line in acknowledged + rest if line.endswith("\n")]
    assert len(acknowledged) >= 150
    folder, executor = DataFolder(tmp_path), Executor()
    folder.acquire()
    store = SessionStore(folder, executor)
    kept = set()
    for session_id in await store.ids():
        async with store.use(session_id) as session:
            prompts = await session.prompts()
            kept |= {f"{session_id}/{row['key']}" for row in prompts}
            assert len(await session.messages()) == len(prompts), "half a transaction"
    assert set(acknowledged) <= kept
    await store.close()
    executor.close()
    folder.release()
