"""When the code host is down: said visibly, nothing lost, and the next turn brings it all."""

from __future__ import annotations

from collections.abc import Sequence

import aiohttp
import pytest
from session_kit import assert_clean, calls, fault, impatient, shows

from bot.sessions import turn
from bot.sessions.landing import Landing
from bot.sessions.states import Way
from bot.testing import Botty

pytestmark = pytest.mark.proof("outside")


@pytest.fixture(autouse=True)
def _soon_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    impatient(monkeypatch, 0.0, 0.0)


async def well_again(botty: Botty) -> None:
    """Use up the faults that are left."""
    token = botty.home.secrets["github.ada-sample"]
    place = f"{botty.playground.github_api_url}/repos/acme/storefront/pulls"
    async with aiohttp.ClientSession(headers={"Authorization": f"token {token}"}) as http:
        for _ in range(30):
            async with http.post(place, json={}) as answer:
                if answer.status == 422:
                    return
    raise AssertionError("the faults do not end")


async def test_a_push_that_fails_keeps_the_work_for_the_next_turn(botty: Botty) -> None:
    """The thread says what failed and that nothing was pushed; a reply goes on from there."""
    await fault(botty, "git-receive-pack", "server_error", times=3)
    thread = await botty.say('create a.txt with "a"')
    final = await thread.final()
    assert "did not work" in final.text
    assert "acme/storefront" in final.text
    assert "is kept here; nothing was pushed" in final.everything
    assert await botty.pulls() == []
    await thread.say('create b.txt with "b"', "ben")
    assert "Done." in (await thread.final()).text
    [pull] = await botty.pulls()
    assert sorted(pull["files"]) == ["a.txt", "b.txt"]
    assert "Co-authored-by: Ada Sample" in pull["commits"][0]["message"]
    await assert_clean(botty, thread, ends=2)


async def test_a_push_whose_answer_was_lost_is_not_done_twice(botty: Botty) -> None:
    """The remote branch is read, and the turn goes on."""
    await fault(botty, "git-receive-pack", "lost_reply")
    thread = await botty.say('create a.txt with "a"')
    await thread.final()
    pulls = await botty.pulls()
    if not pulls:  # it may be said as a failure, but then the next turn must not stumble over the branch
        await thread.say('create b.txt with "b"')
        assert "Done." in (await thread.final()).text
        pulls = await botty.pulls()
    assert len(pulls) == 1
    assert "a.txt" in pulls[0]["files"]


@pytest.mark.parametrize("kind", ["server_error", "rate_limited"])
async def test_a_pull_request_that_cannot_be_opened_is_opened_by_the_next_turn(
    botty: Botty, kind: str
) -> None:
    """The thread names the branch that has the work, and what went wrong."""
    await fault(botty, "POST /repos/*/pulls", kind, times=8)
    thread = await botty.say('create a.txt with "a"')
    final = await thread.final()
    assert "did not work" in final.text
    assert "The work is on branch threadsmith/" in final.text
    assert await botty.pulls() == []
    await well_again(botty)
    await thread.say('create b.txt with "b"', "ben")
    assert "Done." in (await thread.final()).text
    [pull] = await botty.pulls()
    assert sorted(pull["files"]) == ["a.txt", "b.txt"]
    assert [commit["author"] for commit in pull["commits"]] == ["Ada Sample", "Ben Sample"]
    await assert_clean(botty, thread, ends=2)


async def test_a_pull_request_whose_answer_was_lost_is_not_opened_twice(botty: Botty) -> None:
    """It is found by its branch."""
    await fault(botty, "POST /repos/*/pulls", "lost_reply")
    thread = await botty.say('create a.txt with "a"')
    assert "Done." in (await thread.final()).text
    assert len(await botty.pulls()) == 1
    assert len(await calls(botty, "POST /api/v3/repos/acme/storefront/pulls")) <= 2


async def test_a_code_host_that_cannot_be_read_is_said_before_any_work(botty: Botty) -> None:
    """No sandbox is made for what could never be handed in; nothing is taken for "not there"."""
    await fault(botty, "git-upload-pack", "server_error", times=3)
    thread = await botty.say('create a.txt with "a"')
    final = await thread.final()
    assert "did not work" in final.text
    assert "acme/storefront" in final.text
    await thread.say('create a.txt with "a"')
    assert "Done." in (await thread.final()).text


async def test_a_push_that_nobody_confirms_is_not_called_nothing_and_the_next_turn_finds_it(
    botty: Botty, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It arrived, its answer was lost, and then the host was away: one commit a turn, and no conflict."""
    faults = botty.playground.github._faults
    take = faults.take

    def and_then_away(names: Sequence[str], kinds: Sequence[str] | None = None) -> str | None:
        found = take(names, kinds)
        if found == "lost_reply":
            faults.add("git-upload-pack", "server_error", 100)
        return found

    monkeypatch.setattr(faults, "take", and_then_away)
    impatient(monkeypatch, 0.0)
    await fault(botty, "git-receive-pack", "lost_reply")
    thread = await botty.say('create a.txt with "a"')
    final = await thread.final()
    assert "did not work" in final.text
    assert "may have it as well" in final.everything
    faults._pending.clear()
    await thread.say('create b.txt with "b"', "ben")
    final = await thread.final()
    assert "Done." in final.text
    assert "conflict" not in final.everything
    [pull] = await botty.pulls()
    assert [each["author"] for each in pull["commits"]] == ["Ada Sample", "Ben Sample"]
    assert sorted(pull["files"]) == ["a.txt", "b.txt"]


async def test_what_breaks_behind_a_push_does_not_make_it_nothing_pushed(
    botty: Botty, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The branch is named, and the next turn builds on what is there already."""

    async def broken(*_: object) -> None:
        raise RuntimeError("it broke behind the push")

    with monkeypatch.context() as patched:
        patched.setattr(Landing, "_publish", broken)
        thread = await botty.say('create a.txt with "a"')
        final = await thread.final()
    assert "nothing was pushed" not in final.everything
    assert "may have it as well" in final.everything
    await thread.say('create b.txt with "b"', "ben")
    final = await thread.final()
    assert "Done." in final.text
    assert "conflict" not in final.everything
    [pull] = await botty.pulls()
    assert [each["author"] for each in pull["commits"]] == ["Ada Sample", "Ben Sample"]


@pytest.mark.parametrize("way", [None, Way.GIVE_UP, Way.STOP])
async def test_a_push_that_a_crash_cut_off_and_an_outage_ended_is_kept_for_the_next_turn(
    botty: Botty, monkeypatch: pytest.MonkeyPatch, way: Way | None
) -> None:
    """No sandbox has the work any more, but the mirror has; also where nobody tries the push once more."""
    impatient(monkeypatch, 100.0)
    await fault(botty, "git-receive-pack", "server_error", times=2 if way is None else 1)
    thread = await botty.say('create a.txt with "a"')
    await shows(botty, thread, "does not answer; trying again")
    impatient(monkeypatch)
    with monkeypatch.context() as patched:
        if way is not None:
            patched.setattr(turn, "way_of", lambda *_: way)
        await botty.restart()
        final = await thread.final()
    assert "Done." not in final.text
    assert "is kept here" in final.everything
    assert "finished afterwards" not in final.everything
    await thread.say('create b.txt with "b"', "ben")
    final = await thread.final()
    assert "Done." in final.text
    assert "conflict" not in final.everything
    [pull] = await botty.pulls()
    assert sorted(pull["files"]) == ["a.txt", "b.txt"]
    assert "Co-authored-by: Ada Sample" in pull["commits"][0]["message"]
    await assert_clean(botty, thread, ends=2)
