"""Stop: fence first, then cancel, then say what was kept; and too late is said as well."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from session_kit import BUSY, Gates, assert_clean, fault, finals, impatient, prompts, shows, until

from bot.domain import Prompt, ThreadKey
from bot.playground import people
from bot.sessions import turn
from bot.sessions.house import House
from bot.testing import Botty
from storage import SessionFile, Stop


@pytest.fixture
def gates(tmp_path: Path) -> Gates:
    return Gates(tmp_path / "plugins")


@pytest.fixture
def botty_settings(gates: Gates) -> dict[str, Any]:
    return {**gates.settings, "limits": {"running_turns_per_person": 1}}


async def test_a_stop_while_things_are_made_ready_ends_the_turn_at_once(botty: Botty, gates: Gates) -> None:
    """Nothing had been changed; the next request in the thread works."""
    gates.shut("lease")
    thread = await botty.say('create a.txt with "a"')
    await until(botty, lambda: gates.reached("lease"))
    await thread.stop("ben")
    final = await thread.final()
    assert "Nothing had been changed yet." in final.text
    gates.open("lease")
    await thread.say('create b.txt with "b"')
    assert "Done." in (await thread.final()).text
    assert [pull["files"] for pull in await botty.pulls()] == [["b.txt"]]
    await assert_clean(botty, thread, ends=2)


async def test_a_stop_after_the_push_was_begun_comes_too_late(botty: Botty, gates: Gates) -> None:
    """The turn is finished, and says so: half a push helps nobody."""
    gates.shut("pushed")
    thread = await botty.say('create a.txt with "a"')
    await until(botty, lambda: gates.reached("pushed"))
    await thread.say("stop")
    gates.open("pushed")
    final = await thread.final()
    assert "Done." in final.text
    assert "stop came when" in final.everything
    assert len(await botty.pulls()) == 1
    await assert_clean(botty, thread)


@pytest.mark.proof("outside")
async def test_a_stop_while_a_push_is_taken_up_again_is_heard_by_the_waiting_that_comes_after_it(
    botty: Botty, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for a code host that is away once a stop was said, however early it was said."""
    impatient(monkeypatch, 100.0)
    await fault(botty, "git-receive-pack", "server_error", 2)
    thread = await botty.say('create a.txt with "a"')
    await shows(botty, thread, "does not answer; trying again")
    asked, go_on = asyncio.Event(), asyncio.Event()
    permitted = turn.permitted

    async def slowly(house: House, file: SessionFile, prompt: Prompt) -> Prompt:
        asked.set()
        await go_on.wait()
        return await permitted(house, file, prompt)

    monkeypatch.setattr(turn, "permitted", slowly)
    await botty.restart()
    await asked.wait()
    key = ThreadKey(people.TEAM_ID, thread.channel, thread.ts)
    assert await botty.bot.sessions.stop(key.session_id, Stop(botty.person("ada")))
    go_on.set()
    assert "is kept here" in (await thread.final()).everything


async def test_two_stops_stop_once(botty: Botty) -> None:
    """One final message; a third, when nothing runs, is answered to that person alone."""
    thread = await botty.say(BUSY)
    await shows(botty, thread, "Wait 60 seconds")
    await asyncio.gather(thread.say("stop"), thread.say("stop", "ben"), thread.react("x", "chloe"))
    await thread.final()
    await assert_clean(botty, thread)
    await thread.say("stop")
    whisper = await shows(botty, thread, "Nothing is running in this thread.")
    assert whisper.raw["ephemeral_to"] == botty.person("ada")


async def test_a_guest_may_not_stop(botty: Botty) -> None:
    """They are told so alone, and the work goes on."""
    thread = await botty.say('create a.txt with "a" then wait 2 seconds')
    await shows(botty, thread, "Wait 2 seconds")
    await thread.say("stop", "gus")
    whisper = await shows(botty, thread, "Guests may not stop")
    assert whisper.raw["ephemeral_to"] == botty.person("gus")
    assert "Done." in (await thread.final()).text


async def test_a_request_that_waits_for_its_turn_elsewhere_can_be_stopped(botty: Botty) -> None:
    """Ada may run one at a time; the second thread has not begun, and never will."""
    first = await botty.say(BUSY)
    await shows(botty, first, "Wait 60 seconds")
    second = await botty.say('create b.txt with "b"')
    await until(botty, lambda: prompts(botty, second))
    await second.say("stop")
    stopped = await shows(botty, second, "Stopped")
    assert "not begun" in stopped.everything
    await first.stop()
    await botty.idle()
    assert await botty.pulls() == []
    assert [row["state"] for row in await prompts(botty, second)] == ["stopped"]
    await assert_clean(botty, second)


async def test_a_stop_that_is_delivered_again_later_is_not_meant_for_what_has_begun_since(
    botty: Botty,
) -> None:
    """A mention is two events, each may come again when its answer was lost; also after a restart."""
    sent: list[tuple[str, str, dict[str, Any]]] = []
    workspace = botty.playground.slack.workspace
    thread = await botty.say('create a.txt with "a"', channel="general")
    await thread.picker()
    await thread.say('create b.txt with "b"')
    await shows(botty, thread, "Queued: 1 request")
    workspace.observers.append(lambda *each: sent.append(each))
    await thread.say("@threadsmith stop")
    workspace.observers.pop()
    stops = [payload for kind, _, payload in sent if kind == "event"]
    assert {payload["event"]["type"] for payload in stops} == {"message", "app_mention"}

    async def asks_for_the_second() -> bool:
        return [row["state"] for row in await prompts(botty, thread)] == ["stopped", "waiting"]

    async def heard() -> bool:
        return workspace.deliveries.pending() == 0

    await until(botty, asks_for_the_second)
    for restart in (False, True):
        if restart:
            await botty.restart()
        for payload in stops:
            workspace.deliveries.add("events_api", payload)
        await until(botty, heard)
    await thread.pick("acme/ledger")
    await botty.idle()
    assert [row["state"] for row in await prompts(botty, thread)] == ["stopped", "done"]


async def test_those_behind_a_stopped_one_are_still_done(botty: Botty) -> None:
    """Stop is about what runs; what waits in the thread runs next."""
    thread = await botty.say(BUSY)
    await shows(botty, thread, "Wait 60 seconds")
    await thread.say('create b.txt with "b"', "ben")
    await shows(botty, thread, "Queued: 1 request")
    await thread.stop()
    await botty.idle()
    texts = [post.text for post in finals(await thread.by_bot())]
    assert ["Stopped" in texts[0], "Done." in texts[1]] == [True, True]


async def test_kept_work_outlives_a_restart_and_a_damaged_one_is_no_dead_end(
    botty: Botty, tmp_path: Path
) -> None:
    """The first goes on in the next turn; the second is said, set aside, and the thread works on."""
    kept = tmp_path / "household" / "bot" / "kept"
    good, bad = await botty.say(BUSY), await botty.say(BUSY, "ben")
    for thread in (good, bad):
        await shows(botty, thread, "Wait 60 seconds")
        before = set(kept.glob("*.bundle"))
        await thread.stop()
        await shows(botty, thread, "Stopped")
    await botty.restart()  # the sandboxes are gone
    [damaged] = set(kept.glob("*.bundle")) - before
    damaged.write_bytes(b"no bundle")
    await good.say('create b.txt with "b"', "chloe")
    await bad.say('create c.txt with "c"', "ben")
    await botty.idle()
    assert sorted(sorted(pull["files"]) for pull in await botty.pulls()) == [["a.txt", "b.txt"], ["c.txt"]]
    assert "could not be brought back: its file is damaged" in (await bad.by_bot())[-1].everything
    assert list(kept.glob("*.unusable"))
