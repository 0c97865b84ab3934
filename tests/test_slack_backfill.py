"""What was said while nobody listened is done afterwards, also when Slack has given up repeating it."""

from __future__ import annotations

from session_kit import assert_clean, calls, fault, finals, prompts, shows, swallow

from bot.testing import Botty


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
