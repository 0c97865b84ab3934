"""A running turn as people see it: disposable, mended where it broke, and never left open."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from session_kit import BUSY, assert_clean, calls, fault, shows, until

from bot.domain import ThreadKey
from bot.playground import people
from bot.testing import Botty


async def test_a_stream_that_slack_ended_is_replaced(botty: Botty) -> None:
    """What comes after it is shown in a new one, and both are closed at the end."""
    thread = await botty.say('create a.txt with "a" then wait 1 second then create b.txt with "b"')
    await shows(botty, thread, "Wait 1 second")
    await fault(botty, "chat.appendStream", "stream_expired")
    await thread.final()
    await assert_clean(botty, thread)
    assert len(await calls(botty, "chat.startStream")) == 2
    assert any("b.txt" in post.everything for post in (await thread.by_bot())[1:-1])


async def test_the_status_follows_the_turn(botty: Botty) -> None:
    """Processing with a Stop button, suspended while a question is open, active at the end."""
    thread = await botty.say('create docs/x.md with "hi" then wait 1 second', "chloe", "general")
    await thread.picker()
    await shows(botty, thread, "Which repository")
    while await thread.status() != "suspended":
        await botty.changed()
    await thread.pick("acme/ledger", "chloe")
    await shows(botty, thread, "Wait 1 second")
    assert await thread.status() == "processing"
    await thread.final()
    assert await thread.status() == "active"
    said = [call["args"]["status"] for call in await calls(botty, "agents.sessions.setStatus")]
    assert [each for i, each in enumerate(said) if i == 0 or said[i - 1] != each] == [
        "processing",
        "suspended",
        "processing",
        "active",
    ]


async def test_a_stopped_turn_leaves_nothing_spinning(botty: Botty) -> None:
    """Its tasks end as errors, its stream is closed before the final message is posted."""
    thread = await botty.say(BUSY)
    await shows(botty, thread, "Wait 60 seconds")
    await thread.stop()
    await thread.final()
    await assert_clean(botty, thread)
    order = [
        call["method"]
        for call in await botty.control("GET", "requests")
        if call["method"].startswith("chat.")
    ]
    assert order.index("chat.stopStream") < len(order) - 1 - order[::-1].index("chat.postMessage")


async def test_a_restart_in_mid_turn_closes_the_old_stream_and_goes_on(botty: Botty) -> None:
    """The new boot says that it began again; one final message, and the 👀 stay."""
    thread = await botty.say('create a.txt with "a" then wait 1 second')
    await shows(botty, thread, "Wait 1 second")
    await botty.restart()
    final = await thread.final()
    await assert_clean(botty, thread)
    assert "Done." in final.text
    assert "restarted" in final.everything
    assert len(await botty.pulls()) == 1
    assert "eyes" in (await thread.posts())[0].reactions


async def test_a_stream_of_this_boot_is_no_orphan(botty: Botty) -> None:
    """Looking for what an earlier boot left open must not close what is being shown now."""
    thread = await botty.say(BUSY)
    await shows(botty, thread, "Wait 60 seconds")
    key = ThreadKey(people.TEAM_ID, thread.channel, thread.ts)
    await botty.bot.progress.take_up(key.session_id)
    assert not await calls(botty, "chat.stopStream")
    assert any(post.raw["streaming"] for post in await thread.by_bot())
    await thread.stop()
    await thread.final()
    await assert_clean(botty, thread)
    assert not botty.bot.progress._live


async def test_no_orphan_is_looked_for_while_a_stream_is_being_opened(
    botty: Botty, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slack has it already, and we do not know its name yet."""
    client, begun, go_on = botty.bot.progress.client, asyncio.Event(), asyncio.Event()
    real = client.api_call

    async def slow(method: str, **arguments: Any) -> Any:
        answer = await real(method, **arguments)
        if method == "chat.startStream":
            begun.set()
            await go_on.wait()
        return answer

    monkeypatch.setattr(client, "api_call", slow)
    thread = await botty.say(BUSY)
    await begun.wait()
    key = ThreadKey(people.TEAM_ID, thread.channel, thread.ts)
    looking = asyncio.create_task(botty.bot.progress.take_up(key.session_id))
    await until(botty, lambda: waited_for(botty, key))
    go_on.set()
    await looking
    assert not await calls(botty, "chat.stopStream")
    await thread.stop()
    await thread.final()
    await assert_clean(botty, thread)


async def waited_for(botty: Botty, thread: ThreadKey) -> bool:
    return bool(botty.bot.progress.opening(thread)._waiters)
