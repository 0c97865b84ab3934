"""Clicks that were forged, or are by those who may not: a word to whoever clicked, and no effect."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from session_kit import BUSY, assert_clean, calls, prompts, shows
from slack_kit import Json, Recorded

from bot.playground import people
from bot.playground.slack import users
from bot.slack.intake import PICK_REPOSITORY
from bot.testing import Botty, Thread

pytestmark = pytest.mark.proof("input")

ASKING = 'create docs/x.md with "hi"'
STRANGER = people.Person("U0STRANGER", "sid", "Sid Stranger", "000000", "D0STRANGER")
WALL = f"""
from bot import Action, hookimpl

@hookimpl
def may(actor, action, subject):
    if actor.id == "{people.BEN.id}" and subject.repository == "acme/ledger":
        return False
    return None
"""
VALUES = [
    *("|", "1", "1|", "|acme/ledger", "acme/ledger", "1|acme/unknown", "1|ACME/LEDGER", "1|acme/ledger\n"),
    *("1|acme/ledger|1", "1||acme/ledger", " 1|acme/ledger", "+1|acme/ledger", "-1|acme/ledger"),
    *("0|acme/ledger", "2|acme/ledger", "3|acme/ledger", "99999999999999|acme/ledger", "1.0|acme/ledger"),
    *("1e0|acme/ledger", "0x1|acme/ledger", "1 OR 1=1|acme/ledger", "1;DROP TABLE prompts|acme/ledger"),
    *("１|acme/ledger", "²|acme/ledger", "1|../../etc/passwd", "1|acme/ledger'--", "1|acme/\u202eregdel"),
    *("1|acme/led\u200bger", "9" * 5000 + "|acme/ledger", "1|" + "x" * 40_000, "1|\ud800", "\0|\0"),
]


@pytest.fixture
def botty_settings(tmp_path: Path) -> dict[str, Any]:
    """A plugin keeps Ben from the ledger; one turn holds the only slot."""
    folder = tmp_path / "walls"
    folder.mkdir()
    (folder / "walls.py").write_text(WALL)
    return {"plugins": {"folder": str(folder)}, "limits": {"running_turns": 1}}


@pytest.fixture(autouse=True)
def another_organisation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slack knows Sid, who is not of this workspace."""
    ours = users.described

    def described(person: people.Person) -> Json:
        return ours(person) | ({"team_id": "T0OTHERORG"} if person is STRANGER else {})

    monkeypatch.setitem(people.PEOPLE, STRANGER.id, STRANGER)
    monkeypatch.setattr(users, "described", described)


class Clicks:
    """Clicks on the picker of a thread; by default the right one, by Ada."""

    def __init__(self, botty: Botty, thread: Thread, prompt: int = 1) -> None:
        self._botty, self._thread = botty, thread
        recorded = Recorded(thread.channel, thread.ts, prompt, "acme/ledger").bodies()
        self._body = recorded["interactive/block_actions"]
        self.tried = 0

    def body(self, user: str = people.ADA.id, **changes: Any) -> Json:
        body = copy.deepcopy(self._body)
        body["user"] |= {"id": user, "team_id": people.TEAM_ID}
        body["actions"][0]["selected_option"]["value"] = changes.get(
            "value", body["actions"][0]["selected_option"]["value"]
        )
        body["actions"][0]["action_id"] = changes.get("action_id", PICK_REPOSITORY)
        for part in ("container", "message"):
            body[part] |= changes.get(part, {})
        return body

    async def refused(self, user: str = people.ADA.id, **changes: Any) -> str:
        """Click; the words that this person, and nobody else, is told. Nothing in the thread has moved."""
        before, told = (
            await prompts(self._botty, self._thread),
            await calls(self._botty, "chat.postEphemeral"),
        )
        assert (await self._botty.bot.slack.answer(self.body(user, **changes))).status == 200
        assert await prompts(self._botty, self._thread) == before
        whispers = (await calls(self._botty, "chat.postEphemeral"))[len(told) :]
        assert [whisper["args"]["user"] for whisper in whispers] == [user], (user, changes, whispers)
        self.tried += 1
        return str(whispers[0]["args"]["text"])


async def asked(botty: Botty, user: str) -> Thread:
    thread = await botty.say(ASKING, user, "general")
    await thread.picker()
    return thread


async def test_a_forged_or_foreign_click_is_refused_in_a_word_and_moves_nothing(
    botty: Botty, record_property: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Values that no picker has; people who did not ask, who may not, who are nobody; other threads' pickers.

    The same click by the one who asked works afterwards, once.
    """
    thread, other = await asked(botty, "ada"), await asked(botty, "chloe")
    for number, user in enumerate(("ben", "gus"), 1):
        await thread.say('create docs/y.md with "hi"', user)
        await shows(botty, thread, f"Queued: {number} request")
    await shows(botty, await botty.say(BUSY, "chloe"), "Wait 60 seconds")
    clicks = Clicks(botty, thread)
    for value in VALUES:
        await clicks.refused(value=value)
    for user in (people.CHLOE.id, STRANGER.id, "U0NOBODY00", people.BOT_USER_ID):
        await clicks.refused(user)
    assert "not one you may use" in await clicks.refused(people.BEN.id)
    assert "Guests may not" in await clicks.refused(people.GUS.id), "though he asked here, too"
    await elsewhere(clicks, other)
    await without_a_picker(botty, clicks, thread)
    assert (await botty.bot.slack.answer(clicks.body())).status == 200
    assert [row["state"] for row in await prompts(botty, thread)] == ["queued"] * 3
    assert "answered already" in await clicks.refused()
    assert "answered already" in await clicks.refused(value="1|acme/storefront")
    assert [row["state"] for row in await prompts(botty, other)] == ["waiting"]
    record_property("cases", clicks.tried)
    assert not [record for record in caplog.records if record.exc_info]


async def elsewhere(clicks: Clicks, other: Thread) -> None:
    """Ada's click, said to be in Chloe's thread, in none, in another channel."""
    there = {"thread_ts": other.ts, "message_ts": other.ts}
    assert "Only people who asked" in await clicks.refused(container=there)
    assert "Only people who asked" in await clicks.refused(container=there, message={"thread_ts": None})
    await clicks.refused(container={"thread_ts": "1.000001"})
    await clicks.refused(container={"channel_id": "C0BACKEND1"})
    await clicks.refused(container={"channel_id": "C0NOWHERE0"})


async def without_a_picker(botty: Botty, clicks: Clicks, thread: Thread) -> None:
    """The right value under another name is a click on nothing of ours."""
    before = await prompts(botty, thread)
    for action in ("open_pull_request", "choose_repository2", "CHOOSE_REPOSITORY", "approve", "stop"):
        assert (await botty.bot.slack.answer(clicks.body(action_id=action))).status == 200
        clicks.tried += 1
    assert await prompts(botty, thread) == before


async def test_a_picker_whose_request_was_stopped_or_taken_back_does_nothing(
    botty: Botty, record_property: Any
) -> None:
    """It was closed on screen; a click that was on its way all the same is told so."""
    thread = await asked(botty, "ada")
    await thread.say("stop")
    await thread.final()
    clicks = Clicks(botty, thread)
    assert "answered already" in await clicks.refused()
    gone = await asked(botty, "ada")
    await botty.control("POST", "delete", channel=gone.channel, ts=gone.ts, user=people.ADA.id)
    await botty.idle()
    await Clicks(botty, gone).refused()
    record_property("cases", clicks.tried + 1)
    await assert_clean(botty, thread)
