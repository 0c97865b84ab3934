"""The clock jumps by hours, to and fro: nothing hangs, nothing is lost, no span is said that never was."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from types import SimpleNamespace

import pytest
from session_kit import assert_clean, calls, fault, finals, prompts, shows, swallow, until

from bot.sessions import record
from bot.slack import backfill, edge, looking
from bot.testing import Botty, Thread

pytestmark = pytest.mark.proof("outside")

Cases = Callable[[str, object], None]
HOUR = 3600.0


class Clock:
    """The bot's own, which all of its parts look at; Slack and GitHub have theirs."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ahead = 0.0
        ours = SimpleNamespace(time=self, monotonic=time.monotonic)
        for module in (backfill, edge, looking, record):
            monkeypatch.setattr(module, "time", ours)
        monkeypatch.setattr(looking, "REQUEST_SECONDS", 1.0)

    def __call__(self) -> float:
        return time.time() + self.ahead

    def put_up(self, botty: Botty) -> None:
        """In a bot that has just been started."""
        house = botty.bot.house
        object.__setattr__(house, "now", self)
        house.store._now = self
        house.state._now = self


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch, botty: Botty) -> Clock:
    made = Clock(monkeypatch)
    made.put_up(botty)
    return made


async def assert_spans(thread: Thread) -> None:
    """The first turn took seconds; what waited for it may have waited for hours, but not for less than 0."""
    first = finals(await thread.by_bot())[0]
    assert re.search(r" · \d+ s$", first.everything), first
    assert not any(re.search(r"-\d+ (s|min|h)\b", post.everything) for post in await thread.by_bot())


async def test_a_clock_that_jumps_in_mid_turn_changes_nothing(
    botty: Botty, clock: Clock, record_property: Cases
) -> None:
    """Forward, back, far back; also between a post and the look for it, and with a request that waits."""
    jumps = (5 * HOUR, -10 * HOUR, 30 * HOUR, 0.0)
    threads = []
    for number, jump in enumerate(jumps):
        thread = await botty.say(f'create {number}.txt with "a" then wait 1 second')
        await shows(botty, thread, "Wait 1 second")
        await thread.say(f'create {number}b.txt with "b"', "ben")
        await fault(botty, "chat.postMessage", "lost_reply")
        clock.ahead = jump
        threads.append(thread)
    await botty.idle()
    for thread in threads:
        assert all("Done." in final.text for final in await assert_clean(botty, thread, 2))
        await assert_spans(thread)
        assert [row["state"] for row in await prompts(botty, thread)] == ["done", "done"]
    posted = [call for call in await calls(botty, "chat.postMessage") if "Done." in call["args"]["text"]]
    assert len({call["args"]["client_msg_id"] for call in posted}) == len(posted) == 2 * len(jumps)
    assert len(await botty.pulls()) == len(jumps)
    record_property("cases", len(jumps))


@pytest.mark.parametrize(("before", "after"), [(0, -7), (7, 7)])
async def test_a_clock_that_is_wrong_between_two_boots_loses_nothing_that_was_said(
    botty: Botty, clock: Clock, before: int, after: int
) -> None:
    """What was queued, asked, and missed is done; a stop that was missed stops what ran when it was said."""
    clock.ahead = before * HOUR
    asked = await botty.say('create docs/x.md with "hi"', "chloe", "general")
    await asked.picker()
    stopped = await botty.say('create s.txt with "s" then wait 60 seconds', "ben")
    await shows(botty, stopped, "Wait 60 seconds")
    await botty.bot.close()
    await stopped.say("stop", "ben")
    missed = await botty.say('create m.txt with "m"')
    await swallow(botty)
    await botty.restart()
    clock.put_up(botty)
    clock.ahead = after * HOUR
    await until(botty, lambda: ended(missed))
    await until(botty, lambda: ended(stopped))
    await asked.pick("acme/ledger", "chloe")
    await until(botty, lambda: ended(asked))
    await botty.idle()
    assert "Stopped" in (await assert_clean(botty, stopped))[0].text
    assert "Done." in (await assert_clean(botty, missed))[0].text
    assert "Done." in (await assert_clean(botty, asked))[0].text
    assert sorted(path for pull in await botty.pulls() for path in pull["files"]) == ["docs/x.md", "m.txt"]
    again = await botty.say('create n.txt with "n"')
    await until(botty, lambda: ended(again))
    await assert_spans(again)


async def ended(thread: Thread) -> bool:
    return bool(finals(await thread.by_bot()))
