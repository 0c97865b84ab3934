"""The commit of a prompt (`SessionFile.accept`) against one bare `sqlite3` insert, both with an fsync."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import tempfile
import time
from pathlib import Path
from typing import Any

from rows import p50, row

from storage import DataFolder, Executor, NewEvent, NewPrompt, SessionFile, SessionStore

ROUNDS, QUICK = 300, 60
WARM_UP = 20


class _Thread:
    team, channel, thread_ts = "T1", "C1", "1.1"


def _prompt(number: int) -> NewPrompt:
    author = {"id": "U1", "team": "T1", "name": "Ann"}
    return NewPrompt("slack", f"C1:{number}", "U1", "Ann", "fix the header " * 8, time.time(), author, "1.1")


def _raw(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    db.execute("PRAGMA page_size=1024")
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    db.execute("CREATE TABLE prompts (id INTEGER PRIMARY KEY, key TEXT UNIQUE, author TEXT, text TEXT)")
    return db


def _raw_insert(db: sqlite3.Connection, prompt: NewPrompt) -> None:
    db.execute(
        "INSERT INTO prompts (key, author, text) VALUES (?, ?, ?)",
        (prompt.key, json.dumps(prompt.author), prompt.text),
    )


async def _measure(session: SessionFile, raw: sqlite3.Connection, rounds: int) -> dict[str, list[float]]:
    """One of each in turn, so that both meet the same disk at the same time. Seconds."""
    loop = asyncio.get_running_loop()
    taken: dict[str, list[float]] = {"raw": [], "raw_off_loop": [], "accept": [], "append": []}
    for number in range(rounds + WARM_UP):
        prompt = _prompt(number)
        t0 = time.perf_counter()
        _raw_insert(raw, prompt)
        t1 = time.perf_counter()
        await loop.run_in_executor(None, _raw_insert, raw, _prompt(-1 - number))
        t2 = time.perf_counter()
        accepted = await session.accept(prompt, 1)
        assert accepted is not None
        t3 = time.perf_counter()
        await session.append([NewEvent("agent.text", {"text": "x" * 200}, accepted.prompt_id)])
        t4 = time.perf_counter()
        await session.remove("slack", prompt.key)  # keeps the queue as short as a real one
        if number >= WARM_UP:
            for name, seconds in zip(taken, (t1 - t0, t2 - t1, t3 - t2, t4 - t3), strict=True):
                taken[name].append(seconds)
    return taken


async def _run(rounds: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as data:
        folder, executor = DataFolder(Path(data)), Executor()
        folder.acquire()
        store = SessionStore(folder, executor)
        raw = _raw(folder.path / "raw.db")
        try:
            async with store.use("c0ffee", _Thread()) as session:
                taken = await _measure(session, raw, rounds)
        finally:
            raw.close()
            await store.close()
            executor.close()
            folder.release()
    took = {name: p50(values) for name, values in taken.items()}
    return {
        "rounds": rounds,
        "rows": [
            row("prompt commit", took["accept"], took["raw"], "fsync each; baseline: one raw sqlite3 insert"),
            row("prompt commit", took["accept"], took["raw_off_loop"], "baseline: that insert from a thread"),
            row("event append", took["append"], note="no fsync: a power cut may lose the last ones"),
        ],
    }


def run(rounds: int = ROUNDS) -> dict[str, Any]:
    """The commit against a bare insert, on the loop and, since it must not stall the loop, in a thread."""
    return asyncio.run(_run(rounds))
