"""Where Slack comes in: what was acknowledged is on disk, once; what is not on disk was not acknowledged."""

from __future__ import annotations

from pathlib import Path

import pytest
from session_kit import assert_clean, calls, fault, finals, prompts, shows, until

from bot.testing import Botty

pytestmark = pytest.mark.proof("outside")


async def test_one_saying_that_is_delivered_many_times_is_one_prompt(botty: Botty) -> None:
    """As `app_mention` and as `message`, each of them twice."""
    await fault(botty, "app_mention", "duplicate")
    await fault(botty, "message", "duplicate")
    thread = await botty.say('create a.txt with "a"')
    await thread.final()
    await assert_clean(botty, thread)
    assert len(await prompts(botty, thread)) == 1
    assert len(await botty.pulls()) == 1


async def test_a_mention_is_accepted_though_slack_does_not_say_who_we_are(botty: Botty) -> None:
    """`auth.test` fails at first; the prompt is durable before it is asked at all."""
    await fault(botty, "auth.test", "server_error", times=3)
    thread = await botty.say('create a.txt with "a"')
    await thread.final()
    await assert_clean(botty, thread)
    assert (await botty.pulls())[0]["files"] == ["a.txt"]


async def test_a_connection_that_breaks_in_mid_turn_loses_nothing(botty: Botty) -> None:
    """The turn goes on, the socket comes back, and what was said meanwhile is heard."""
    thread = await botty.say('create a.txt with "a" then wait 2 seconds')
    await shows(botty, thread, "Wait 2 seconds")
    await fault(botty, "*", "disconnect")
    await thread.say('create b.txt with "b"', "ben")
    other = await botty.say('create c.txt with "c"', "chloe")
    await botty.idle()
    assert len(finals(await thread.by_bot())) == 2
    assert sorted(path for pull in await botty.pulls() for path in pull["files"]) == [
        "a.txt",
        "b.txt",
        "c.txt",
    ]
    await assert_clean(botty, other)


async def test_the_bot_waits_for_a_slack_that_is_not_there(botty: Botty) -> None:
    """No socket can be opened for a while: it goes on trying, and then hears what waited."""
    await botty.bot.close()
    await fault(botty, "apps.connections.open", "rate_limited", times=2)
    thread = await botty.say('create a.txt with "a"')
    await botty.restart()
    await thread.final()
    await assert_clean(botty, thread)


async def test_what_cannot_be_kept_is_not_acknowledged(
    botty: Botty, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Slack then sends it again, and it is done once the disk takes it."""
    shards = tmp_path / "household" / "bot" / "sessions"
    blocks = [shards / f"{number:02x}" for number in range(256)]
    for block in blocks:
        block.touch()
    thread = await botty.say('create a.txt with "a"')

    async def refused() -> bool:
        return any("cannot be used" in record.getMessage() for record in caplog.records)

    await until(botty, refused)
    assert botty.playground.slack.workspace.deliveries.pending()
    await botty.bot.close()
    for block in blocks:
        block.unlink()
    await botty.restart()
    await thread.final()
    await assert_clean(botty, thread)
    assert not botty.playground.slack.workspace.deliveries.pending()


async def test_ready_says_whether_slack_is_connected(botty: Botty) -> None:
    """Not connected is not ready."""
    await until(botty, botty.bot.slack.connected)
    await botty.bot.slack.ping()
    await botty.bot.slack.stop()
    assert not await botty.bot.slack.connected()
    assert await calls(botty, "apps.connections.open")
