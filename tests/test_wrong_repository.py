"""“Wrong repository?”: a request moves to where it belongs, whatever it does, and the correction is kept."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from session_kit import BUSY, Gates, assert_clean, finals, prompts, shows, until

from bot.domain import ThreadKey
from bot.playground import people
from bot.testing import Botty, Post, Thread
from storage import Executor, NewPrompt, SessionFile
from storage.session_file import create_session_file

WEB, LEDGER = "acme/storefront", "acme/ledger"
CREATE = 'create a.txt with "a"'


@pytest.fixture
def gates(tmp_path: Path) -> Gates:
    return Gates(tmp_path / "plugins")


GUARD = """
from pathlib import Path

from bot import hookimpl

@hookimpl
def may(actor, action, subject):
    denied = actor.name == "Chloe Sample" and Path(__file__).with_name("denied").exists()
    return False if denied and subject.repository == "acme/ledger" else None
"""


@pytest.fixture
def botty_settings(gates: Gates) -> dict[str, Any]:
    (gates.folder / "guard.py").write_text(GUARD)
    return gates.settings


async def click(botty: Botty, thread: Thread, post: Post, user: str, value: str | None = None) -> None:
    place = {"channel": thread.channel, "ts": post.ts, "action_id": post.actions[0]["action_id"]}
    await botty.control("POST", "click", **place, user=botty.person(user), value=value)


async def press(botty: Botty, thread: Thread, user: str = "ada") -> None:
    await click(botty, thread, await shows(botty, thread, "Starting in"), user)


async def picker(botty: Botty, thread: Thread, user: str = "ada") -> Post:
    """What `user` alone is shown."""
    await press(botty, thread, user)
    post = await shows(botty, thread, "Which repository is it instead of")
    assert post.raw["ephemeral_to"] == botty.person(user)
    return post


async def pick(botty: Botty, thread: Thread, post: Post, name: str, user: str = "ada") -> None:
    [value] = [option["value"] for option in post.actions[0]["options"] if option["text"] == name]
    await click(botty, thread, post, user, value)


async def move(botty: Botty, thread: Thread, name: str = LEDGER, user: str = "ada") -> None:
    await pick(botty, thread, await picker(botty, thread, user), name, user)


async def at(botty: Botty, gates: Gates, door: str, text: str = CREATE, user: str = "ada") -> Thread:
    """A thread whose turn stands before this door."""
    gates.shut(door)
    thread = await botty.say(text, user)
    await until(botty, lambda: gates.reached(door))
    return thread


def session_of(thread: Thread) -> str:
    return ThreadKey(people.TEAM_ID, thread.channel, thread.ts).session_id


async def labels(botty: Botty) -> list[tuple[Any, ...]]:
    rows = await botty.bot.house.state.labels()
    assert {row["channel"] for row in rows} <= {"web"}
    return [(row["text"], row["suggested"], row["chosen"], row["by"]) for row in rows]


# -- while it runs -----------------------------------------------------------------------------------


@pytest.mark.parametrize("door", ["lease", "agent"])
async def test_a_request_that_is_being_made_ready_moves(botty: Botty, gates: Gates, door: str) -> None:
    """One opening message, changed in place; one pull request, in the right repository; the label is kept."""
    thread = await at(botty, gates, door)
    await move(botty, thread)
    await shows(botty, thread, f"It moves to {LEDGER}.")
    gates.open(door)
    final = await thread.final()
    assert "Done." in final.text
    assert [(pull["repository"], pull["files"]) for pull in await botty.pulls()] == [(LEDGER, ["a.txt"])]
    opening = await shows(botty, thread, "Starting in")
    assert opening.text == f"Starting in `{LEDGER}` because it was chosen here, and no longer in {WEB}."
    assert "restarted" not in final.everything
    assert await labels(botty) == [(CREATE, WEB, LEDGER, botty.person("ada"))]
    await assert_clean(botty, thread)


async def test_a_request_that_an_agent_works_on_moves(botty: Botty) -> None:
    """What was done in the wrong repository stays out of the right one."""
    thread = await botty.say(BUSY)
    await shows(botty, thread, "Wait 60 seconds")
    await move(botty, thread)
    await shows(botty, thread, f"Starting in `{LEDGER}`")

    async def waits_there() -> bool:
        streams = [post for post in await thread.by_bot() if "Wait 60 seconds" in post.everything]
        return len(streams) == 2

    await until(botty, waits_there)
    await thread.stop()
    assert "Stopped" in (await thread.final()).text
    assert [row["attempt"] for row in await prompts(botty, thread)] == [2]
    await assert_clean(botty, thread)


async def test_it_can_be_moved_back(botty: Botty, gates: Gates) -> None:
    """The label says what was suggested first and what was chosen last."""
    thread = await at(botty, gates, "agent")
    await move(botty, thread)
    await shows(botty, thread, f"Starting in `{LEDGER}`")
    await press(botty, thread)
    post = await shows(botty, thread, f"instead of {LEDGER}")
    await pick(botty, thread, post, WEB)
    gates.open("agent")
    await shows(botty, thread, f"Starting in `{WEB}` because it was chosen here")
    assert "Done." in (await thread.final()).text
    assert [pull["repository"] for pull in await botty.pulls()] == [WEB]
    assert await labels(botty) == [(CREATE, WEB, WEB, botty.person("ada"))]


async def test_those_that_wait_behind_it_move_with_it(botty: Botty, gates: Gates) -> None:
    thread = await at(botty, gates, "agent")
    await thread.say('create b.txt with "b"', "ben")
    await shows(botty, thread, "Queued")
    await move(botty, thread, user="ben")
    gates.open("agent")
    await thread.final()
    [pull] = await botty.pulls()
    assert (pull["repository"], sorted(pull["files"])) == (LEDGER, ["a.txt", "b.txt"])
    await assert_clean(botty, thread, ends=2)


async def test_clicking_twice_moves_once(botty: Botty, gates: Gates) -> None:
    """The second click finds it there, or on its way."""
    thread = await at(botty, gates, "agent")
    post = await picker(botty, thread)
    for _ in range(2):
        await pick(botty, thread, post, LEDGER)
    await shows(botty, thread, f"It moves to {LEDGER}.")
    gates.open("agent")
    await thread.final()
    assert len(await botty.pulls()) == 1
    whispers = [each.text for each in await thread.by_bot() if each.raw["ephemeral_to"]]
    assert len(whispers) == 3
    assert any("already" in text or "not one you may move it to" in text for text in whispers)
    await assert_clean(botty, thread)


async def test_a_push_that_was_begun_is_not_moved(botty: Botty, gates: Gates) -> None:
    thread = await at(botty, gates, "pushed")
    await pick_late(botty, thread)
    await shows(botty, thread, "being pushed already")
    gates.open("pushed")
    assert "Done." in (await thread.final()).text
    assert [pull["repository"] for pull in await botty.pulls()] == [WEB]
    await assert_clean(botty, thread)


async def pick_late(botty: Botty, thread: Thread) -> None:
    """The picker was shown before it was too late."""
    await pick(botty, thread, await picker(botty, thread), LEDGER)


# -- when it is over ---------------------------------------------------------------------------------


async def test_one_that_ended_without_a_pull_request_starts_again_there(botty: Botty, gates: Gates) -> None:
    """As a new request of whoever clicked, once however often they click."""
    thread = await at(botty, gates, "agent")
    await thread.stop()
    await shows(botty, thread, "Stopped")
    gates.open("agent")
    post = await picker(botty, thread)
    assert "start again there" in post.text
    for _ in range(2):
        await pick(botty, thread, post, LEDGER)
    await shows(botty, thread, f"It starts again in {LEDGER}.")
    assert "Done." in (await thread.final()).text
    assert [(pull["repository"], pull["files"]) for pull in await botty.pulls()] == [(LEDGER, ["a.txt"])]
    assert [row["state"] for row in await prompts(botty, thread)] == ["stopped", "done"]


async def test_one_that_has_a_pull_request_stays(botty: Botty) -> None:
    thread = await botty.say(CREATE)
    await thread.final()
    await press(botty, thread)
    whisper = await shows(botty, thread, "pull request #1 in acme/storefront, so it is not moved")
    assert whisper.raw["ephemeral_to"] == botty.person("ada")
    assert "repo=owner/name" in whisper.text
    assert await labels(botty) == []


async def test_an_old_one_stays_when_more_was_asked_for_since(botty: Botty, gates: Gates) -> None:
    thread = await at(botty, gates, "agent")
    await thread.stop()
    await shows(botty, thread, "Stopped")
    gates.open("agent")
    await thread.say("wait 0 seconds")
    await thread.final()
    await press(botty, thread)
    await shows(botty, thread, "More was asked for in this thread since.")


# -- who may -----------------------------------------------------------------------------------------


async def test_whoever_took_no_part_moves_nothing(botty: Botty, gates: Gates) -> None:
    thread = await at(botty, gates, "agent")
    await press(botty, thread, "ben")
    whisper = await shows(botty, thread, "Only people who asked in this thread")
    assert whisper.raw["ephemeral_to"] == botty.person("ben")
    post = await picker(botty, thread)
    with pytest.raises(AssertionError):  # what ada alone is shown
        await pick(botty, thread, post, LEDGER, "ben")
    gates.open("agent")
    await thread.final()
    assert [pull["repository"] for pull in await botty.pulls()] == [WEB]


async def test_a_request_goes_nowhere_its_author_may_not_work(botty: Botty, gates: Gates) -> None:
    """Chloe may not use the ledger any more; Ben may, and cannot bring her request there."""
    thread = await at(botty, gates, "agent", user="chloe")
    await thread.say("wait 0 seconds", "ben")
    await shows(botty, thread, "Queued")
    (gates.folder / "denied").touch()
    await press(botty, thread, "ben")
    await shows(botty, thread, "There is no other repository that it could be moved to here.")
    gates.open("agent")
    await thread.final()
    assert {pull["repository"] for pull in await botty.pulls()} == {WEB}


async def test_who_has_one_repository_only_is_not_asked_whether_it_is_wrong(
    botty: Botty, gates: Gates
) -> None:
    (gates.folder / "denied").touch()
    thread = await botty.say(CREATE, "chloe")
    await thread.final()
    assert not (await shows(botty, thread, "Starting in")).actions


async def forge(botty: Botty, thread: Thread, **action: Any) -> None:
    """As if somebody had made a click up; Slack's signature stands before this."""
    body = {
        "type": "block_actions",
        "team": {"id": people.TEAM_ID},
        "user": {"id": botty.person("ada"), "team_id": people.TEAM_ID},
        "container": {"channel_id": thread.channel, "message_ts": thread.ts, "thread_ts": thread.ts},
        "actions": [action],
    }
    assert (await botty.bot.slack.answer(body)).status == 200


async def test_a_button_that_is_none_of_ours_does_nothing(botty: Botty) -> None:
    thread = await botty.say(CREATE)
    await thread.final()
    for value in ("x", "1" * 40, "999", "-1"):
        await forge(botty, thread, action_id="wrong_repository", value=value)
        chosen = {"value": f"{value}|{LEDGER}"}
        await forge(botty, thread, action_id="move_repository", selected_option=chosen)
    await botty.idle()
    whispers = [post.text for post in await thread.by_bot() if post.raw["ephemeral_to"]]
    assert set(whispers) == {"That button is not one of mine."}
    assert await labels(botty) == []
    assert len(await prompts(botty, thread)) == 1


async def test_a_request_moves_to_no_repository_that_was_not_offered(botty: Botty, gates: Gates) -> None:
    thread = await at(botty, gates, "agent")
    for name in ("acme/nothing", WEB, ""):
        await forge(botty, thread, action_id="move_repository", selected_option={"value": f"1|{name}"})
    await shows(botty, thread, "That repository is not one you may move it to.")
    gates.open("agent")
    await thread.final()
    whispers = {post.text for post in await thread.by_bot() if post.raw["ephemeral_to"]}
    assert len(whispers) == 1
    assert await labels(botty) == []
    assert [pull["repository"] for pull in await botty.pulls()] == [WEB]


# -- crashes and races -------------------------------------------------------------------------------


async def test_a_move_that_was_on_disk_when_the_bot_ended_is_made_by_the_next(
    botty: Botty, gates: Gates
) -> None:
    thread = await at(botty, gates, "agent")
    async with botty.bot.house.store.use(session_of(thread)) as file:
        assert await file.move(1, LEDGER, botty.person("ada")) == "running"
    gates.open("agent")
    gates.shut("lease")
    await botty.restart()
    await shows(botty, thread, f"Starting in `{LEDGER}`")
    gates.open("lease")
    assert "Done." in (await thread.final()).text
    assert [pull["repository"] for pull in await botty.pulls()] == [LEDGER]
    await assert_clean(botty, thread)


async def test_a_stop_counts_more_than_a_move(botty: Botty, gates: Gates) -> None:
    thread = await at(botty, gates, "agent")
    async with botty.bot.house.store.use(session_of(thread)) as file:
        await file.move(1, LEDGER, botty.person("ada"))
    await thread.stop()
    await botty.idle()
    assert "Stopped" in finals(await thread.by_bot())[0].text
    gates.open("agent")
    await botty.idle()
    assert [row["state"] for row in await prompts(botty, thread)] == ["stopped"]
    assert await botty.pulls() == []


@pytest.fixture
async def file(tmp_path: Path) -> AsyncIterator[SessionFile]:
    """A session with one queued prompt, and nobody who works on it."""
    executor, key = Executor(), ThreadKey("T1", "C1", "1.0")
    create_session_file(tmp_path / "s.db", key.session_id, key, 1.0)
    file = await SessionFile.open(tmp_path / "s.db", key.session_id, executor)
    await file.accept(NewPrompt("slack", "k", "U1", "Ada", CREATE, 1.0), 1)
    yield file
    await file.close()
    executor.close()


async def test_a_queued_prompt_moves_at_once_and_a_running_one_when_it_ends(file: SessionFile) -> None:
    assert await file.move(1, LEDGER, "U1") == "queued"
    assert (await file.claim(5))["repository"] == LEDGER
    assert await file.moved(1, 5) is None  # nobody said so since
    assert await file.move(1, WEB, "U1") == "running"
    assert await file.move(1, LEDGER, "U1") == "moving"
    assert await file.moved(1, 4) is None  # another boot's
    assert await file.moved(1, 5) == WEB
    [row] = await file.prompts(("queued",))
    assert row["repository"] == WEB
    assert [event["data"] for event in await file.events() if event["type"] == "turn.moved"] == [
        {"repository": WEB, "by": "U1"}
    ]
    assert "moved" in (await file.turns(1))[0]["stages"]
    assert not await file.effects(("pending",))


async def test_what_is_stopped_as_well_is_not_queued_again(file: SessionFile) -> None:
    await file.claim(5)
    assert await file.move(1, LEDGER, "U1") == "running"
    await file.effect_plan("turn.stop", "stop:1", {"by": "U1", "prompt_id": 1})
    assert await file.moved(1, 5) is None
    assert await file.move(1, WEB, "U1") == "stopping"
    assert [row["state"] for row in await file.prompts()] == ["running"]


async def test_what_cannot_be_moved_is_left_as_it_is(file: SessionFile) -> None:
    assert await file.move(2, LEDGER, "U1") == "unknown"
    await file.claim(5)
    await file.plan_of_turn(1, 5, "git.push", "push:1", {})
    assert await file.move(1, LEDGER, "U1") == "pushing"
    await file.finish(1, 5, "done")
    assert await file.move(1, LEDGER, "U1") == "done"
    assert (await file.prompt(1))["repository"] is None
