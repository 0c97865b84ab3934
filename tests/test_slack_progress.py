"""A running turn as people see it: disposable, mended where it broke, and never left open."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from session_kit import BUSY, assert_clean, calls, fault, shows, until
from slack_sdk.errors import SlackApiError

from bot.domain import EventType, ThreadKey
from bot.playground import people
from bot.slack import progress, stream_chunks
from bot.testing import Botty, Thread
from storage import NewEvent


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


@pytest.mark.proof("outside")
@pytest.mark.parametrize("kind", ["server_error", "rate_limited"])
async def test_what_the_agent_said_is_shown_whole_after_any_number_of_failures(
    botty: Botty, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """What a turn may say live is counted once, however often Slack has to be asked."""
    monkeypatch.setattr(stream_chunks, "_TURN_LIMIT", 2000)
    monkeypatch.setattr(progress, "_LONGEST_PAUSE_SECONDS", 0.01)
    thread = await botty.say(BUSY)
    await shows(botty, thread, "Wait 60 seconds")
    await fault(botty, "chat.appendStream", kind, 6)
    await says(botty, thread, "word " * 120 + "end of it.")
    await shows(botty, thread, "end of it.")
    await says(botty, thread, "And one word more.")
    shown = await shows(botty, thread, "And one word more.")
    assert "said more than is shown" not in shown.everything
    assert shown.text.count("end of it.") == 1
    await thread.stop()
    await thread.final()
    await assert_clean(botty, thread)


@pytest.mark.proof("outside")
async def test_what_slack_will_never_show_holds_up_nothing_behind_it(
    botty: Botty, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is left out of the live view; what comes next is shown."""
    client = botty.bot.progress.client
    real = client.api_call

    async def refusing(method: str, **arguments: Any) -> Any:
        if method == "chat.appendStream" and "unspeakable" in str(arguments):
            data = {"ok": False, "error": "invalid_arguments"}
            raise SlackApiError("no", SimpleNamespace(data=data, status_code=200, headers={}))
        return await real(method, **arguments)

    monkeypatch.setattr(client, "api_call", refusing)
    thread = await botty.say(BUSY)
    await shows(botty, thread, "Wait 60 seconds")
    await says(botty, thread, "Something unspeakable.")
    await until(botty, lambda: all_read(botty, thread))
    await says(botty, thread, "One word more.")
    assert "unspeakable" not in (await shows(botty, thread, "One word more.")).everything
    await thread.stop()
    await thread.final()
    await assert_clean(botty, thread)


def test_much_that_waited_for_slack_goes_out_in_pieces_it_takes() -> None:
    """Nothing is lost where texts and steps alternate, and no message is longer than Slack takes."""
    events: list[dict[str, Any]] = []
    for number in range(6):
        events.append({"type": "agent.text", "data": {"text": f"<{number}>" + "x" * 5000}})
        tool = {"tool_id": str(number), "title": f"Step {number}", "status": "completed"}
        events.append({"type": "tool.finished", "data": tool})
    writer, unsent, parts = stream_chunks.ChunkWriter(), [], []
    for event in events:
        unsent = writer.chunks([event], unsent)
    while unsent:
        parts.append(stream_chunks.first_of(unsent))
        del unsent[: len(parts[-1])]
    assert all(stream_chunks.characters(part) <= 11_000 for part in parts)
    told = [chunk.get("text", chunk.get("title"))[:6] for part in parts for chunk in part]
    assert told == [said for n in range(6) for said in (f"<{n}>xxx", f"Step {n}")]


async def says(botty: Botty, thread: Thread, text: str) -> None:
    """As if the agent had said it."""
    key = ThreadKey(people.TEAM_ID, thread.channel, thread.ts)
    async with botty.bot.house.store.use(key.session_id) as file:
        [prompt] = await file.prompts(("running",))
        await file.record([NewEvent(EventType.AGENT_TEXT, {"text": text}, prompt["id"])])


async def all_read(botty: Botty, thread: Thread) -> bool:
    """The viewer has dealt with all there is."""
    key = ThreadKey(people.TEAM_ID, thread.channel, thread.ts)
    viewer = botty.bot.progress._viewers[key.session_id]
    async with botty.bot.house.store.use(key.session_id) as file:
        return not await file.events(viewer._cursor, 1) and not viewer._unsent
