"""What people say, edit, delete and click, and what only they are told in return."""

from __future__ import annotations

from session_kit import assert_clean, finals, prompts, shows

from bot.testing import Botty


async def test_an_edit_that_comes_too_late_is_said_to_its_author(botty: Botty) -> None:
    """To them alone; the first version is what is done."""
    thread = await botty.say('create a.txt with "a" then wait 1 second')
    await shows(botty, thread, "Wait 1 second")
    place = {"channel": thread.channel, "user": botty.person("ada")}
    await botty.control("POST", "edit", **place, ts=thread.ts, text="@threadsmith create b.txt with “b”")
    whisper = await shows(botty, thread, "already begun with the first version")
    assert whisper.raw["ephemeral_to"] == botty.person("ada")
    await thread.final()
    assert [pull["files"] for pull in await botty.pulls()] == [["a.txt"]]


async def test_a_deletion_that_comes_too_late_changes_nothing(botty: Botty) -> None:
    """The reply was begun already; only one that waits is taken back."""
    thread = await botty.say('create a.txt with "a"')
    await thread.final()
    reply = await thread.say('create b.txt with "b" then wait 1 second')
    await shows(botty, thread, "Wait 1 second")
    await botty.control("POST", "delete", channel=thread.channel, ts=reply, user=botty.person("ada"))
    await botty.idle()
    assert [row["state"] for row in await prompts(botty, thread)] == ["done", "done"]


async def test_a_cross_on_anything_else_stops_nothing(botty: Botty) -> None:
    """Only on messages of the thread that runs."""
    stray = await botty.post(botty.channel("web"), "what a day", "ben")
    thread = await botty.say('create a.txt with "a" then wait 1 second')
    await shows(botty, thread, "Wait 1 second")
    await thread.react("x", "ben", stray)
    assert "Done." in (await thread.final()).text


async def test_a_cross_on_one_of_our_own_posts_stops(botty: Botty) -> None:
    """Whoever sees the opening message may put it there."""
    thread = await botty.say('create a.txt with "a" then wait 60 seconds')
    await shows(botty, thread, "Wait 60 seconds")
    opening = await shows(botty, thread, "Starting in")
    await thread.react("octagonal_sign", "ben", opening.ts)
    assert "Stopped" in (await thread.final()).text


async def test_stop_in_a_thread_that_is_none_is_answered_only_when_we_are_meant(botty: Botty) -> None:
    """A bare stop among people is their business."""
    thread = await botty.say("stop")
    whisper = await shows(botty, thread, "Nothing is running in this thread.")
    assert whisper.raw["ephemeral_to"] == botty.person("ada")
    await botty.post(botty.channel("web"), "stop", "ben")
    await botty.idle()
    assert not finals(await thread.by_bot())


async def test_a_question_can_be_answered_by_whoever_asked_in_the_thread(botty: Botty) -> None:
    """Ben's own reply makes him one of them; the choice is shown with his name."""
    thread = await botty.say('create docs/x.md with "hi"', "chloe", "general")
    await thread.picker()
    await thread.say('create docs/y.md with "hi"', "ben")
    await shows(botty, thread, "Queued")
    await thread.pick("acme/ledger", "ben")
    await botty.idle()
    assert any("chosen by <@" + botty.person("ben") in post.everything for post in await thread.by_bot())
    [pull] = await botty.pulls()
    assert sorted(pull["files"]) == ["docs/x.md", "docs/y.md"]
    await assert_clean(botty, thread, ends=2)


async def test_what_came_before_in_the_thread_reaches_the_agent_as_context(botty: Botty) -> None:
    """A mention in a thread of people: the request is the mention, the rest is information."""
    root = await botty.post(botty.channel("web"), "The header is wrong", "ben")
    await botty.post(botty.channel("web"), '@threadsmith create a.txt with "a"', "ada", root)
    await botty.idle()
    assert [pull["files"] for pull in await botty.pulls()] == [["a.txt"]]
