"""What was said while nobody listened is done afterwards, also when Slack has given up repeating it."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest
from session_kit import assert_clean, calls, fault, finals, prompts, shows, swallow, until

from bot.slack import backfill
from bot.testing import Botty, Thread


async def test_what_was_said_while_the_bot_was_down_is_delivered_when_it_is_back(botty: Botty) -> None:
    """Slack's own repetition, within its patience."""
    await botty.bot.close()
    thread = await botty.say('create a.txt with "a"')
    await botty.restart()
    await thread.final()
    await assert_clean(botty, thread)


async def test_what_slack_gave_up_repeating_is_read_back(botty: Botty) -> None:
    """New threads, direct messages, replies to finished and to unfinished threads; nothing is done twice."""
    finished = await botty.say('create a.txt with "a"')
    await finished.final()
    unfinished = await botty.say('create b.txt with "b" then wait 1 second', "ben")
    await shows(botty, unfinished, "Wait 1 second")
    await botty.bot.close()
    await finished.say('create a2.txt with "a"', "chloe")
    await unfinished.say('create b2.txt with "b"', "chloe")
    opened = await botty.say('create c.txt with "c"')
    direct = await botty.say('repo=ledger create d.txt with "d"', "ben", "dm")
    await finished.say("@ben what do you think?")
    await swallow(botty)
    await botty.restart()
    for thread in (opened, direct):
        await botty.idle()
        while not finals(await thread.by_bot()):
            await botty.changed()
    await botty.idle()
    files = sorted(path for pull in await botty.pulls() for path in pull["files"])
    assert files == ["a.txt", "a2.txt", "b.txt", "b2.txt", "c.txt", "d.txt"]
    for thread, ends in ((finished, 2), (unfinished, 2), (opened, 1), (direct, 1)):
        await assert_clean(botty, thread, ends)


async def test_a_stop_that_is_read_back_stops_what_ran_when_it_was_said(botty: Botty) -> None:
    """Though a new boot has begun it anew meanwhile; what was asked after the stop is done."""
    thread = await botty.say('create a.txt with "a" then wait 60 seconds')
    await shows(botty, thread, "Wait 60 seconds")
    await botty.bot.close()
    await thread.say("stop", "ben")
    await thread.say('create b.txt with "b"')
    await swallow(botty)
    await botty.restart()
    while len(finals(await thread.by_bot())) < 2:
        await botty.changed()
    await botty.idle()
    assert [row["state"] for row in await prompts(botty, thread)] == ["stopped", "done"]
    [pull] = await botty.pulls()
    assert "b.txt" in pull["files"]


@pytest.mark.proof("outside")
async def test_a_long_gap_is_read_to_its_beginning(botty: Botty) -> None:
    """More messages than one page holds came after the one for us, and Slack's answers fail on the way."""
    await (await botty.say('create a.txt with "a"')).final()
    await botty.bot.close()
    missed = await botty.say('create b.txt with "b"')
    for number in range(205):
        await botty.post(missed.channel, f"chatter {number}", "ben")
    await swallow(botty)
    for method in ("users.conversations", "conversations.history"):
        await fault(botty, method, "server_error")
    await fault(botty, "conversations.history", "rate_limited")
    await botty.restart()
    while not finals(await missed.by_bot()):
        await botty.changed()
    await botty.idle()
    await assert_clean(botty, missed)
    assert [call for call in await calls(botty, "conversations.history") if call["args"].get("cursor")]


async def mark(botty: Botty) -> float:
    return float(await botty.bot.house.state.get("slack.watermark"))


async def connected(botty: Botty) -> None:
    """The pass of the first connection was made."""

    async def look() -> bool:
        return await botty.bot.house.state.get("slack.watermark") is not None

    await until(botty, look)


@pytest.mark.proof("outside")
async def test_the_watermark_is_slacks_own_time(botty: Botty, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock of ours that is far ahead must not make the next pass begin behind what was missed."""
    await connected(botty)
    thread = await botty.say('create a.txt with "a"')
    await thread.final()
    ahead = SimpleNamespace(time=lambda: time.time() + 10_000, monotonic=time.monotonic)
    monkeypatch.setattr(backfill, "time", ahead)
    assert botty.bot.slack._backfill is not None
    await botty.bot.slack._backfill.run()
    assert await mark(botty) <= float((await thread.posts())[-1].ts)
    monkeypatch.undo()
    await botty.bot.slack.stop()
    await thread.say('create b.txt with "b"')
    await botty.bot.slack._backfill.run()
    await until(botty, lambda: ended(botty, thread, 2))
    await assert_clean(botty, thread, 2)


async def ended(botty: Botty, thread: Thread, times: int) -> bool:
    return len(finals(await thread.by_bot())) >= times


@pytest.mark.proof("outside")
async def test_a_message_that_cannot_be_kept_holds_the_watermark_where_it_is(
    botty: Botty, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it fails of; the rest of the gap is heard, and so is this one once it can be."""
    await connected(botty)
    await botty.bot.slack.stop()
    lost, kept = await botty.say('create a.txt with "lost"'), await botty.say('create b.txt with "b"', "ben")
    listener, before = botty.bot.slack._backfill._listener, await mark(botty)
    real, broken = listener.hear, True

    async def hear(body: Any, now: float, late: float | None = None) -> Any:
        if broken and "lost" in body["event"]["text"]:
            raise RuntimeError("no room")
        return await real(body, now, late)

    monkeypatch.setattr(listener, "hear", hear)
    monkeypatch.setattr(backfill, "_UNHEARD_TRIES", 1)
    await botty.bot.slack._backfill.run()
    assert await mark(botty) == before
    await until(botty, lambda: ended(botty, kept, 1))
    assert await prompts(botty, lost) == []
    broken = False
    await botty.bot.slack._backfill.run()
    await until(botty, lambda: ended(botty, lost, 1))
    assert await mark(botty) >= int(float(kept.ts))  # the Date of an answer, which has whole seconds
    assert len(finals(await kept.by_bot())) == 1


async def test_a_mention_in_a_thread_of_people_is_read_back(botty: Botty) -> None:
    """Its root is older than the gap, and no session yet; what was said before the mention stays talk."""
    await connected(botty)
    channel = botty.channel("web")
    root = await botty.post(channel, "the header looks wrong", "ada")
    thread = Thread(botty, channel, root)
    early = await botty.post(channel, 'create evil.txt with "nobody asked"', "ben", root)
    await botty.bot.slack.stop()
    await botty.bot.house.state.set("slack.watermark", float(early) + backfill._OVERLAP_SECONDS)
    await thread.say('@threadsmith create b.txt with "b"', "ada")
    await thread.say('create c.txt with "c"', "ben")
    await botty.bot.slack._backfill.run()
    await until(botty, lambda: ended(botty, thread, 2))
    assert [row["author_id"] for row in await prompts(botty, thread)] == [
        botty.person("ada"),
        botty.person("ben"),
    ]
    [pull] = await botty.pulls()
    assert sorted(pull["files"]) == ["b.txt", "c.txt"]


async def test_a_thread_that_was_deleted_keeps_nothing_else_from_being_read_back(botty: Botty) -> None:
    """It is gone, which is no failure; other sessions' replies are heard."""
    gone = await botty.say('create a.txt with "a"')
    await gone.final()
    await botty.control("POST", "delete", channel=gone.channel, ts=gone.ts, user=botty.person("ada"))
    for post in await gone.by_bot():
        await botty.bot.slack.app.client.chat_delete(channel=gone.channel, ts=post.ts)
    await botty.bot.slack.stop()
    other = await botty.say('create b.txt with "b"', "ben")
    await botty.bot.slack._backfill.run()
    await until(botty, lambda: ended(botty, other, 1))
