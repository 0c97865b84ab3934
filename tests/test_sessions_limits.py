"""What hits a bound ends cleanly and says which."""

from __future__ import annotations

from typing import Any

import pytest
from session_kit import BUSY, prompts, shows, until

from bot.testing import Botty


@pytest.fixture
def botty_settings() -> dict[str, Any]:
    return {
        "limits": {"queue_length": 1, "running_turns_per_person": 1, "message_chars": 60},
        "permissions": {"channels": ["web", "#backend"]},
    }


@pytest.mark.proof("input")
async def test_a_thread_takes_only_so_many_waiting_requests(botty: Botty) -> None:
    """The one too many is refused visibly and never runs; there is room again afterwards."""
    thread = await botty.say(BUSY)
    await shows(botty, thread, "Wait 60 seconds")
    await thread.say('create b.txt with "b"', "ben")
    await shows(botty, thread, "Queued: 1 request")
    await thread.say('create c.txt with "c"', "chloe")
    await shows(botty, thread, "I did not take this one")
    await thread.stop()
    await botty.idle()
    assert [row["state"] for row in await prompts(botty, thread)] == ["stopped", "done", "removed"]
    await thread.say('create d.txt with "d"', "chloe")
    await thread.final()
    [pull] = await botty.pulls()
    assert sorted(pull["files"]) == ["a.txt", "b.txt", "d.txt"]


async def test_one_person_runs_only_so_many_turns_and_holds_up_nobody_else(botty: Botty) -> None:
    """Ada's second thread waits for her first; Ben's, which came later, does not."""
    first = await botty.say(BUSY)
    await shows(botty, first, "Wait 60 seconds")
    second = await botty.say('create b.txt with "b"')
    await until(botty, lambda: prompts(botty, second))
    third = await botty.say('create c.txt with "c"', "ben")
    await shows(botty, third, "Done.")
    assert [row["state"] for row in await prompts(botty, second)] == ["queued"]
    await first.stop()
    await botty.idle()
    assert [row["state"] for row in await prompts(botty, second)] == ["done"]


@pytest.mark.proof("input")
async def test_a_request_may_not_be_longer_than_allowed(botty: Botty) -> None:
    """Nor empty; each says what to do instead, in the thread."""
    long = await botty.say(f'create a.txt with "{"a" * 60}"')
    empty = await botty.say("", "ben")
    assert "longer than 60 characters" in (await long.final()).text
    assert "without saying what to do" in (await empty.final()).text
    assert await botty.pulls() == []


async def test_the_bot_works_only_in_the_channels_it_is_given(botty: Botty) -> None:
    """Elsewhere it says so."""
    thread = await botty.say('repo=ledger create a.txt with "a"', channel="general")
    assert "do not work in this channel" in (await thread.final()).text
    inside = await botty.say('create a.txt with "a"', channel="backend")
    assert "Done." in (await inside.final()).text
