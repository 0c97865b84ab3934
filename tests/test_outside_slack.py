"""Slack misbehaves: what it never heard is said, once, and nothing that it shows looks at work for ever."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from session_kit import BUSY, assert_clean, calls, fault, finals, prompts, shows, until

from bot.testing import Botty, Post, Thread

pytestmark = pytest.mark.proof("outside")

Cases = Callable[[str, object], None]


def streams(posts: list[Post]) -> list[Post]:
    """What showed the work, be it still a stream or not."""
    return [post for post in posts if "[" in post.text or "task_card" in str(post.raw["blocks"])]


def busy(posts: list[Post]) -> list[str]:
    """The steps that look at work."""
    return [post.everything for post in posts if "in_progress" in str(post.raw) or "pending" in str(post.raw)]


async def test_a_stream_whose_opening_was_not_answered_is_found_or_opened_once(
    botty: Botty, record_property: Cases
) -> None:
    """One message shows the work, each word of it once; at a first turn and, after other streams, later."""
    thread: Thread | None = None
    ways = ("lost_reply", "server_error", "lost_reply")
    for turn, kind in enumerate(ways, 1):
        await fault(botty, "chat.startStream", kind)
        text = f'create {turn}.txt with "a" then wait 1 second'
        if thread is None:
            thread = await botty.say(text)
        else:
            await thread.say(text)
        await thread.final()
        await assert_clean(botty, thread, turn)
        shown = streams(await thread.by_bot())
        assert len(shown) == turn
        words = shown[-1].text.splitlines()
        assert words.count("[complete] Ready in acme/storefront") == 1
        assert words.count(f"{turn}.txt: new, 1 line") == 1
        assert not busy(await thread.by_bot())
    opened = [call for call in await calls(botty, "chat.startStream") if call["ok"]]
    assert len(opened) == len(ways)
    record_property("cases", len(ways))


async def test_no_step_looks_at_work_after_a_stop_or_a_restart(botty: Botty) -> None:
    """Though Slack itself ends the streams when Stop is pressed, and a bot that is killed ends nothing."""
    thread = await botty.say(BUSY)
    await shows(botty, thread, "Wait 60 seconds")
    await thread.stop()
    await thread.final()
    await assert_clean(botty, thread)
    assert streams(await thread.by_bot())
    assert not busy(await thread.by_bot())
    other = await botty.say('create b.txt with "b" then wait 1 second', "ben")
    await shows(botty, other, "Wait 1 second")
    await fault(botty, "chat.stopStream", "server_error", 20)  # as if there were no time to end it
    await botty.bot.close()
    botty.playground.slack.workspace.faults._pending.clear()
    await botty.restart()
    await other.final()
    await assert_clean(botty, other)
    assert not busy(await other.by_bot())


REFUSED = ("apps.connections.open", "auth.test", "users.info", "users.conversations")


async def test_a_refused_token_on_the_first_event_loses_no_word_of_it(
    botty: Botty, caplog: pytest.LogCaptureFixture, record_property: Cases
) -> None:
    """Bolt asks `auth.test` before it hears anything and acknowledges what it then drops; we were first."""
    await botty.bot.close()
    thread = await botty.say('create a.txt with "a"')
    for method in REFUSED:
        await fault(botty, method, "refused", times=2 if method == "auth.test" else 1)
    await botty.restart()
    await until(botty, lambda: accepted(botty, thread))
    await until(botty, lambda: ended(thread, 1))
    [row] = await prompts(botty, thread)
    [final] = await assert_clean(botty, thread)
    assert (row["state"], "did not work" in final.text) in (("failed", True), ("done", False))
    advised(caplog, "no connection to Slack (invalid_auth)", "Make a new app-level token")
    advised(caplog, "cannot read back a gap (invalid_auth)", "Install the Slack app again")
    botty.playground.slack.workspace.faults._pending.clear()  # the new token is in place
    await thread.say('create b.txt with "b"')
    other = await botty.say('create c.txt with "c"', "ben")
    await botty.idle()
    assert "Done." in (await assert_clean(botty, thread, 2))[-1].text
    assert "Done." in (await assert_clean(botty, other))[-1].text
    assert botty.home.secrets["bot_token"] not in caplog.text
    record_property("cases", len(REFUSED))


async def accepted(botty: Botty, thread: Thread) -> bool:
    return bool(await prompts(botty, thread))


async def ended(thread: Thread, times: int) -> bool:
    return len(finals(await thread.by_bot())) >= times


def advised(caplog: pytest.LogCaptureFixture, *words: str) -> None:
    """One line of the log has all these words."""
    lines = [record.getMessage() for record in caplog.records]
    assert any(all(word in line for word in words) for line in lines), lines
