"""Plugins that watch: every event once and in order, and nobody waits for a bad one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from session_kit import prompts, until

from bot.domain import ThreadKey
from bot.playground import people
from bot.testing import Botty, Thread

WATCHES = """
import json
from pathlib import Path
from bot import hookimpl

@hookimpl
async def session_event(session, event):
    with (Path(__file__).parent / "seen.txt").open("a") as file:
        file.write(json.dumps([session, event.seq, event.type]) + "\\n")
"""
RAISES = """
from bot import hookimpl

@hookimpl
def session_event(session, event):
    raise RuntimeError(event.seq)
"""
HANGS = """
import asyncio
from bot import hookimpl

@hookimpl
async def session_event(event):
    if event.seq == 1:
        await asyncio.Event().wait()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "plugins"
    folder.mkdir()
    for name, text in (("watches", WATCHES), ("raises", RAISES), ("hangs", HANGS)):
        (folder / f"{name}.py").write_text(text)
    return folder


@pytest.fixture
def botty_settings(folder: Path) -> dict[str, Any]:
    return {"plugins": {"folder": str(folder)}}


def seen(folder: Path) -> list[list[Any]]:
    path = folder / "seen.txt"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


async def written(botty: Botty, thread: Thread) -> list[list[Any]]:
    """What the session's file holds."""
    name = ThreadKey(people.TEAM_ID, thread.channel, thread.ts).session_id
    async with botty.bot.house.store.use(name) as file:
        return [[name, row["seq"], row["type"]] for row in await file.events(limit=10_000)]


async def test_every_event_is_seen_once_and_in_order(botty: Botty, folder: Path) -> None:
    """Of every session, though one plugin raises each time and another never answers; also over a restart."""
    first, second = await botty.say('create a.txt with "a"'), await botty.say('create b.txt with "b"', "ben")
    await botty.idle()
    await botty.restart()
    await first.say('create c.txt with "c"', "chloe")
    await botty.idle()
    assert [row["state"] for row in await prompts(botty, first)] == ["done", "done"]
    expected = await written(botty, first) + await written(botty, second)

    async def all_seen() -> bool:
        return len(seen(folder)) >= len(expected)

    await until(botty, all_seen)
    assert sorted(seen(folder)) == sorted(expected)
    for thread in (first, second):
        events = await written(botty, thread)
        assert [event for event in seen(folder) if event[0] == events[0][0]] == events
    blamed = {(failure.plugin, failure.hook) for failure in botty.bot.plugins.failures}
    assert ("raises", "session_event") in blamed


async def test_what_a_close_cut_off_is_seen_after_the_next_start(botty: Botty, folder: Path) -> None:
    """The last events of a thread nobody speaks in again are not lost on whoever watches."""
    thread = await botty.say('create a.txt with "a"')
    await botty.idle()
    await botty.bot.close()
    cut = seen(folder)[:3]
    await botty.restart()
    key = f"cursor.watches.{ThreadKey(people.TEAM_ID, thread.channel, thread.ts).session_id}"
    await botty.bot.house.state.set(key, 3)  # as if the close had come after three events
    (folder / "seen.txt").write_text("".join(json.dumps(event) + "\n" for event in cut))
    await botty.restart()
    expected = await written(botty, thread)

    async def all_seen() -> bool:
        return len(seen(folder)) >= len(expected)

    await until(botty, all_seen)
    assert seen(folder) == expected
