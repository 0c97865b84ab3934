"""Plugins that watch: every event once and in order, and nobody waits for a bad one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from session_kit import prompts, shows, until

from bot.domain import ThreadKey
from bot.playground import people
from bot.sessions import Observers
from bot.testing import Botty, Thread
from storage import NewEvent

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


async def caught_up(botty: Botty, folder: Path, *threads: Thread) -> None:
    """Wait until the watching plugin was shown all there is."""

    async def all_seen() -> bool:
        events = [event for thread in threads for event in await written(botty, thread)]
        return not [event for event in events if event not in seen(folder)]

    await until(botty, all_seen)


async def test_every_event_is_seen_once_and_in_order(botty: Botty, folder: Path) -> None:
    """Of every session, though one plugin raises each time and another does not answer."""
    first, second = await botty.say('create a.txt with "a"'), await botty.say('create b.txt with "b"', "ben")
    await botty.idle()
    await first.say('create c.txt with "c"', "chloe")
    await botty.idle()
    assert [row["state"] for row in await prompts(botty, first)] == ["done", "done"]
    await caught_up(botty, folder, first, second)
    for thread in (first, second):
        events = await written(botty, thread)
        assert [event for event in seen(folder) if event[0] == events[0][0]] == events
    blamed = {(failure.plugin, failure.hook) for failure in botty.bot.plugins.failures}
    assert ("raises", "session_event") in blamed


async def test_a_close_in_mid_turn_hides_no_event_from_anyone(botty: Botty, folder: Path) -> None:
    """In order; the one it was being shown at the close may come again."""
    thread = await botty.say('create a.txt with "a" then wait 1 second')
    await shows(botty, thread, "Wait 1 second")
    await botty.restart()
    await thread.final()
    await caught_up(botty, folder, thread)
    once = [list(event) for event in dict.fromkeys(tuple(event) for event in seen(folder))]
    assert once == await written(botty, thread)


async def test_what_a_close_cut_off_is_seen_after_the_next_start(botty: Botty, folder: Path) -> None:
    """The last events of a thread nobody speaks in again are not lost on whoever watches."""
    thread = await botty.say('create a.txt with "a"')
    await botty.idle()
    await botty.restart()
    await caught_up(botty, folder, thread)
    await botty.bot._recovery

    async def nobody_reads() -> bool:
        return not botty.bot.observers._readers

    await until(botty, nobody_reads)
    name = ThreadKey(people.TEAM_ID, thread.channel, thread.ts).session_id
    await botty.bot.house.state.set(f"cursor.watches.{name}", 3)  # as if it had been cut off after three
    cut = seen(folder)[:3]
    (folder / "seen.txt").write_text("".join(json.dumps(event) + "\n" for event in cut))
    await botty.restart()
    await caught_up(botty, folder, thread)
    assert seen(folder) == await written(botty, thread)


async def test_an_event_of_a_version_we_do_not_know_is_passed_by(botty: Botty, folder: Path) -> None:
    """What comes after it is seen all the same."""
    thread = await botty.say('create a.txt with "a"')
    await botty.idle()
    name = ThreadKey(people.TEAM_ID, thread.channel, thread.ts).session_id
    async with botty.bot.house.store.use(name) as file:
        await file.record([NewEvent("of.the.future"), NewEvent("snapshot.taken")])

    async def after_it() -> bool:
        return [name, "snapshot.taken"] in [[event[0], event[2]] for event in seen(folder)]

    await until(botty, after_it)
    assert "of.the.future" not in [event[2] for event in seen(folder)]


async def test_who_lags_behind_is_found_by_the_cursor_and_who_never_watched_is_left(
    botty: Botty, folder: Path
) -> None:
    """A plugin that is new here is not flooded with all that ever happened."""
    thread = await botty.say('create a.txt with "a"')
    await botty.idle()
    name = ThreadKey(people.TEAM_ID, thread.channel, thread.ts).session_id
    await botty.restart()
    await botty.bot._recovery
    await botty.bot.observers.close()
    (folder / "seen.txt").unlink()
    expected = await written(botty, thread)
    state = botty.bot.house.state
    observers = Observers(botty.bot.house)
    await state._write(lambda tx: tx.execute("DELETE FROM settings WHERE key LIKE 'cursor.%'"))
    await observers.recover()
    assert not observers._readers
    await state.set(f"cursor.watches.{name}", len(expected) - 2)
    await observers.recover()
    assert set(observers._readers) == {("watches", name), ("raises", name), ("hangs", name)}
    await observers._readers["watches", name]
    assert seen(folder) == expected[-2:]
    await observers.close()
